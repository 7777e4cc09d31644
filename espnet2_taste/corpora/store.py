"""Audio that a corpus does not keep in files of its own, in the data folder."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from espnet2_taste.io.audio import write_wav
from espnet2_taste.io.file_names import file_name


class Store:
    """Writes audio beside the tables of a data folder.

    Args:
        written: folder that is being written.
        final: the same folder's name when all is written: what entries name.
        wanted: whether the audio of a name is to be written.

    Attributes:
        refused: whether there was audio that is not.
    """

    def __init__(self, written: Path, final: Path, wanted: Callable[[str], bool]):
        self.written, self.final, self.wanted = written, final, wanted
        self.refused = False
        self._pack = None

    def add_bytes(self, name: str, content: bytes) -> str | bytes:
        """Append a whole audio file of any format; return its wav.scp entry.

        If it is not wanted, return its content.
        """
        if not self.wanted(name):
            self.refused = True
            return content
        if self._pack is None:
            self._pack = open(self.written / "audio.pack", "wb")
        start = self._pack.tell()
        self._pack.write(content)
        return f"{self.final / 'audio.pack'}:{start}:{len(content)}"

    def add_wav(self, name: str, wav: np.ndarray, sample_rate: int) -> str:
        """Write (N,) samples in [-1, 1] as 16-bit wav; return its wav.scp entry."""
        file = Path("wav") / file_name(name, ".wav")
        if self.wanted(name):
            write_wav(self.written / file, wav, sample_rate)
        else:
            self.refused = True
        return str(self.final / file)

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_) -> None:
        if self._pack is not None:
            self._pack.close()
