"""Train the x-vector speaker encoder (ESPnet options; ``--help``)."""

from espnet2_taste.bin import run
from espnet2_taste.tasks.speaker import SpeakerTask


def main(cmd: list[str] | None = None) -> None:
    SpeakerTask.main(cmd=cmd)


if __name__ == "__main__":
    run(main)
