"""Public test sets of spoken language models, by the layout of their files.

A layout is a line of ``LAYOUTS``: what its folder holds, and a function that reads it
(folder, split) into a :class:`~espnet2_taste.evaluate.testsets.files.TestSet`. Ids are
those of the set; what is incomplete is skipped with its reason. SALMON: arXiv
2409.07437; StoryCloze: 2305.13009; sWUGGY and sBLIMP (ZeroSpeech 2021): 2011.11588;
LLaMA-Questions: 2305.15255.
"""

import csv
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from espnet2_taste.evaluate.testsets.files import Pair, TestSet
from espnet2_taste.io.tables import read_json_lines, read_records, read_table

SALMON_TASKS = (
    "sentiment_consistency",
    "speaker_consistency",
    "gender_consistency",
    "bg_domain_consistency",
    "bg_all_consistency",
    "rir_consistency",
    "sentiment_alignment",
    "bg_alignment",
)
_SAMPLE = re.compile(r"sample_(\d+)_(\d+)")
_STORY = re.compile(r"(?:(\d+)_)?(.*?)_?(in)?correct")
#: What a table of questions calls its columns.
QUESTION_COLUMNS = {
    "question": ("questions", "question", "question_text"),
    "answers": ("answer", "answers"),
    "audio": ("wav filename", "audio_filename", "audio", "wav"),
}


def read_layout(layout: str, root: Path, split: str = "dev") -> TestSet:
    """Read a folder.

    Args:
        layout: of ``LAYOUTS``.
        root: the folder, as published.
        split: ``dev`` or ``test``, for the sets that have both.

    Raises:
        FileNotFoundError, ValueError: it is not of this layout; names the file.
    """
    files, read = LAYOUTS[layout]
    try:
        found = read(root, split)
        if not found.wavs:
            raise FileNotFoundError("no pair or question")
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{error}: {root} should hold {files}") from None
    return found


def read_salmon(root: Path, split: str) -> TestSet:
    """``<task>/sample_<i>_<j>.wav``: j = 0 is the recording as it is, 1 the other.

    Tasks that are absent are left out. Where a sample has several distractors, it
    makes several pairs of one item.
    """
    found, sides = TestSet(), []
    for task in SALMON_TASKS:
        for path in sorted((root / task).glob("*.wav")):
            if match := _SAMPLE.fullmatch(path.stem):
                number, version = map(int, match.groups())
                sides.append((f"{task}-sample_{number}", task, f"_{version}", path))
            else:
                found.skipped["no name like sample_3_0.wav"].append(str(path))
    return add_pairs(found, root, "_0", sides)


def read_storycloze(root: Path, split: str) -> TestSet:
    """``<n>_<story>_correct.wav`` and ``<n + 1>_<story>_incorrect.wav``.

    Both sStoryCloze and tStoryCloze; the files lie in the folder or in folders in it.
    ``<n>_correct.wav`` and ``<n>_incorrect.wav`` do, too.
    """
    found, sides = TestSet(), []
    for path in sorted(root.glob("**/*.wav")):
        if match := _STORY.fullmatch(path.stem):
            number, name, wrong = match.groups()
            story = path.parent.relative_to(root) / (name or number or "").strip("_")
            label = "-incorrect" if wrong else "-correct"
            sides.append((story.as_posix(), "storycloze", label, path))
        else:
            found.skipped["no name like 0_story_correct.wav"].append(str(path))
    return add_pairs(found, root, "-correct", sides)


def add_pairs(
    found: TestSet, root: Path, right: str, sides: Iterable[tuple[str, str, str, Path]]
) -> TestSet:
    """Add pairs of recordings that belong together by their names.

    Args:
        found: gets them.
        root: may hold ``text``: a file's path in it without suffix, then its words. The
            public sets of audio have none; whoever knows what is said may add it.
        right: label of a pair's right side; every other one makes a pair with it.
        sides: item, task, label (an utterance is item and label) and file.

    Raises:
        ValueError: a side is there twice.
    """
    items: dict[tuple[str, str], dict[str, Path]] = defaultdict(dict)
    for item, task, label, path in sides:
        if label in items[item, task]:
            raise ValueError(f"{path}: {item} has this side twice")
        items[item, task][label] = path
    for (item, task), files in items.items():
        if right not in files or len(files) < 2:
            found.skipped["a side of the pair is missing"].append(item)
            continue
        for label in sorted(files.keys() - {right}):
            name = item if len(files) == 2 else item + label
            utts = item + right, item + label
            wavs = dict(zip(utts, (files[right], files[label]), strict=True))
            found.add_pair(Pair(name, task, *utts, item), wavs)
    if (root / "text").is_file():
        text = read_table(root / "text", allow_empty=True)
        for utt, path in found.wavs.items():
            key = path.relative_to(root).with_suffix("").as_posix()
            if key in text:
                found.text[utt] = text[key]
    return found


