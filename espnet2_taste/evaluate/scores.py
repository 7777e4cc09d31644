"""Scores of whole rows, and of rows over sampling seeds."""

import math
from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from espnet2_taste.evaluate import duration, f0, pause
from espnet2_taste.evaluate.continuation import ContinuationScores
from espnet2_taste.evaluate.matching import (
    Measures,
    pair_utterances,
    pair_words,
    reason,
)
from espnet2_taste.evaluate.scorers.rows import Row
from espnet2_taste.evaluate.statistics import Statistics, interval, resampled
from espnet2_taste.evaluate.undefined import null
from espnet2_taste.evaluate.wer import WordErrors, error_statistics

MIN_UTTERANCES = 10  # fewer have no interval: a bootstrap of them means nothing


@dataclass
class RowScores:
    """Scores of one row and seed.

    Attributes:
        row: whose scores these are.
        statistics: metric key (see ``columns``) -> its sums per utterance.
        errors: word error counts over the reference set.
        failures: why utterances could not be compared -> how many.
        utterances: one dict per reference utterance, for the CSV.
    """

    row: Row
    statistics: dict[str, Statistics] = field(default_factory=dict)
    errors: WordErrors | None = None
    failures: dict[str, int] = field(default_factory=dict)
    utterances: list[dict] = field(default_factory=list)


def score_words(
    row: Row,
    measures: dict[str, Measures],
    words: dict[str, list[str]],
    hypotheses: dict[str, list[str]] | None,
) -> RowScores:
    """WER and CER of a row, and its lines for the CSV.

    Args:
        row: of the table.
        measures: utt -> what was measured.
        words: utt -> its words as the recogniser's cleaner leaves them.
        hypotheses: utt -> recognised words, cleaned alike; a missing utterance counts
            all its words as deleted. None: nothing was recognised.
    """
    scores = RowScores(row)
    for utt in words:
        measure = measures.get(utt)
        line = {"row": row.name, "seed": row.seed, "utt": utt}
        line["failure"] = "missing" if measure is None else measure.failure
        line["seconds"] = round(measure.seconds, 3) if measure is not None else ""
        scores.utterances.append(line)
    if hypotheses is not None:
        scores.errors, scores.statistics, counts = error_statistics(words, hypotheses)
        for line in scores.utterances:
            errors, utt = counts[line["utt"]], line["utt"]
            line |= {
                "words": errors.words,
                "sub": errors.substituted,
                "del": errors.deleted,
                "ins": errors.inserted,
                "text": " ".join(words[utt]),
                "recognised": " ".join(hypotheses.get(utt, [])),
            }
    failures = [reason(line["failure"]) for line in scores.utterances]
    scores.failures = dict(Counter(filter(None, failures)))
    return scores


def add_reconstruction(
    scores: RowScores,
    reference: dict[str, Measures],
    measures: dict[str, Measures],
    utt2spk: dict[str, str],
) -> None:
    """Add the prosody of a row that says the same as the reference recordings."""
    pairs = pair_words(reference, measures, utt2spk)
    scores.failures = pairs.failures
    scores.statistics |= {
        "duration_residual_corr": duration.residual_correlation(pairs),
        "rate_corr": duration.rate_correlation(pairs),
        "utterance_f0_corr": f0.utterance_f0_correlation(
            pair_utterances(reference, measures, utt2spk)
        ),
        "word_f0_corr": f0.word_f0_correlation(pairs),
        "pause_corr": pause.pause_correlation(pairs),
        "duration_consistency": duration.duration_consistency(pairs),
        "coverage": pairs.coverage,
    }
    sides = zip(*duration.slowness(pairs), strict=True)
    _add_slowness(scores, dict(zip(pairs.ids, sides, strict=True)))
    missing = Measures([])
    for line in scores.utterances:
        for side, source in (("reference", reference), ("row", measures)):
            line[f"{side}_log_f0"] = rounded(source.get(line["utt"], missing).log_f0)


def add_continuation(scores: RowScores, result: ContinuationScores) -> None:
    """Add the relation between prompts and continuations to a row's WER."""
    scores.statistics |= result.statistics
    scores.failures = dict(result.skipped)
    if result.unknown_words:
        scores.failures["(generated words of unknown duration)"] = result.unknown_words
    _add_slowness(scores, result.slowness)


def _add_slowness(scores: RowScores, slowness: dict[str, tuple[float, float]]) -> None:
    for line in scores.utterances:
        sides = slowness.get(line["utt"], (math.nan, math.nan))
        line["reference_slowness"], line["row_slowness"] = map(rounded, sides)


def average_seeds(scores: list[RowScores]) -> dict[str, dict]:
    """Rows of one name -> {name: {seeds, metrics, errors, failures}}, JSON-ready.

    A metric is ``{"mean", "spread", "values", "interval", "utterances"}``: mean over
    seeds, half the range over seeds (null for one seed), each seed's value, [low, high]
    of :func:`seed_interval`, and how many utterances (pairs, questions ...) each seed's
    value is of. Undefined is null. A mean is undefined as soon as one seed's value is.
    """
    table: dict[str, dict] = {}
    for name in dict.fromkeys(s.row.name for s in scores):
        group = [s for s in scores if s.row.name == name]
        metrics = {}
        for key in dict.fromkeys(k for s in group for k in s.statistics):
            found = [s.statistics.get(key) for s in group]
            values = np.array([s.value() if s is not None else math.nan for s in found])
            spread = float(np.ptp(values)) / 2 if len(group) > 1 else math.nan
            limits = None if np.isnan(values).any() else seed_interval(found)
            metrics[key] = {
                "mean": null(float(np.mean(values))),
                "spread": null(spread),
                "values": [null(float(v)) for v in values],
                "interval": limits,
                "utterances": [len(s.scored) if s is not None else 0 for s in found],
            }
        table[name] = {
            "seeds": [s.row.seed for s in group],
            "metrics": metrics,
            "errors": [vars(s.errors) if s.errors else None for s in group],
            "failures": [s.failures for s in group],
        }
    return table


def seed_interval(seeds: list[Statistics]) -> list[float] | None:
    """95 % bootstrap interval of a metric's mean over seeds.

    Utterances are drawn, the same ones for every seed: what another test set of the
    same kind would change, not what another seed would. None for fewer than
    ``MIN_UTTERANCES`` utterances.
    """
    ids = list(dict.fromkeys(utt for s in seeds for utt in s.scored))
    if len(ids) < MIN_UTTERANCES:
        return None
    draws = resampled([s.over(ids) for s in seeds]).mean(0)
    low, high = interval(draws)
    return [low, high] if math.isfinite(low) else None


def rounded(value: float) -> float | str:
    """For a CSV: five digits, "" where undefined."""
    return round(float(value), 5) if math.isfinite(value) else ""
