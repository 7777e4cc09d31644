"""Run scorers over recordings once: batched on a device, or in a pool of processes."""

import hashlib
import json
import logging
import os
import pickle
from collections.abc import Iterable, Iterator
from functools import cache, lru_cache
from pathlib import Path

from espnet2_taste.asr.recording import Recording, Unavailable
from espnet2_taste.evaluate.rows import Measures, Row
from espnet2_taste.evaluate.scorers.abs_scorer import AbsReader, AbsScorer
from espnet2_taste.io.atomic import write_lines
from espnet2_taste.io.processes import process_pool

# Part of every mark: change it when what scorers are given changes.
VERSION = "3"
_CHUNK = 8  # recordings a process takes at a time


def measure(
    rows: list[Row],
    scorers: dict[str, list[AbsScorer]],
    folder: Path,
    nj: int = 1,
    batch_size: int = 16,
    keys: set[str] | None = None,
    also: Path | None = None,
) -> tuple[dict[str, str], int]:
    """Fill in ``row.measured``; what ``folder`` has and still holds is not done again.

    ``<scorer>/<row>.jsonl`` has a line per recording as soon as it is measured, and so
    have the shards ``output.*/<scorer>/<row>.jsonl``. A line's mark names the scorer
    and the recording: its words, and size and time of its file and its reference's.

    Args:
        rows: whose recordings to measure.
        scorers: row key -> those of the row; one that turns out to be unavailable
            measures nothing.
        folder: read first and written.
        nj: processes for scorers that are not ``on_device``.
        batch_size: of those that are.
        keys: utterances to measure; None: all.
        also: another folder that is read.

    Returns:
        name of a scorer that is unavailable -> what to install; measurements made.
    """
    _state.cache_clear()
    unavailable: dict[str, str] = {}
    identities: dict[int, str] = {}  # digests of weights: once, not per row
    work, known, files = [], 0, []
    for row in rows:
        for scorer in scorers[row.key]:
            if isinstance(scorer, AbsReader):
                continue
            identity = identities.setdefault(id(scorer), "") or scorer.identity
            identities[id(scorer)] = identity
            path = folder / scorer.name / _file_name(row.key)
            some = [r for r in row.recordings if keys is None or r.utt in keys]
            marks = {r.utt: _mark(scorer, identity, r) for r in some}
            before = _read_known([path.parents[1], *([also] if also else [])], path)
            found = {
                utt: before[utt, mark]
                for utt, mark in marks.items()
                if (utt, mark) in before
            }
            row.measured[scorer.name] = found
            todo = [r for r in some if r.utt not in found]
            work.append((scorer, row, todo, path, marks))
            known += len(found)
            files.append((path, row.measured[scorer.name], marks))
    total = sum(len(todo) for _, _, todo, _, _ in work)
    logging.info("%d measurements known, %d to do in %d processes", known, total, nj)
    done = 0
    for (scorer, row, _, path, marks), some, results in _run(work, nj, batch_size):
        if isinstance(results, Unavailable):
            unavailable.setdefault(scorer.name, str(results))
            continue
        new = {r.utt: entry for r, entry in zip(some, results, strict=True)}
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "a", encoding="utf-8") as file:
            file.writelines(f"{_line(utt, marks, e)}\n" for utt, e in new.items())
        row.measured[scorer.name] |= new
        before, done = done, done + len(new)
        if done == total or 10 * done // total > 10 * before // total:
            logging.info("measured %d of %d, now %s", done, total, scorer.name)
    for path, found, marks in files:
        ordered = {utt: found[utt] for utt in marks if utt in found}
        found.clear()
        found |= ordered
        if ordered:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_lines(path, (_line(utt, marks, e) for utt, e in ordered.items()))
    return unavailable, done


def _line(utt: str, marks: dict[str, str], entry: dict) -> str:
    return json.dumps({**entry, "utt": utt, "mark": marks[utt]})


def _file_name(row: str) -> str:
    return row.replace(":", "_seed") + ".jsonl"


