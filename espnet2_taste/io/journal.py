"""Arks that grow batch by batch, and a journal of what is in them."""

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import kaldiio


def new_batch() -> dict[str, Any]:
    """What a line of the journal says of a batch, besides where the arks end."""
    return {"rows": {}, "skipped": {}, "work": {}, "audio_s": 0.0}


class Journal:
    """``<ark>.ark`` files and ``.journal``, a JSON line a batch, in a folder.

    As a context, the files are open to append to. What a killed run left there that
    :meth:`read` does not tell of is cut off.

    Args:
        folder: that exists.
        arks: names of the arks.
    """

    def __init__(self, folder: Path, arks: tuple[str, ...]):
        self.path = folder / ".journal"
        self.arks = {name: folder / f"{name}.ark" for name in arks}
        self.size, self.ends = 0, dict.fromkeys(arks, 0)

    def read(self) -> Iterator[dict[str, Any]]:
        """The batches whose line and arrays are whole, up to the first that is not.

        Read to the end, it tells where to go on.
        """
        self.size, self.ends = 0, dict.fromkeys(self.arks, 0)
        on_disk = {
            n: p.stat().st_size if p.exists() else 0 for n, p in self.arks.items()
        }
        if not self.path.exists():
            return
        with open(self.path, "rb") as lines:
            for line in lines:
                try:
                    entry = json.loads(line) if line.endswith(b"\n") else None
                    ends = entry["ends"].items()
                    whole = all(end <= on_disk[name] for name, end in ends)
                except (AttributeError, KeyError, TypeError, ValueError):
                    return
                if not whole:
                    return
                self.ends, self.size = entry["ends"], self.size + len(line)
                yield entry

    def __enter__(self) -> "Journal":
        self._stack = ExitStack()
        sizes = {self.path: self.size}
        sizes |= {path: self.ends[name] for name, path in self.arks.items()}
        files = {}
        for path, size in sizes.items():
            path.touch()
            os.truncate(path, size)
            files[path] = self._stack.enter_context(open(path, "ab"))
        self._lines = files[self.path]
        self._open = {name: files[path] for name, path in self.arks.items()}
        return self

    def append(self, batch: dict[str, Any]) -> None:
        """Write a batch; the arrays of its ``rows`` become offsets, as in scp files."""
        for name, ark in self._open.items():
            for key, values in batch["rows"].items():
                if name in values:
                    values[name] = _append(ark, key, values[name])
            ark.flush()
        batch["ends"] = {name: ark.tell() for name, ark in self._open.items()}
        self._lines.write(json.dumps(batch).encode() + b"\n")
        self._lines.flush()

    def __exit__(self, *error) -> None:
        self._stack.__exit__(*error)


def _append(ark, key: str, array) -> int:
    """Write an array to an open ark; its offset."""
    offset = ark.tell() + len(f"{key} ".encode())
    kaldiio.save_ark(ark, {key: array})
    return offset
