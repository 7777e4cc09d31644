"""Train the x-vector speaker encoder (ESPnet options; ``--help``)."""

from espnet2_taste.bin import run
from espnet2_taste.tasks.speaker import SpeakerTask
from espnet2_taste.tasks.train import train


def main(cmd: list[str] | None = None) -> None:
    train(SpeakerTask, cmd)


if __name__ == "__main__":
    run(main)
