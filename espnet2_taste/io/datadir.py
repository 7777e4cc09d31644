"""Kaldi data directories: what belongs together, checked and kept in one order.

Every table has one line per utterance, ``id value``, sorted as LC_ALL=C sorts; all
tables of a directory have the same ids, because ESPnet reads them in lockstep. With
``segments``, ``wav.scp`` is indexed by recording. ``*.ctm`` has a line per word.
"""

import math
import shutil
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from espnet2_taste.io.atomic import write_lines
from espnet2_taste.io.tables import (
    parse_count,
    read_lines,
    read_table,
    split_fields,
    write_table,
)

NAMED_TABLES = ("text", "utt2spk", "utt2num_samples", "utt2dur", "segments")


class Segment(NamedTuple):
    """A part of a recording: a line of ``segments``, as Kaldi reads it.

    Attributes:
        recording: its id in ``wav.scp``.
        start: seconds.
        end: seconds; None (-1 in the file): where the recording ends.
        channel: from 0; None: the mean of all.
    """

    recording: str
    start: float
    end: float | None
    channel: int | None

    @classmethod
    def parse(cls, text: str) -> "Segment":
        """``recording start end [channel]``.

        Raises:
            ValueError: another form.
        """
        recording, *rest = split_fields(text)
        try:
            start, end = map(float, rest[:2])
            channel = parse_count(rest[2]) if rest[2:] else None
            if rest[3:] or not math.isfinite(start + end):
                raise ValueError
        except ValueError:
            raise ValueError(
                "expected 'recording start end [channel]' (seconds, a number from 0), "
                f"not '{text}'"
            ) from None
        return cls(recording, start, None if end == -1 else end, channel)


def read_segments(folder: Path) -> dict[str, Segment]:
    """``segments`` of a directory; {}: it has none."""
    path = folder / "segments"
    return read_table(path, parse=Segment.parse) if path.is_file() else {}


def table_names(folder: Path) -> list[str]:
    """Utterance tables of a directory (not spk2utt, ctm, or wav.scp with segments)."""
    names = [name for name in NAMED_TABLES if (folder / name).is_file()]
    names += sorted(path.name for path in folder.glob("*.scp"))
    if "segments" in names and "wav.scp" in names:
        names.remove("wav.scp")
    return names


def read_tables(folder: Path, text: bool = True) -> dict[str, dict[str, str]]:
    """All utterance tables by file name.

    Raises:
        FileNotFoundError: no wav.scp or utt2spk, or, if it is wanted, no ``text``.
    """
    for name in ("wav.scp", "text", "utt2spk"):
        if not (folder / name).is_file() and (text or name != "text"):
            raise FileNotFoundError(f"{folder}/{name} is missing: run stage 1")
    tables = {n: read_table(folder / n, allow_empty=True) for n in table_names(folder)}
    for utt, speaker in tables["utt2spk"].items():
        if len(speaker.split()) > 1:
            raise ValueError(f"{folder}/utt2spk: {utt}: a space in speaker '{speaker}'")
    return tables


def invert(utt2spk: dict[str, str]) -> dict[str, str]:
    """utt2spk -> spk2utt, utterances sorted."""
    speakers: dict[str, list[str]] = {}
    for utt in sorted(utt2spk):
        speakers.setdefault(utt2spk[utt], []).append(utt)
    return {speaker: " ".join(utts) for speaker, utts in speakers.items()}


def expand(spk2utt: dict[str, str]) -> dict[str, str]:
    """spk2utt -> utt2spk."""
    return {utt: spk for spk, utts in spk2utt.items() for utt in utts.split()}


def validate(folder: Path, text: bool = True) -> int:
    """Check a directory, which may lack ``text`` if so wanted; return its utterances.

    Raises:
        ValueError, FileNotFoundError: the first thing wrong, with file, id and cure.
    """
    cure = f"run: python -m espnet2_taste.bin.datadir fix {folder}"
    tables = read_tables(folder, text)
    reference = tables["utt2spk"]
    if not reference:
        raise ValueError(f"{folder}/utt2spk has no utterance")
    odd = [key for key in reference if key.split() != [key]]
    if odd:
        raise ValueError(
            f"{folder}/utt2spk: white space in id {odd[0]!r}, where ESPnet would end it"
        )
    for name, table in tables.items():
        for key, value in table.items():
            if not value:
                what = "empty text" if name == "text" else "no value"
                raise ValueError(f"{folder}/{name}: {key} has {what}; {cure}")
        different = set(table) ^ set(reference)
        if different:
            key = min(different)
            has, lacks = (name, "utt2spk") if key in table else ("utt2spk", name)
            raise ValueError(
                f"{folder}: {len(different)} ids differ between utt2spk and {name}, "
                f"e.g. {key} is in {has} but not in {lacks}; {cure}"
            )
        if list(table) != sorted(table):
            raise ValueError(f"{folder}/{name} is not sorted (LC_ALL=C); {cure}")
    recordings = read_table(folder / "wav.scp")
    for key, segment in read_segments(folder).items():
        if segment.recording not in recordings:
            raise ValueError(
                f"{folder}/segments: {key} is cut from {segment.recording}, which "
                "wav.scp does not have"
            )
    spk2utt = folder / "spk2utt"
    if not spk2utt.is_file() or read_table(spk2utt) != invert(reference):
        raise ValueError(f"{spk2utt} does not match utt2spk; {cure}")
    return len(reference)


