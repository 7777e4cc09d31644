"""Train the `world_vq` units and their vocoder (ESPnet options; ``--help``)."""

from espnet2_taste.bin import run
from espnet2_taste.tasks.train import train
from espnet2_taste.tasks.units import UnitsTask


def main(cmd: list[str] | None = None) -> None:
    train(UnitsTask, cmd)


if __name__ == "__main__":
    run(main)