@dataclass(frozen=True)
class Gold:
    """A part of ZeroSpeech: ``<part>/<split>/*.wav`` and ``gold.csv``, a line each.

    A pair is two lines of one item and voice, one with ``correct`` 1 and one with 0. An
    item's result is the mean over its voices, a set's the mean over items: ZeroSpeech's
    definition.

    Attributes:
        part: folder; the root may also be it, or its split's.
        columns: of gold.csv, besides those that both parts have.
        transcript: one of them.
        item: those that make an item.
        task: of a pair, from the line of its right side.
    """

    part: str
    columns: tuple[str, ...]
    transcript: str
    item: tuple[str, ...]
    task: Callable[[dict[str, str]], str]

    @property
    def wanted(self) -> tuple[str, ...]:
        """Columns of gold.csv."""
        return ("filename", "id", "voice", "correct", *self.columns)

    @property
    def files(self) -> str:
        return f"{self.part}/<split>/*.wav and gold.csv ({', '.join(self.wanted)})"

    def read(self, root: Path, split: str) -> TestSet:
        """Raises ValueError on a line that is none, FileNotFoundError without any."""
        tried = (root / self.part / split, root / split, root)
        folder = next((f for f in tried if (f / "gold.csv").is_file()), None)
        if folder is None:
            hint = ", which ZeroSpeech keeps to itself" if split == "test" else ""
            raise FileNotFoundError(f"no {tried[0]}/gold.csv{hint}")
        gold = folder / "gold.csv"
        found, sides = TestSet(), defaultdict(lambda: {"1": [], "0": []})
        seen: set[str] = set()
        for _, row in read_records(gold, self.wanted):
            name, correct = row["filename"], row["correct"]
            if name in seen:
                raise ValueError(f"{gold}: {name} appears twice")
            seen.add(name)
            if correct not in ("0", "1"):
                raise ValueError(
                    f"{gold}: {name} has correct = '{correct}', not 0 or 1"
                )
            item = "-".join(row[column] for column in self.item).replace(" ", "_")
            sides[item, row["voice"]][correct].append(row)
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
        return found


#: Is it a word? Tasks: in_vocab (heard in LibriSpeech) and oov.
SWUGGY = Gold(
    part="lexical",
    columns=("word", "frequency"),
    transcript="word",
    item=("id",),
    task=lambda row: "in_vocab" if float(row["frequency"] or 0) >= 1 else "oov",
)
#: Is it grammatical? Tasks: the types of gold.csv (12 of BLiMP's).
SBLIMP = Gold(
    part="syntactic",
    columns=("type", "subtype", "transcription"),
    transcript="transcription",
    item=("type", "subtype", "id"),
    task=lambda row: row["type"].replace(" ", "_"),
)


def read_questions(root: Path, split: str, separator: str | None = None) -> TestSet:
    """A table of questions beside their recordings.

    The table is a ``.tsv`` or ``.csv`` with a header, or ``.jsonl``; columns as the
    public releases call them, in any case. Audio lies where the table says, from its
    folder, from ``audios/`` or from ``audio/`` in it.

    Args:
        separator: of several answers in a cell; None: a cell is one, with its commas.
    """
    tables = [p for p in root.glob("*") if p.suffix in (".tsv", ".csv", ".jsonl")]
    if len(tables) != 1:
        raise FileNotFoundError(f"{len(tables)} tables")
    (table,), found = tables, TestSet()
    for number, row in _question_rows(table):
        cells = {what: _cell(table, row, number, what) for what in QUESTION_COLUMNS}
        audio, answers = Path(str(cells["audio"])), cells["answers"]
        if not isinstance(answers, list):
            answers = str(answers).split(separator) if separator else [answers]
        answers = [answer.strip() for answer in map(str, answers) if answer.strip()]
        folders = (root, root / "audios", root / "audio")
        path = next((f / audio for f in folders if (f / audio).is_file()), None)
        utt = audio.with_suffix("").as_posix()
        if utt in found.wavs:
            raise ValueError(f"{table}:{number}: {audio} appears twice")
        if path is None:
            found.skipped[f"no file, e.g. {audio}"].append(utt)
        elif not answers:
            found.skipped["no answer"].append(utt)
        else:
            found.wavs[utt], found.answers[utt] = path, answers
            if question := str(cells["question"] or "").strip():
                found.text[utt] = question
    return found


def _question_rows(table: Path) -> Iterator[tuple[int, dict]]:
    """Line number and lower-case columns of each question."""
    if table.suffix == ".jsonl":
        rows = read_json_lines(table)
    elif table.suffix == ".tsv":  # quotation marks belong to the questions
        rows = read_records(table, delimiter="\t", quoting=csv.QUOTE_NONE)
    else:
        rows = read_records(table)
    for number, row in rows:
        yield number, {name.strip().lower(): value for name, value in row.items()}


def _cell(table: Path, row: dict, number: int, what: str):
    """Value of a column, whatever the release calls it; of no question, None: it can
    be transcribed."""
    for name in QUESTION_COLUMNS[what]:
        if row.get(name) or name in row and what != "audio":
            return row[name]
    if what == "question":
        return None
    names = " or ".join(QUESTION_COLUMNS[what])
    raise ValueError(f"{table}:{number}: no {names}")


_QUESTIONS = "recordings and one .tsv, .csv or .jsonl with " + ", ".join(
    map("|".join, QUESTION_COLUMNS.values())
)
#: name -> what the folder holds, for messages, and what reads it
LAYOUTS: dict[str, tuple[str, Callable[[Path, str], TestSet]]] = {
    "salmon": (
        "<task>/sample_<i>_<0|1>.wav of some of " + ", ".join(SALMON_TASKS),
        read_salmon,
    ),
    "storycloze": (
        "<n>_<story>_correct.wav and <n + 1>_<story>_incorrect.wav",
        read_storycloze,
    ),
    "swuggy": (SWUGGY.files, SWUGGY.read),
    "sblimp": (SBLIMP.files, SBLIMP.read),
    "llama_questions": (_QUESTIONS, read_questions),
    "web_questions": (_QUESTIONS, partial(read_questions, separator=";")),
}
