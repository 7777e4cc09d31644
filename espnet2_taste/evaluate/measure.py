"""Run scorers over recordings once: batched on a device, or in a pool of processes."""

import hashlib
import json
import logging
import os
import pickle
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
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


@dataclass
class _Job:
    """A row's recordings that a scorer has to measure.

    Attributes:
        path: of the lines, one per recording.
        marks: utterance -> what its measurement depends on.
        found: utterance -> its measurement, filled in.
        todo: what is not found.
    """

    scorer: AbsScorer
    path: Path
    marks: dict[str, str]
    found: dict[str, dict]
    todo: list[Recording]

    def lines(self, found: dict[str, dict]) -> Iterator[str]:
        for utt, entry in found.items():
            yield json.dumps({**entry, "utt": utt, "mark": self.marks[utt]})


def measure(
    rows: list[Row],
    folder: Path,
    nj: int = 1,
    batch_size: int = 16,
    keys: set[str] | None = None,
) -> tuple[dict[type[AbsScorer], str], int]:
    """Fill in ``row.measured``; what ``folder`` has and still holds is not done again.

    ``<scorer>/<row>.jsonl`` has a line per recording as soon as it is measured, and so
    have the shards ``output.*/<scorer>/<row>.jsonl``. A line's mark names the scorer
    and the recording: its words, and size and time of its file and its reference's.

    Args:
        rows: whose recordings to measure, with their scorers; one that turns out to be
            unavailable is taken off all rows.
        folder: read first and written; a shard's, ``output.N``, lies in that of all,
            which is read, too.
        nj: processes for scorers that are not ``on_device``.
        batch_size: of those that are.
        keys: utterances to measure; None: all.

    Returns:
        class of a scorer that is unavailable -> what to install; measurements made.
    """
    _state.cache_clear()
    folders = [folder, *([folder.parent] if folder.name.startswith("output.") else [])]
    identities: dict[int, str] = {}  # digests of weights: once, not per row
    jobs = []
    for row in rows:
        some = [r for r in row.recordings if keys is None or r.utt in keys]
        for scorer in row.scorers:
            if isinstance(scorer, AbsReader):
                continue
            if id(scorer) not in identities:
                identities[id(scorer)] = scorer.identity
            name = _file_name(scorer.name, row.key)
            marks = {r.utt: _mark(scorer, identities[id(scorer)], r) for r in some}
            known = _read_known(folders, name)
            found = {u: known[u, m] for u, m in marks.items() if (u, m) in known}
            row.measured[scorer.name] = found
            todo = [r for r in some if r.utt not in found]
            jobs.append(_Job(scorer, folder / name, marks, found, todo))
    known, total = sum(len(j.found) for j in jobs), sum(len(j.todo) for j in jobs)
    logging.info("%d measurements known, %d to do in %d processes", known, total, nj)
    unavailable: dict[type[AbsScorer], str] = {}
    done = 0
    for job, some, results in _run(jobs, nj, batch_size):
        if isinstance(results, Unavailable):
            unavailable.setdefault(type(job.scorer), str(results))
            continue
        new = {r.utt: entry for r, entry in zip(some, results, strict=True)}
        job.path.parent.mkdir(parents=True, exist_ok=True)
        with open(job.path, "a", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in job.lines(new))
        job.found |= new
        before, done = done, done + len(new)
        if done == total or 10 * done // total > 10 * before // total:
            now = job.path.relative_to(folder)
            logging.info("measured %d of %d, now %s", done, total, now)
    for job in jobs:
        ordered = {utt: job.found[utt] for utt in job.marks if utt in job.found}
        job.found.clear()
        job.found |= ordered
        if ordered:
            job.path.parent.mkdir(parents=True, exist_ok=True)
            write_lines(job.path, job.lines(ordered))
    for row in rows:
        row.scorers = [s for s in row.scorers if type(s) not in unavailable]
    return unavailable, done


def _file_name(scorer: str, row: str) -> str:
    return f"{scorer}/{row.replace(':', '_seed')}.jsonl"


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


def _read_known(folders: Iterable[Path], name: str) -> dict[tuple[str, str], dict]:
    """(utterance, mark) -> what was measured, of a row and scorer in all shards."""
    known = {}
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
    jobs: list[_Job], nj: int, batch_size: int
) -> Iterator[tuple[_Job, list[Recording], list[dict] | Unavailable]]:
    """Measure pieces of the work, first those without a device: one scorer after the
    other has the same recordings, of which some is kept (``reading.f0_of``)."""
    pooled: list[tuple[_Job, list[Recording]]] = []
    alone: list[tuple[_Job, list[Recording]]] = []
    for job in sorted(jobs, key=lambda job: job.scorer.name):
        todo, size = job.todo, _CHUNK
        if on_device := job.scorer.on_device:
            size = job.scorer.batch_size or batch_size
            todo = sorted(todo, key=lambda r: -sum(_state(r.entry)[1:2]))
        pieces = [(job, todo[i : i + size]) for i in range(0, len(todo), size)]
        (alone if on_device else pooled).extend(pieces)
    pooled.sort(key=lambda piece: (piece[0].path.name, piece[1][0].utt))
    if nj > 1 and len(pooled) > 1:
        with process_pool(nj, "spawn") as pool:
            made = [pickle.dumps(job.scorer) for job, _ in pooled]
            results = pool.map(_measure_in_process, made, [p for _, p in pooled])
            for (job, piece), result in zip(pooled, results, strict=True):
                yield job, piece, result
        pooled = []
    lost: set[type[AbsScorer]] = set()
    for job, piece in [*pooled, *alone]:
        if type(job.scorer) not in lost:
            result = _measure(job.scorer, piece)
            if isinstance(result, Unavailable):
                lost.add(type(job.scorer))
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
        known = _read_known([folder], _file_name(name, key))
        found.append({utt: entry for (utt, _), entry in known.items()})
    pitches, times = found
    return {
        utt: Measures.of(times.get(utt, {}).get("words", []), pitch, times.get(utt, {}))
        for utt, pitch in pitches.items()
    }
