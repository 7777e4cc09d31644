"""sWUGGY and sBLIMP of the Zero Resource Speech Challenge 2021 (arXiv 2011.11588)."""

from abc import abstractmethod
from collections import defaultdict
from pathlib import Path

from espnet2_taste.evaluate.testsets.abs_layout import AbsLayout, Pair, TestSet
from espnet2_taste.io.tables import read_records


class ZeroSpeech(AbsLayout):
    """``<part>/<split>/*.wav`` with ``gold.csv``, one line a recording.

    A pair is two lines of one item and voice, one with ``correct`` 1 and one with 0. An
    item's result is the mean over its voices, a set's the mean over items: ZeroSpeech's
    definition. The root may also be the part's or the split's folder.
    """

    part: str
    columns: tuple[str, ...]  # of gold.csv, besides those that both have
    transcript: str  # column
    item: tuple[str, ...]  # columns that make an item

    @property
    def files(self) -> str:
        columns = ", ".join(("filename", "id", "voice", "correct", *self.columns))
        return f"{self.part}/{self.split}/*.wav and gold.csv ({columns})"

    def read(self, root: Path) -> TestSet:
        folder, rows = self._gold(root)
        found, sides = TestSet(), defaultdict(lambda: {"1": [], "0": []})
        seen: set[str] = set()
        for row in rows:
            if row["filename"] in seen:
                raise ValueError(f"{folder}/gold.csv: {row['filename']} appears twice")
            seen.add(row["filename"])
            item = "-".join(row[column] for column in self.item)
            if row["correct"] not in ("0", "1"):
                raise ValueError(
                    f"{folder}/gold.csv: {row['filename']} has correct = "
                    f"'{row['correct']}', not 0 or 1"
                )
            sides[item.replace(" ", "_"), row["voice"]][row["correct"]].append(row)
        for (item, voice), both in sorted(sides.items()):
            if len(both["1"]) != len(both["0"]):
                found.skipped["a side of the pair is missing"].append(f"{item} {voice}")
                continue
            for place, pair in enumerate(zip(both["1"], both["0"], strict=True)):
                name = "-".join([item, *filter(None, [voice]), *(["2"] * place)])
                utts = [row["filename"] for row in pair]
                wavs = {utt: folder / f"{utt}.wav" for utt in utts}
                found.add_pair(Pair(name, self.task(pair[0]), *utts, item), wavs)
                found.text |= {row["filename"]: row[self.transcript] for row in pair}
                found.speakers |= dict.fromkeys(utts, voice or self.part)
        if not found.pairs:
            raise self.missing(root, f"no pair in {folder}/gold.csv")
        return found

    @abstractmethod
    def task(self, row: dict[str, str]) -> str:
        """Task of a pair, from the line of its right side."""

    def _gold(self, root: Path) -> tuple[Path, list[dict[str, str]]]:
        """The split's folder and the lines of its gold.csv."""
        tried = (root / self.part / self.split, root / self.split, root)
        folder = next((f for f in tried if (f / "gold.csv").is_file()), None)
        if folder is None:
            hint = ", which ZeroSpeech keeps to itself" if self.split == "test" else ""
            raise self.missing(root, f"no {tried[0]}/gold.csv{hint}")
        wanted = ("filename", "id", "voice", "correct", *self.columns)
        return folder, [row for _, row in read_records(folder / "gold.csv", wanted)]


class Swuggy(ZeroSpeech):
    """sWUGGY: is it a word? Tasks: in_vocab (heard in LibriSpeech) and oov."""

    part = "lexical"
    columns = ("word", "frequency")
    transcript = "word"
    item = ("id",)

    def task(self, row: dict[str, str]) -> str:
        return "in_vocab" if float(row["frequency"] or 0) >= 1 else "oov"


class Sblimp(ZeroSpeech):
    """sBLIMP: is it grammatical? Tasks: the types of gold.csv (12 of BLiMP's)."""

    part = "syntactic"
    columns = ("type", "subtype", "transcription")
    transcript = "transcription"
    item = ("type", "subtype", "id")

    def task(self, row: dict[str, str]) -> str:
        return row["type"].replace(" ", "_")
