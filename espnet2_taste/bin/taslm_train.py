"""Train a TASLM (ESPnet options; ``--help``)."""

from espnet2_taste.bin import run
from espnet2_taste.tasks.taslm import TaslmTask
from espnet2_taste.tasks.train import train


def main(cmd: list[str] | None = None) -> None:
    train(TaslmTask, cmd)


if __name__ == "__main__":
    run(main)
