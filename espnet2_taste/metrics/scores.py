"""Scores of whole rows from measured recordings."""

import math
from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from espnet2_taste.metrics import duration, f0, pause
from espnet2_taste.metrics.continuation import ContinuationScores
from espnet2_taste.metrics.matching import Measures, pair_utterances, pair_words
from espnet2_taste.metrics.rows import Row
from espnet2_taste.metrics.wer import WordErrors, word_errors


@dataclass
class RowScores:
    """Scores of one row and seed.

    Attributes:
        row: whose scores these are.
        values: metric key (see ``table``) -> value, nan if undefined.
        errors: word error counts over the reference set.
        failures: why utterances could not be compared -> how many.
        utterances: one dict per reference utterance, for the CSV.
    """

    row: Row
    values: dict[str, float]
    errors: WordErrors
    failures: dict[str, int]
    utterances: list[dict] = field(default_factory=list)


def score_words(
    row: Row, measures: dict[str, Measures], words: dict[str, list[str]]
) -> RowScores:
    """WER of a row. A missing utterance counts all its words as deleted."""
    total, utterances = WordErrors(), []
    for utt, expected in words.items():
        measure = measures.get(utt)
        hypothesis = measure.hypothesis if measure is not None else []
        errors = word_errors(expected, hypothesis)
        total += errors
        utterances.append(
            {
                "row": row.name,
                "seed": row.seed,
                "utt": utt,
                "failure": "missing" if measure is None else measure.failure,
                "seconds": round(measure.seconds, 3) if measure is not None else "",
                "words": errors.words,
                "sub": errors.substituted,
                "del": errors.deleted,
                "ins": errors.inserted,
                "text": " ".join(expected),
                "recognised": " ".join(hypothesis),
            }
        )
    failures = dict(Counter(u["failure"] for u in utterances if u["failure"]))
    return RowScores(row, {"wer": total.rate}, total, failures, utterances)


def score_reconstruction(
    row: Row,
    reference: dict[str, Measures],
    measures: dict[str, Measures],
    words: dict[str, list[str]],
    utt2spk: dict[str, str],
) -> RowScores:
    """WER and prosody of a row that says the same as the reference recordings."""
    scores = score_words(row, measures, words)
    pairs = pair_words(reference, measures, utt2spk)
    both = [u for u in reference if u in measures and len(measures[u].f0)]
    period = next(iter(reference.values())).frame_period
    scores.failures = pairs.failures
    scores.values |= {
        "duration_residual_corr": duration.residual_correlation(pairs),
        "rate_corr": duration.rate_correlation(pairs),
        "utterance_f0_corr": f0.utterance_f0_correlation(
            pair_utterances(reference, measures, utt2spk)
        ),
        "word_f0_corr": f0.word_f0_correlation(pairs),
        "pause_corr": pause.pause_correlation(pairs),
        "duration_consistency": duration.duration_consistency(pairs),
        "coverage": pairs.coverage,
        "f0_rmse": f0.f0_rmse_semitones(
            [reference[u].f0 for u in both], [measures[u].f0 for u in both], period
        ),
    }
    means = duration.type_means(pairs.words, pairs.reference_duration)
    slowness = {}
    for side in ("reference", "row"):
        values = duration.residuals(
            pairs.words, getattr(pairs, f"{side}_duration"), means
        )
        per_utt = duration.utterance_means(values, pairs.utterances, len(pairs.ids))
        slowness[side] = dict(zip(pairs.ids, per_utt, strict=True))
    for line in scores.utterances:
        utt = line["utt"]
        missing = Measures([])
        for side, source in (("reference", reference), ("row", measures)):
            line[f"{side}_slowness"] = _round(slowness[side].get(utt, math.nan))
            line[f"{side}_log_f0"] = _round(source.get(utt, missing).log_f0)
    return scores


def add_continuation(scores: RowScores, result: ContinuationScores) -> RowScores:
    """Add the relation between prompts and continuations to a row's WER."""
    total = result.used + sum(result.skipped.values())
    scores.values |= {
        "continuation_rate_corr": result.rate_correlation,
        "continuation_f0_corr": result.f0_correlation,
        "slow_prompt_factor": result.slow_factor,
        "fast_prompt_factor": result.fast_factor,
        "coverage": result.used / total if total else math.nan,
    }
    scores.failures = dict(result.skipped)
    if result.unknown_words:
        scores.failures["(generated words of unknown duration)"] = result.unknown_words
    sides = (result.prompt_residual, result.row_residual)
    slowness = {u: (b, a) for u, b, a in zip(result.ids, *sides, strict=True)}
    for line in scores.utterances:
        before, after = slowness.get(line["utt"], (math.nan, math.nan))
        line["reference_slowness"], line["row_slowness"] = _round(before), _round(after)
    return scores


def average_seeds(scores: list[RowScores]) -> dict[str, dict]:
    """Rows of one name -> {name: {seeds, metrics, errors, failures}}, JSON-ready.

    A metric is ``{"mean", "spread", "values"}``: mean over seeds, half the range over
    seeds (null for one seed), and each seed's value. Undefined is null. A mean is
    undefined as soon as one seed's value is.
    """
    table: dict[str, dict] = {}
    for name in dict.fromkeys(s.row.name for s in scores):
        group = [s for s in scores if s.row.name == name]
        metrics = {}
        for key in dict.fromkeys(k for s in group for k in s.values):
            values = np.array([s.values.get(key, math.nan) for s in group])
            spread = math.nan
            if len(group) > 1:
                spread = float(np.ptp(values)) / 2
            metrics[key] = {
                "mean": _null(float(np.mean(values))),
                "spread": _null(spread),
                "values": [_null(float(v)) for v in values],
            }
        table[name] = {
            "seeds": [s.row.seed for s in group],
            "metrics": metrics,
            "errors": [vars(s.errors) for s in group],
            "failures": [s.failures for s in group],
        }
    return table


def _null(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _round(value: float) -> float | str:
    return round(float(value), 5) if math.isfinite(value) else ""
