"""Kaldi data directories: what belongs together, kept together and in one order.

Every table has one line per utterance, ``id value``, sorted as LC_ALL=C sorts; all
tables of a directory have the same ids, because ESPnet reads them in lockstep. With
``segments``, ``wav.scp`` is indexed by recording. ``*.ctm`` has a line per word.
"""

import heapq
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from espnet2_taste.io.atomic import write_lines
from espnet2_taste.io.segments import Segment, iterate_segments
from espnet2_taste.io.sorted_tables import (
    TableFiles,
    concatenated,
    grouped,
    join,
    read_sorted,
    selected,
    sorted_entries,
)
from espnet2_taste.io.sorting import sorted_lines
from espnet2_taste.io.tables import read_lines

#: (id, {table: value}) of utterances, by id.
Rows = Iterable[tuple[str, dict[str, str]]]
NAMED_TABLES = (
    *("text", "utt2spk", "utt2num_samples", "utt2dur", "segments"),
    *("text_given", "utt2lang"),
)


def table_names(folder: Path) -> list[str]:
    """Utterance tables of a directory (not spk2utt, ctm, or wav.scp with segments)."""
    names = [name for name in NAMED_TABLES if (folder / name).is_file()]
    names += sorted(path.name for path in folder.glob("*.scp"))
    if "segments" in names and "wav.scp" in names:
        names.remove("wav.scp")
    return names


def open_tables(
    folder: Path, text: bool = True, cure: str = ""
) -> dict[str, Iterator[tuple[str, str]]]:
    """File name -> (id, value), by id, of all utterance tables.

    Args:
        folder: a data directory.
        text: whether ``text`` is wanted.
        cure: see :func:`~espnet2_taste.io.sorted_tables.sorted_entries`.

    Raises:
        FileNotFoundError: no wav.scp or utt2spk, or, if it is wanted, no ``text``.
        ValueError: see :func:`~espnet2_taste.io.sorted_tables.sorted_entries`; or a
            speaker is not one word.
    """
    for name in ("wav.scp", "text", "utt2spk"):
        if not (folder / name).is_file() and (text or name != "text"):
            raise FileNotFoundError(f"{folder}/{name} is missing: run stage 1")
    tables = {
        name: sorted_entries(folder / name, allow_empty=True, cure=cure)
        for name in table_names(folder)
    }
    tables["utt2spk"] = _one_word(folder, tables["utt2spk"])
    return tables


def _one_word(folder: Path, utt2spk: Iterator) -> Iterator[tuple[str, str]]:
    for utt, speaker in utt2spk:
        if len(speaker.split()) > 1:
            raise ValueError(f"{folder}/utt2spk: {utt}: a space in speaker '{speaker}'")
        yield utt, speaker


def read_tables(folder: Path, text: bool = True) -> dict[str, dict[str, str]]:
    """:func:`open_tables` in memory, for what changes texts or times of utterances."""
    return {name: dict(table) for name, table in open_tables(folder, text).items()}


def read_segments(folder: Path) -> dict[str, Segment]:
    """``segments`` of a directory, in memory; {}: it has none."""
    there = (folder / "segments").is_file()
    return dict(iterate_segments(folder)) if there else {}


def invert(utt2spk: dict[str, str]) -> dict[str, str]:
    """utt2spk -> spk2utt, utterances sorted."""
    return dict(spk2utt(utt2spk.items()))