def write_selection(
    source: Path, tables: dict[str, dict[str, str]], keys: set[str], target: Path
) -> None:
    """Write the ``keys`` of ``tables``, and what hangs on them, to ``target``."""
    target.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        write_table(target / name, {k: v for k, v in table.items() if k in keys})
    if "segments" in tables:
        segments = read_segments(source)
        used = {segments[key].recording for key in keys}
        recordings = read_table(source / "wav.scp")
        kept = {k: v for k, v in recordings.items() if k in used}
        write_table(target / "wav.scp", kept)
    for ctm in sorted(source.glob("*.ctm")):
        of = [(split_fields(line, 2)[0], line) for _, line in read_lines(ctm)]
        # Stable: the words of an utterance stay in the order of time.
        of = sorted((pair for pair in of if pair[0] in keys), key=lambda pair: pair[0])
        write_lines(target / ctm.name, (line for _, line in of))
    speakers = {k: v for k, v in tables["utt2spk"].items() if k in keys}
    write_table(target / "spk2utt", invert(speakers))


def fix(
    folder: Path, unwanted: Mapping[str, Collection[str]] | None = None
) -> dict[str, int]:
    """Keep the utterances that every table has, sorted; return reason -> dropped.

    Args:
        folder: to change.
        unwanted: further reasons -> utterances to drop.

    Raises:
        ValueError: nothing is left.
    """
    tables = read_tables(folder, text=False)
    everything = set().union(*tables.values())
    keys, dropped = set(everything), {}
    for name, table in tables.items():
        absent = keys - set(table)
        empty = {key for key in keys & set(table) if not table[key]}
        keys -= absent | empty
        if absent:
            dropped[f"not in {name}"] = len(absent)
        if empty:
            dropped["empty text" if name == "text" else f"empty in {name}"] = len(empty)
    for reason, utts in (unwanted or {}).items():
        if of_these := keys.intersection(utts):
            keys -= of_these
            dropped[reason] = len(of_these)
    if not keys:
        reasons = ", ".join(f"{count} {reason}" for reason, count in dropped.items())
        raise ValueError(f"{folder}: no utterance is left ({reasons})")
    write_selection(folder, tables, keys, folder)
    return dropped


def subset(folder: Path, target: Path, keys: Iterable[str]) -> int:
    """Write the utterances ``keys`` of ``folder`` to ``target``; return how many.

    Raises:
        ValueError: a key that the directory does not have.
    """
    tables, keys = read_tables(folder, text=False), set(keys)
    unknown = keys - set(tables["utt2spk"])
    if unknown:
        raise ValueError(f"{folder}: no utterance {min(unknown)} ({len(unknown)} lack)")
    write_selection(folder, tables, keys, target)
    for name in ("rtf.json", "unit_spec.yaml"):  # of what made these utterances
        if (folder / name).is_file() and folder != target:
            shutil.copy(folder / name, target)
    return len(keys)


def combine(folders: list[Path], target: Path) -> int:
    """Join directories with disjoint ids; files that not all have are left out.

    Recordings of segments may be in several.

    Raises:
        ValueError: an id in two of them, or only some have segments.
    """
    parts = [read_tables(folder, text=False) for folder in folders]
    shared = set(parts[0]).intersection(*parts[1:])
    with_segments = ["segments" in part for part in parts]
    if any(with_segments) and not all(with_segments):
        without = folders[with_segments.index(False)]
        raise ValueError(f"{without} has no segments, others have: run stage 2 first")
    target.mkdir(parents=True, exist_ok=True)
    for name in sorted(shared):
        joined: dict[str, str] = {}
        for folder, part in zip(folders, parts, strict=True):
            twice = joined.keys() & part[name].keys()
            if twice:
                raise ValueError(f"{folder}/{name}: id {min(twice)} appears twice")
            joined |= part[name]
        write_table(target / name, joined)
    if all(with_segments):
        recordings: dict[str, str] = {}
        for folder in folders:
            recordings |= read_table(folder / "wav.scp")
        write_table(target / "wav.scp", recordings)
    write_table(target / "spk2utt", invert(read_table(target / "utt2spk")))
    return len(read_table(target / "utt2spk"))


def copy(folder: Path, target: Path, utt: tuple[str, str], spk: tuple[str, str]) -> int:
    """Copy a directory with (prefix, suffix) at utterances' and speakers' names.

    Recordings of segments keep theirs.
    """
    tables = read_tables(folder, text=False)
    speakers = tables["utt2spk"]
    tables["utt2spk"] = {k: f"{spk[0]}{v}{spk[1]}" for k, v in speakers.items()}
    target.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        renamed = {f"{utt[0]}{k}{utt[1]}": v for k, v in table.items()}
        write_table(target / name, renamed)
    if "segments" in tables:
        write_table(target / "wav.scp", read_table(folder / "wav.scp"))
    write_table(target / "spk2utt", invert(read_table(target / "utt2spk")))
    return len(speakers)


def merge(shards: list[Path], target: Path) -> int:
    """Join the shards' tables (or ctm or jsonl files) into one sorted file.

    Raises:
        FileNotFoundError: no shard, i.e. no job wrote its output.
        ValueError: an id in two shards.
    """
    if not shards:
        raise FileNotFoundError(f"{target}: no shard to merge; see the jobs' logs")
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.suffix in (".ctm", ".jsonl"):
        lines = [line for shard in shards for _, line in read_lines(shard)]
        first = slice(1) if target.suffix == ".ctm" else slice(2)  # {"key": "<id>", ...
        write_lines(target, sorted(lines, key=lambda line: line.split()[first]))
        return len(lines)
    joined: dict[str, str] = {}
    for shard in shards:
        table = read_table(shard, allow_empty=True)
        twice = joined.keys() & table.keys()
        if twice:
            raise ValueError(f"{shard}: id {min(twice)} is in another shard too")
        joined |= table
    write_table(target, joined)
    return len(joined)
