"""Train the TASTE tokenizer and speech decoder (ESPnet options; ``--help``)."""

from espnet2_taste.bin import run
from espnet2_taste.tasks.taste import TasteTask
from espnet2_taste.tasks.train import train


def main(cmd: list[str] | None = None) -> None:
    train(TasteTask, cmd)


if __name__ == "__main__":
    run(main)
