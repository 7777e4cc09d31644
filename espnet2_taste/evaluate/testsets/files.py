"""A test set as a data directory: wav.scp utt2spk spk2utt [text], pairs | answers."""

import json
import re
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from espnet2_taste.io.atomic import write_lines
from espnet2_taste.io.datadir import invert
from espnet2_taste.io.tables import (
    read_json_lines,
    read_lines,
    split_fields,
    write_table,
)


@dataclass(frozen=True)
class Pair:
    """Two recordings, of which a model should find ``positive`` likelier.

    Attributes:
        name: id.
        task: of its test set; accuracies are given per task.
        positive, negative: utterance ids.
        item: pairs of one item (a word said by several voices, say) count as one,
            with the mean of their results.
    """

    name: str
    task: str
    positive: str
    negative: str
    item: str


@dataclass
class TestSet:
    """A test set: recordings, and pairs of them or answers to them.

    Attributes:
        wavs: utterance -> audio file.
        text: utterance -> transcript, for those that have one.
        speakers: utterance -> speaker; an utterance that is absent is its own.
        pairs: of a likelihood test.
        answers: utterance (a spoken question) -> answers, each of them right.
        skipped: reason -> ids of what was left out.
    """

    __test__ = False  # no test of pytest's

    wavs: dict[str, Path] = field(default_factory=dict)
    text: dict[str, str] = field(default_factory=dict)
    speakers: dict[str, str] = field(default_factory=dict)
    pairs: list[Pair] = field(default_factory=list)
    answers: dict[str, list[str]] = field(default_factory=dict)
    skipped: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def add_pair(self, pair: Pair, wavs: dict[str, Path]) -> None:
        """Add a pair whose ``wavs`` (utterance -> file) exist, or skip it."""
        missing = [path for path in wavs.values() if not path.is_file()]
        if missing:
            self.skipped[f"no file, e.g. {missing[0]}"].append(pair.name)
            return
        self.pairs.append(pair)
        self.wavs |= wavs


def write_testset(found: TestSet, folder: Path, name: str) -> None:
    """Write a data directory whose ids start with ``name`` (sets can be combined).

    White space and ``%`` in an id become ``%XX``, as in URLs.
    ``pairs`` has a line per pair: id, task, positive, negative, item. ``answers.jsonl``
    has a line per question: key, answers. ``text`` has the transcripts there are.
    """
    folder.mkdir(parents=True, exist_ok=True)

    def named(key: str) -> str:
        return f"{name}-" + re.sub(r"[\s%]", lambda found: quote(found[0]), key)

    speakers = {named(u): named(found.speakers.get(u, u)) for u in found.wavs}
    pairs = (
        " ".join([named(p.name), p.task, *map(named, (p.positive, p.negative, p.item))])
        for p in sorted(found.pairs, key=lambda pair: named(pair.name))
    )
    answers = (
        json.dumps({"key": named(key), "answers": found.answers[key]})
        for key in sorted(found.answers, key=named)
    )
    for file, lines in (("pairs", pairs), ("answers.jsonl", answers)):
        (folder / file).unlink(missing_ok=True)
        if lines := list(lines):
            write_lines(folder / file, lines)
    (folder / "text").unlink(missing_ok=True)
    text = {named(u): found.text[u] for u in found.wavs if found.text.get(u)}
    if text:
        write_table(folder / "text", text)
    write_table(folder / "spk2utt", invert(speakers))
    write_table(folder / "utt2spk", speakers)
    write_table(folder / "wav.scp", {named(u): str(p) for u, p in found.wavs.items()})


def read_pairs(path: Path) -> list[Pair]:
    """Read ``pairs``.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a line without five fields, a pair twice or with itself, no pair;
            the message names file and line.
    """
    pairs: dict[str, Pair] = {}
    for number, line in read_lines(_made(path)):
        fields = split_fields(line)
        if len(fields) != 5:
            raise ValueError(
                f"{path}:{number}: expected id, task, positive, negative and item, got "
                f"'{line}'"
            )
        pair = Pair(*fields)
        if pair.name in pairs:
            raise ValueError(f"{path}:{number}: pair {pair.name} appears twice")
        if pair.positive == pair.negative:
            raise ValueError(f"{path}:{number}: pair {pair.name} has one side only")
        pairs[pair.name] = pair
    if not pairs:
        raise ValueError(f"{path}: no pair")
    return list(pairs.values())


def read_answers(path: Path) -> dict[str, list[str]]:
    """Read ``answers.jsonl``: question -> its answers.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not of that form, a question twice, no answer; names file and line.
    """
    found: dict[str, list[str]] = {}
    for number, row in read_json_lines(_made(path)):
        try:
            key, answers = str(row["key"]), [str(a) for a in row["answers"]]
        except (KeyError, TypeError):
            raise ValueError(
                f'{path}:{number}: expected {{"key": ..., "answers": [...]}}'
            ) from None
        if key in found or not answers:
            reason = "appears twice" if key in found else "has no answer"
            raise ValueError(f"{path}:{number}: question {key} {reason}")
        found[key] = answers
    if not found:
        raise ValueError(f"{path}: no question")
    return found


def _made(path: Path) -> Path:
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}: see bin.prepare_testset")
    return path
