"""Measure recordings once: words, word times and pitch; cached and in parallel."""

import dataclasses
import hashlib
import json
import logging
import math
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from espnet2_taste.metrics.audio import SAMPLE_RATE, audio_identity, read_audio
from espnet2_taste.metrics.f0 import mean_log_f0, word_log_f0
from espnet2_taste.metrics.matching import Measures
from espnet2_taste.metrics.pocketsphinx_scorer import (
    AlignmentError,
    PocketsphinxScorer,
)
from espnet2_taste.metrics.words import normalise_words
from espnet2_taste.units.world import f0_contour

# Part of every cache key: change it when a measurement changes.
VERSION = "1"
_ARRAYS = ("starts", "durations", "pauses", "word_log_f0", "f0")
_scorer: PocketsphinxScorer | None = None


@dataclass(frozen=True)
class Recording:
    """One utterance to measure: its id, ``wav.scp`` entry and own words."""

    utt: str
    entry: str
    words: tuple[str, ...]


def measure_recording(recording: Recording, scorer: PocketsphinxScorer) -> Measures:
    """Measure one recording; what fails is said in ``failure``, never raised."""
    words = list(recording.words)
    result = Measures(words)
    try:
        wav = read_audio(recording.entry, recording.utt)
    except (FileNotFoundError, ValueError) as error:
        logging.warning("%s", error)
        result.failure = "unreadable audio"
        return result
    result.seconds = len(wav) / SAMPLE_RATE
    if not len(wav):
        result.failure = "no audio"
        return result
    result.hypothesis = normalise_words(scorer.recognise(wav))
    result.f0, result.frame_period = f0_contour(wav, SAMPLE_RATE)
    result.log_f0 = mean_log_f0(result.f0)
    try:
        times = scorer.align(wav, words)
    except AlignmentError as error:
        result.failure = str(error)
        return result
    result.starts, result.durations, result.pauses = dataclasses.astuple(times)
    result.word_log_f0 = word_log_f0(
        result.f0, result.frame_period, times.starts, times.durations
    )
    return result


def measure_rows(
    rows: dict[str, list[Recording]],
    cache_dir: Path,
    grammar: Path | None = None,
    nj: int = 1,
) -> dict[str, dict[str, Measures]]:
    """Measure every recording of every row, in ``nj`` processes.

    Results are kept in ``cache_dir/<row>.json`` under a key made of the audio's
    content, its words and the scorer, so only what changed is measured again.

    Returns:
        row -> utt -> Measures, in the order given.
    """
    grammar_text = Path(grammar).read_text() if grammar is not None else ""
    scorer_id = f"{VERSION} pocketsphinx {grammar_text}"
    known, keys, work = {}, {}, []
    for row, recordings in rows.items():
        known[row] = _read_cache(cache_dir / f"{_file_name(row)}.json")
        for recording in recordings:
            identity = audio_identity(recording.entry)
            seed = json.dumps([scorer_id, identity, recording.words])
            key = hashlib.sha1(seed.encode()).hexdigest()
            keys[row, recording.utt] = key
            if key not in known[row]:
                work.append((row, recording))
    logging.info(
        "%d recordings, %d already measured, %d to do in %d processes",
        len(keys),
        len(keys) - len(work),
        len(work),
        nj,
    )
    step = max(1, len(work) // 10)
    measured = _run([recording for _, recording in work], grammar, nj)
    for done, ((row, recording), result) in enumerate(
        zip(work, measured, strict=True), start=1
    ):
        known[row][keys[row, recording.utt]] = result
        if done % step == 0 or done == len(work):
            logging.info("measured %d of %d recordings", done, len(work))
    results = {}
    for row, recordings in rows.items():
        used = {r.utt: keys[row, r.utt] for r in recordings}
        results[row] = {utt: known[row][key] for utt, key in used.items()}
        _write_cache(
            cache_dir / f"{_file_name(row)}.json",
            {key: known[row][key] for key in used.values()},
        )
    return results


def _file_name(row: str) -> str:
    """Row names may hold a ``:`` before the seed, which is awkward in file names."""
    return row.replace(":", "_seed").replace("/", "_")


def _run(recordings: list[Recording], grammar: Path | None, nj: int):
    """Yield the measures of each recording, in order."""
    if nj <= 1 or len(recordings) < 2:
        scorer = PocketsphinxScorer(grammar) if recordings else None
        for recording in recordings:
            yield measure_recording(recording, scorer)
        return
    # Loading the scorer here first turns a bad grammar into one clear error.
    PocketsphinxScorer(grammar)
    chunk = max(1, min(16, len(recordings) // (4 * nj)))
    with ProcessPoolExecutor(
        nj, multiprocessing.get_context("spawn"), _start_worker, (grammar,)
    ) as pool:
        yield from pool.map(_measure_in_worker, recordings, chunksize=chunk)


def _start_worker(grammar: Path | None) -> None:
    global _scorer
    _scorer = PocketsphinxScorer(grammar)


def _measure_in_worker(recording: Recording) -> Measures:
    return measure_recording(recording, _scorer)


def _read_cache(path: Path) -> dict[str, Measures]:
    if not path.exists():
        return {}
    content = json.loads(path.read_text(encoding="utf-8"))
    return {key: _decode(value) for key, value in content.items()}


def _write_cache(path: Path, measures: dict[str, Measures]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    content = {key: _encode(value) for key, value in measures.items()}
    temporary.write_text(json.dumps(content), encoding="utf-8")
    os.replace(temporary, path)


def _encode(measures: Measures) -> dict:
    """JSON has no nan: it is written as null."""
    fields = vars(measures).copy()
    for name in _ARRAYS:
        values = fields[name].tolist()
        fields[name] = [None if math.isnan(x) else x for x in values]
    if math.isnan(fields["log_f0"]):
        fields["log_f0"] = None
    return fields


def _decode(fields: dict) -> Measures:
    for name in _ARRAYS:
        fields[name] = np.array(fields[name], dtype=np.float64)
    if fields["log_f0"] is None:
        fields["log_f0"] = float("nan")
    return Measures(**fields)
