"""Train a TASLM (ESPnet options; ``--help``)."""

from espnet2_taste.bin import run
from espnet2_taste.tasks.taslm import TaslmTask


def main(cmd: list[str] | None = None) -> None:
    TaslmTask.main(cmd=cmd)


if __name__ == "__main__":
    run(main)
