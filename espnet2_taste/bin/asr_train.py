"""Train an ESPnet recogniser, as stage 3 does (ESPnet options; ``--help``)."""

from espnet2_taste.bin import run
from espnet2_taste.tasks.asr import ResamplingASRTask
from espnet2_taste.tasks.train import train


def main(cmd: list[str] | None = None) -> None:
    train(ResamplingASRTask, cmd)


if __name__ == "__main__":
    run(main)
