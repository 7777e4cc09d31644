"""Measure recordings once: words, word times and pitch; cached and in parallel."""

import hashlib
import json
import logging
import math
import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
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
# One scorer per grammar and process; loading takes 0.2 s.
_scorer = cache(PocketsphinxScorer)


@dataclass(frozen=True)
class Recording:
    """One utterance to measure.

    Attributes:
        utt: id. entry: of ``wav.scp``. words: its own, normalised.
        grammar: JSGF file for the recogniser, None for its general LM.
    """

    utt: str
    entry: str
    words: tuple[str, ...]
    grammar: Path | None = None


def measure_recording(recording: Recording) -> Measures:
    """Measure one recording; what fails is said in ``failure``, never raised."""
    scorer = _scorer(recording.grammar)
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
    f0, result.frame_period = f0_contour(wav, SAMPLE_RATE)
    result.f0 = f0.round(3)
    result.log_f0 = mean_log_f0(result.f0)
    try:
        times = scorer.align(wav, words)
    except AlignmentError as error:
        result.failure = str(error)
        return result
    result.starts, result.durations = times.starts, times.durations
    result.pauses = times.pauses
    result.word_log_f0 = word_log_f0(
        result.f0, result.frame_period, times.starts, times.durations
    )
    return result


def measure_rows(
    rows: dict[str, list[Recording]],
    cache_dir: Path,
    nj: int = 1,
) -> dict[str, dict[str, Measures]]:
    """Measure every recording of every row, in ``nj`` processes.

    Results are kept in ``cache_dir/<row>.json`` beside a key made of the audio's
    content, its words and the scorer, so only what changed is measured again.

    Returns:
        row -> utt -> Measures, in the order given.
    """
    grammars = {r.grammar for recordings in rows.values() for r in recordings}
    grammar_text = {g: Path(g).read_text() if g else "" for g in grammars}
    known, keys, work = {}, {}, []
    for row, recordings in rows.items():
        content = _read_json(cache_dir / f"{_file_name(row)}.json")
        known[row] = dict(_decode(entry) for entry in content.values())
        for recording in recordings:
            identity = audio_identity(recording.entry)
            grammar = grammar_text[recording.grammar]
            seed = json.dumps([VERSION, grammar, identity, recording.words])
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
    measured = _run([recording for _, recording in work], nj)
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
        content = {
            utt: {"key": key, **_encode(known[row][key])} for utt, key in used.items()
        }
        _write_json(cache_dir / f"{_file_name(row)}.json", content)
    return results


def read_measures(cache_dir: Path, row: str) -> dict[str, Measures]:
    """utt -> what ``measure_rows`` found for a row; {} if it was not measured."""
    content = _read_json(cache_dir / f"{_file_name(row)}.json")
    return {utt: _decode(entry)[1] for utt, entry in content.items()}


def _file_name(row: str) -> str:
    """Row names may hold a ``:`` before the seed, which is awkward in file names."""
    return row.replace(":", "_seed").replace("/", "_")


def _run(recordings: list[Recording], nj: int) -> Iterator[Measures]:
    """Yield the measures of each recording, in order."""
    # Loading the scorers here turns a bad grammar into one clear error.
    for grammar in {r.grammar for r in recordings}:
        _scorer(grammar)
    if nj <= 1 or len(recordings) < 2:
        yield from map(measure_recording, recordings)
        return
    chunk = max(1, min(16, len(recordings) // (4 * nj)))
    with ProcessPoolExecutor(nj, multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(measure_recording, recordings, chunksize=chunk)


def _read_json(path: Path) -> dict[str, dict]:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def _write_json(path: Path, content: dict[str, dict]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
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


def _decode(entry: dict) -> tuple[str, Measures]:
    """An entry of the cache file -> its key and the measures."""
    fields = dict(entry)
    key = fields.pop("key")
    for name in _ARRAYS:
        fields[name] = np.array(fields[name], dtype=np.float64)
    if fields["log_f0"] is None:
        fields["log_f0"] = float("nan")
    return key, Measures(**fields)
