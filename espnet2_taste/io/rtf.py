"""Time that steps took and seconds of audio they worked on: ``rtf.json``."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from espnet2_taste.io.atomic import write_text

FILE = "rtf.json"


@dataclass(frozen=True)
class Work:
    """Work of one step.

    Attributes:
        work_s: seconds that it took.
        audio_s: seconds of audio it read or made; None: not known to the step itself.
        device: that it ran on.
        batch_size: utterances at once.
    """

    work_s: float
    audio_s: float | None
    device: str
    batch_size: int | str

    def __add__(self, other: "Work") -> "Work":
        """Both together, with every device and batch size there was."""
        audio_s = None
        if self.audio_s is not None and other.audio_s is not None:
            audio_s = self.audio_s + other.audio_s
        return Work(
            self.work_s + other.work_s,
            audio_s,
            _both(self.device, other.device),
            _both(self.batch_size, other.batch_size),
        )


def _both(one, other):
    parts = str(one).split(", ")
    new = [part for part in str(other).split(", ") if part not in parts]
    return ", ".join(parts + new) if new else one


def read_rtf(folder: str | Path) -> dict[str, Work]:
    """Step -> its work, from ``rtf.json`` in a folder; {} where there is none.

    Raises:
        ValueError: the file has another form.
    """
    path = Path(folder) / FILE
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {step: Work(**work) for step, work in content.items()}
    except (AttributeError, TypeError, ValueError):
        raise ValueError(
            f'{path}: expected {{"<step>": {{"work_s", "audio_s", "device", '
            '"batch_size"}}'
        ) from None


def write_rtf(folder: str | Path, work: dict[str, Work]) -> None:
    """Write ``rtf.json``; steps that are in it already stay."""
    everything = read_rtf(folder) | work
    content = {step: asdict(done) for step, done in sorted(everything.items())}
    write_text(Path(folder) / FILE, json.dumps(content, indent=1) + "\n")


def merge_rtf(shards: Iterable[Path], folder: str | Path) -> None:
    """Add up the shards' work in ``folder``."""
    total: dict[str, Work] = {}
    for shard in shards:
        for step, work in read_rtf(shard).items():
            total[step] = total[step] + work if step in total else work
    if total:
        write_rtf(folder, total)
