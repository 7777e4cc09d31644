"""Run instruments over recordings once: cached, batched or in a pool of processes."""

import hashlib
import json
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from espnet2_taste.evaluate.f0 import mean_log_f0, word_log_f0
from espnet2_taste.evaluate.matching import Measures
from espnet2_taste.evaluate.scorers.abs_meter import Recording, Unavailable
from espnet2_taste.evaluate.scorers.instruments import Choice, Instrument
from espnet2_taste.evaluate.scorers.measure_cache import MeasureCache
from espnet2_taste.io.audio import audio_identity
from espnet2_taste.io.processes import process_pool

# Part of every key: change it when what instruments are given changes.
VERSION = "2"
_CHUNK = 8  # recordings a process takes at a time


@dataclass(frozen=True)
class Job:
    """Recordings of one row for one instrument."""

    row: str
    choice: Choice
    recordings: list[Recording]


@dataclass
class Measured:
    """What :func:`measure` found.

    Attributes:
        results: (row, instrument's folder) -> utt -> numbers, in the order given.
        instruments: that measured.
        unavailable: folder of an instrument -> what to install.
        done: measurements made now and not before.
    """

    results: dict[tuple[str, str], dict[str, dict]]
    instruments: dict[Choice, Instrument]
    unavailable: dict[str, str]
    done: int

    def of_axis(self, axis: str) -> dict[Choice, Instrument]:
        """Recognisers (their grammars may differ between rows), meters ..."""
        return {c: made for c, made in self.instruments.items() if c.axis == axis}

    def identities(self) -> dict[str, str]:
        """Folder of an instrument -> identity; all of them where rows differ."""
        names: dict[str, dict[str, None]] = {}
        for choice, made in self.instruments.items():
            names.setdefault(choice.folder, {})[made.identity] = None
        return {folder: "; ".join(entries) for folder, entries in names.items()}


def measure(
    jobs: list[Job], cache: MeasureCache, nj: int = 1, batch_size: int = 16
) -> Measured:
    """Measure what ``cache`` does not hold yet.

    What is known is found by a key of the instrument's identity and the content of the
    recording, its words and its reference, as far as the instrument depends on them.

    Args:
        jobs: what to measure. An instrument that is unavailable is left out.
        cache: read first, appended to, and in the end left with the entries used.
        nj: processes for instruments that are not ``on_device``.
        batch_size: of those that are.
    """
    made, unavailable = _make(jobs)
    jobs = [job for job in jobs if job.choice in made]
    digests = _Digests()
    entries: dict[tuple[str, str], dict[str, dict]] = {}
    keys, work = {}, []
    for job in jobs:
        cell = job.row, job.choice.folder
        known = cache.read(job.choice.folder, job.row)
        instrument = made[job.choice]
        keys[cell] = {r.utt: digests.key(instrument, r) for r in job.recordings}
        entries[cell] = {
            utt: known[key] for utt, key in keys[cell].items() if key in known
        }
        todo = [r for r in job.recordings if r.utt not in entries[cell]]
        work.append(Job(job.row, job.choice, todo))
    total = sum(len(job.recordings) for job in work)
    logging.info(
        "%d measurements, %d known, %d to do in %d processes",
        sum(map(len, keys.values())),
        sum(map(len, entries.values())),
        total,
        nj,
    )
    done = 0
    for job, results in _run(work, made, nj, batch_size):
        cell = job.row, job.choice.folder
        if isinstance(results, Unavailable):
            unavailable.setdefault(job.choice.folder, str(results))
            made.pop(job.choice, None)
            continue
        new = {r.utt: e for r, e in zip(job.recordings, results, strict=True)}
        lines = [{"utt": u, "key": keys[cell][u], **e} for u, e in new.items()]
        cache.append(job.choice.folder, job.row, lines)
        entries[cell] |= new
        before, done = done, done + len(new)
        if done == total or 10 * done // total > 10 * before // total:
            logging.info("measured %d of %d, now %s", done, total, job.choice.folder)
    for (row, folder), found in entries.items():
        own = {utt: key for utt, key in keys[row, folder].items() if utt in found}
        lines = [{**found[u], "utt": u, "key": key} for u, key in own.items()]
        cache.replace(folder, row, lines)
        entries[row, folder] = {utt: found[utt] for utt in own}
    return Measured(entries, made, unavailable, done)


def _make(jobs: list[Job]) -> tuple[dict[Choice, Instrument], dict[str, str]]:
    """Every instrument once; and what those need that cannot be had."""
    made, unavailable = {}, {}
    for choice in dict.fromkeys(job.choice for job in jobs):
        try:
            made[choice] = choice.build()
        except Unavailable as error:
            unavailable[choice.folder] = str(error)
            logging.warning("%s is not available: %s", choice.folder, error)
    return made, unavailable