def _mark(scorer: AbsScorer, identity: str, recording: Recording) -> str:
    """Of what a measurement depends on."""
    parts = [VERSION, identity, _state(recording.entry)]
    if scorer.needs_words:
        parts.append(list(recording.words))
    if scorer.needs_reference and recording.reference is not None:
        parts += [_state(recording.reference), recording.same_words]
    return hashlib.sha1(json.dumps(parts).encode()).hexdigest()


@cache
def _state(entry: str) -> list:
    """Name, size and time of a ``wav.scp`` entry's file."""
    for path in (entry, entry.rpartition(":")[0]):
        if os.path.isfile(path):
            stat = os.stat(path)
            return [entry, stat.st_size, stat.st_mtime_ns]
    return [entry]


def _read_known(folders: Iterable[Path], path: Path) -> dict[tuple[str, str], dict]:
    """(utterance, mark) -> what was measured, of a row and scorer in all shards."""
    known, name = {}, Path(path.parent.name) / path.name
    for folder in folders:
        for file in [*sorted(folder.glob(f"output.*/{name}")), folder / name]:
            if not file.is_file():
                continue
            for line in file.read_text(encoding="utf-8", errors="replace").split("\n"):
                try:
                    entry = json.loads(line)
                    known[entry.pop("utt"), entry.pop("mark")] = entry
                except (ValueError, KeyError, TypeError, AttributeError):
                    if line:  # it was killed while writing
                        logging.warning("%s: a damaged line is left out", file)
    return known


def _run(
    work: list[tuple], nj: int, batch_size: int
) -> Iterator[tuple[tuple, list[Recording], list[dict] | Unavailable]]:
    """Measure pieces of the work, first those without a device."""
    sides: dict[bool, list] = {True: [], False: []}
    for job in sorted(work, key=lambda job: job[0].name):
        scorer, _, todo, _, _ = job
        size = _CHUNK
        if scorer.on_device:
            size = scorer.batch_size or batch_size
            todo = sorted(todo, key=lambda r: -sum(_state(r.entry)[1:2]))
        pieces = [todo[i : i + size] for i in range(0, len(todo), size)]
        sides[scorer.on_device] += [(job, piece) for piece in pieces]
    pooled = sides[False]
    if nj > 1 and len(pooled) > 1:
        with process_pool(nj, "spawn") as pool:
            made = [pickle.dumps(job[0]) for job, _ in pooled]
            results = pool.map(_measure_in_process, made, [p for _, p in pooled])
            for (job, piece), result in zip(pooled, results, strict=True):
                yield job, piece, result
        pooled = []
    lost: set[str] = set()
    for job, piece in [*pooled, *sides[True]]:
        if job[0].name not in lost:
            result = _measure(job[0], piece)
            if isinstance(result, Unavailable):
                lost.add(job[0].name)
            yield job, piece, result


def _measure(scorer: AbsScorer, some: list[Recording]) -> list[dict] | Unavailable:
    """Numbers of recordings, or why the scorer cannot be used after all."""
    try:
        return scorer(some)
    except Unavailable as error:
        return error


@lru_cache(maxsize=64)
def _loaded(scorer: bytes) -> AbsScorer:
    """In a process of the pool: what one piece has loaded serves the next."""
    return pickle.loads(scorer)


def _measure_in_process(scorer: bytes, some: list[Recording]):
    return _measure(_loaded(scorer), some)


def read_measures(folder: Path, key: str) -> dict[str, Measures]:
    """Utterance -> pitch and word times that ``bin.score`` left of a row."""
    found = []
    for name in ("pitch", "times"):
        known = _read_known([folder], folder / name / _file_name(key))
        found.append({utt: entry for (utt, _), entry in known.items()})
    pitches, times = found
    return {
        utt: Measures.of(times.get(utt, {}).get("words", []), pitch, times.get(utt, {}))
        for utt, pitch in pitches.items()
    }
