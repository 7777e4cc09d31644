"""Train the TASTE tokenizer and speech decoder (ESPnet options; ``--help``)."""

from espnet2_taste.bin import run
from espnet2_taste.tasks.taste import TasteTask


def main(cmd: list[str] | None = None) -> None:
    TasteTask.main(cmd=cmd)


if __name__ == "__main__":
    run(main)
