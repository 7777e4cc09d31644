"""Train the cosyvoice vocoder's flow (ESPnet options; ``--help``)."""

from espnet2_taste.bin import run
from espnet2_taste.tasks.train import train
from espnet2_taste.tasks.vocoder import VocoderTask


def main(cmd: list[str] | None = None) -> None:
    train(VocoderTask, cmd)


if __name__ == "__main__":
    run(main)