class _Digests:
    """Keys of measurements; every file is read once."""

    def __init__(self):
        self.files: dict[str, str] = {}

    def of_file(self, entry: str) -> str:
        if entry not in self.files:
            self.files[entry] = audio_identity(entry)
        return self.files[entry]

    def key(self, instrument: Instrument, recording: Recording) -> str:
        parts = [VERSION, instrument.identity, self.of_file(recording.entry)]
        if instrument.needs_words:
            parts.append(list(recording.words))
        if instrument.needs_reference and recording.reference is not None:
            parts += [self.of_file(recording.reference), recording.same_words]
        return hashlib.sha1(json.dumps(parts).encode()).hexdigest()


def _run(
    jobs: list[Job], made: dict[Choice, Instrument], nj: int, batch_size: int
) -> Iterator[tuple[Job, list[dict] | Unavailable]]:
    """Measure pieces of the jobs, first those without a device."""
    sides: dict[bool, list[Job]] = {True: [], False: []}
    for job in jobs:
        sides[made[job.choice].on_device].append(job)
    pooled = list(_pieces(sides[False], _CHUNK))
    if nj <= 1 or len(pooled) < 2:
        for piece in pooled:
            yield piece, _measure_piece(piece, made)
    else:
        with process_pool(nj, "spawn") as pool:
            results = pool.map(_measure_in_process, pooled)
            yield from zip(pooled, results, strict=True)
    for job in sides[True]:
        longest_first = sorted(job.recordings, key=lambda r: -_size(r.entry))
        job = Job(job.row, job.choice, longest_first)
        own_size = getattr(made.get(job.choice), "batch_size", None)
        for piece in _pieces([job], own_size or batch_size):
            yield piece, _measure_piece(piece, made)


def _pieces(jobs: list[Job], size: int) -> Iterator[Job]:
    for job in jobs:
        for start in range(0, len(job.recordings), size):
            part = job.recordings[start : start + size]
            yield Job(job.row, job.choice, part)


def _size(entry: str) -> int:
    """Of the file: recordings of similar length are batched."""
    return os.stat(entry).st_size if Path(entry).is_file() else 0


def _measure_piece(
    piece: Job, made: dict[Choice, Instrument]
) -> list[dict] | Unavailable:
    """Numbers of its recordings, or why the instrument cannot be used after all."""
    if piece.choice not in made:
        return Unavailable("failed before")
    try:
        return made[piece.choice](piece.recordings)
    except Unavailable as error:
        return error


_OF_PROCESS: dict[Choice, Instrument] = {}


def _measure_in_process(piece: Job) -> list[dict] | Unavailable:
    """In a process of the pool, which makes its own instruments."""
    if piece.choice not in _OF_PROCESS:
        _OF_PROCESS[piece.choice] = piece.choice.build()
    return _measure_piece(piece, _OF_PROCESS)


def gather_measures(
    words: dict[str, list[str]], results: dict[str, dict[str, dict]]
) -> dict[str, Measures]:
    """Words, word times and pitch of each recording of a row.

    Args:
        words: utt -> its own, normalised.
        results: ``recogniser``, ``aligner``, ``pitch`` -> utt -> what they found; any
            may be absent.
    """
    pitches, times = results.get("pitch", {}), results.get("aligner", {})
    texts = results.get("recogniser", {})
    gathered = {}
    for utt in {**pitches, **times, **texts}:
        pitch, time = pitches.get(utt, {}), times.get(utt, {})
        failure = pitch.get("failure") or time.get("failure") or ""
        measures = Measures(list(words.get(utt, [])), failure=failure)
        measures.recognised = texts.get(utt, {}).get("text", "")
        if "f0" in pitch:
            measures.seconds = pitch["seconds"]
            measures.f0 = np.array(pitch["f0"], np.float64)
            measures.frame_period = pitch["frame_period"]
            measures.log_f0 = mean_log_f0(measures.f0)
        if "starts" in time and not failure:
            measures.starts = np.array(time["starts"], np.float64)
            measures.durations = np.array(time["durations"], np.float64)
            measures.pauses = np.array(time["pauses"], np.float64)
            measures.word_log_f0 = word_log_f0(
                measures.f0, measures.frame_period, measures.starts, measures.durations
            )
        gathered[utt] = measures
    return gathered


def read_measures(folder: Path, row: str) -> dict[str, Measures]:
    """utt -> what ``bin.score`` left of a row in its ``measures``; {} if nothing."""
    results = {
        name: MeasureCache(folder).read_utterances(name, row)
        for name in ("recogniser", "aligner", "pitch")
    }
    words = {utt: e.get("words", []) for utt, e in results["aligner"].items()}
    return gather_measures(words, results)
