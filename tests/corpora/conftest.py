"""Preparing a corpus as the command does."""

from pathlib import Path

import pytest

from espnet2_taste.bin.prepare_corpus import main
from espnet2_taste.io.datadir_check import validate
from espnet2_taste.io.tables import read_table

#: Layouts that refuse half a corpus.
COUNTED = ("librispeech", "libritts", "libritts_r", "ljspeech")


class Prepared:
    """The tables of a data directory."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.count = validate(folder)
        self.wavs = read_table(folder / "wav.scp")
        self.text = read_table(folder / "text")
        self.speakers = read_table(folder / "utt2spk")

    @property
    def skipped(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for line in (self.folder / "skipped").read_text(encoding="utf-8").splitlines():
            reason, name = line.split("\t")
            found.setdefault(reason, []).append(name)
        return found

    def seconds(self) -> dict[str, float]:
        return {k: float(v) for k, v in read_table(self.folder / "utt2dur").items()}


@pytest.fixture
def prepare(tmp_path):
    """Callable: (layout, root, parts, options...) -> Prepared."""

    def call(layout, root, parts="", *options):
        out = tmp_path / "prepared" / "set"
        words = ["--layout", layout, "--root", str(root), "--output_dir", str(out)]
        if layout in COUNTED:  # a miniature
            words += ["--layout_conf", "complete=false"]
        if parts:
            words += ["--parts", *parts.split()]
        main([*words, *options])
        assert sorted(p.name for p in out.parent.iterdir()) == ["set"]
        return Prepared(out)

    return call