def spk2utt(utt2spk: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """(utterance, speaker) -> (speaker, utterances), sorted."""
    return ((speaker, " ".join(utts)) for speaker, utts in grouped(utt2spk))


def expand(spk2utt: dict[str, str]) -> dict[str, str]:
    """spk2utt -> utt2spk."""
    return {utt: spk for spk, utts in spk2utt.items() for utt in utts.split()}


def write_rows(source: Path, rows: Rows, names: Iterable[str], target: Path) -> int:
    """Write utterances, and what hangs on them, to ``target``; return how many.

    All of it appears when all of it is written; ``target`` may be ``source``.

    Args:
        source: what rows do not have comes from here.
        rows: (id, {table: value}) by id.
        names: of the tables that rows have.
        target: made if absent.
    """
    names = list(names)
    with TableFiles(target, names) as tables:
        for key, row in rows:
            tables.write(key, row)
    if "segments" in names:
        cut = ((k, s.recording) for k, s in iterate_segments(target))
        used = (recording for recording, _ in grouped(cut))
        recordings = selected(sorted_entries(source / "wav.scp"), used)
        write_lines(target / "wav.scp", map(" ".join, recordings))
    for ctm in sorted(source.glob("*.ctm")):
        kept = (key for key, _ in sorted_entries(target / "utt2spk"))
        lines = selected(read_sorted(ctm), kept)
        write_lines(target / ctm.name, (line for *_, line in lines))
    _write_spk2utt(target)


def write_selection(
    source: Path,
    tables: Mapping[str, Mapping[str, str]],
    keys: Iterable[str],
    target: Path,
) -> None:
    """:func:`write_rows` of the ``keys`` of tables that are in memory."""
    rows = (
        (key, {name: table[key] for name, table in tables.items() if key in table})
        for key in sorted(keys)
    )
    write_rows(source, rows, tables, target)


def fix(
    folder: Path, unwanted: Mapping[str, Collection[str]] | None = None
) -> dict[str, int]:
    """Keep the utterances that every table has, sorted; return reason -> dropped.

    Args:
        folder: to change.
        unwanted: further reasons -> utterances to drop.

    Raises:
        ValueError: nothing is left; the directory is as it was.
    """
    tables = open_tables(folder, text=False)
    unwanted = {reason: set(utts) for reason, utts in (unwanted or {}).items()}
    dropped: dict[str, int] = {}
    for name in tables:
        dropped[f"not in {name}"] = 0
        dropped["empty text" if name == "text" else f"empty in {name}"] = 0
    dropped |= dict.fromkeys(unwanted, 0)

    def reason(key: str, row: dict[str, str]) -> str | None:
        for name in tables:
            if not row.get(name):
                if name not in row:
                    return f"not in {name}"
                return "empty text" if name == "text" else f"empty in {name}"
        return next((why for why, utts in unwanted.items() if key in utts), None)

    def kept() -> Iterator:
        left = False
        for key, row in join(tables):
            why = reason(key, row)
            if why is None:
                left = True
                yield key, row
            else:
                dropped[why] += 1
        if not left:
            reasons = ", ".join(f"{n} {why}" for why, n in dropped.items() if n)
            raise ValueError(f"{folder}: no utterance is left ({reasons})")

    write_rows(folder, kept(), tables, folder)
    return {why: count for why, count in dropped.items() if count}


def subset(folder: Path, target: Path, keys: Iterable[str]) -> int:
    """Write the utterances ``keys`` of ``folder`` to ``target``; return how many.

    Raises:
        ValueError: a key that the directory does not have.
    """
    tables, keys = open_tables(folder, text=False), set(keys)

    def kept() -> Iterator:
        unknown = set(keys)
        for key, row in join(tables):
            if key in keys:
                yield key, row
                if "utt2spk" in row:
                    unknown.discard(key)
        if unknown:
            first, many = min(unknown), len(unknown)
            raise ValueError(f"{folder}: no utterance {first} ({many} lack)")

    write_rows(folder, kept(), tables, target)
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
    for folder in folders:
        if folders.count(folder) > 1:
            raise ValueError(f"{folder} is named twice")
    parts = {folder: open_tables(folder, text=False) for folder in folders}
    shared = set.intersection(*map(set, parts.values()))
    with_segments = ["segments" in part for part in parts.values()]
    if any(with_segments) and not all(with_segments):
        without = folders[with_segments.index(False)]
        raise ValueError(f"{without} has no segments, others have: run stage 2 first")
    with TableFiles(target, sorted(shared)) as tables:
        for name in sorted(shared):
            found = {f"{folder}/{name}": part[name] for folder, part in parts.items()}
            for key, value in concatenated(found, "appears twice"):
                tables.write(key, {name: value})
    if all(with_segments):
        several = [sorted_entries(folder / "wav.scp") for folder in folders]
        recordings = groupby(
            heapq.merge(*several, key=itemgetter(0)), key=itemgetter(0)
        )
        last = (list(found)[-1] for _, found in recordings)
        write_lines(target / "wav.scp", map(" ".join, last))
    return _write_spk2utt(target)


def _write_spk2utt(folder: Path) -> int:
    """Write spk2utt of utt2spk; return its utterances."""
    speakers = spk2utt(sorted_entries(folder / "utt2spk"))
    write_lines(folder / "spk2utt", map(" ".join, speakers))
    return sum(1 for _ in read_lines(folder / "utt2spk"))


def copy(folder: Path, target: Path, utt: tuple[str, str], spk: tuple[str, str]) -> int:
    """Copy a directory with (prefix, suffix) at utterances' and speakers' names.

    Recordings of segments keep theirs.
    """
    tables = open_tables(folder, text=False)
    speakers = tables["utt2spk"]
    tables["utt2spk"] = ((u, f"{spk[0]}{name}{spk[1]}") for u, name in speakers)
    with TableFiles(target, tables) as files:
        for name, table in tables.items():
            renamed = sorted_lines(f"{utt[0]}{k}{utt[1]}\0{v}" for k, v in table)
            for line in renamed:
                key, value = line.split("\0")
                files.write(key, {name: value})
    if "segments" in tables:
        recordings = sorted_entries(folder / "wav.scp")
        write_lines(target / "wav.scp", map(" ".join, recordings))
    return _write_spk2utt(target)


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
        field = 0 if target.suffix == ".ctm" else 1  # {"key": "<id>", ...
        found = heapq.merge(*(read_sorted(s, field) for s in shards), key=itemgetter(0))
        lines = (line for *_, line in found)
    else:
        parts = {str(s): sorted_entries(s, allow_empty=True) for s in shards}
        found = concatenated(parts, "is in another shard too")
        lines = (f"{key} {value}".rstrip(" ") for key, value in found)
    return write_lines(target, lines)
