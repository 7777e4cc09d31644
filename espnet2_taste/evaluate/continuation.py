"""Does a continuation keep the prompt's manner of speaking?"""

import itertools
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from espnet2_taste.evaluate.duration import residuals, type_means
from espnet2_taste.evaluate.matching import (
    Measures,
    coverage,
    reason,
    speaker_means,
)
from espnet2_taste.evaluate.statistics import Statistics
from espnet2_taste.io.ctm import TimedWord, read_ctm
from espnet2_taste.text.normalise import spaced_words


@dataclass(frozen=True)
class ContinuationScores:
    """How C continuations relate to their prompts (residuals: see ``duration``).

    Attributes:
        statistics: by metric key,
            ``continuation_rate_corr``: Pearson's r over utterances between the mean
            word-duration residual of the prompt's words (reference recording) and of
            the generated words (their own audio); -1 to 1, nan if undefined;
            ``slow_prompt_factor``, ``fast_prompt_factor``: mean duration, relative to
            usual (exp of the mean residual), of continuations of the slower and of the
            faster half of the prompts; > 0, equal if the manner is not kept;
            ``continuation_f0_corr``: the same r between mean ln F0 of prompt and
            continuation, each minus the speaker's mean over prompts or over
            continuations. The speaker embedding may carry the level: compare with a
            random-code control;
            ``coverage``: share of the utterances that are compared.
        skipped: reason -> utterances left out.
        unknown_words: generated words without a type mean, left out of the means.
        slowness: compared utterance -> mean residual of prompt and of continuation.
    """

    statistics: dict[str, Statistics]
    skipped: dict[str, int]
    unknown_words: int
    slowness: dict[str, tuple[float, float]]


def reference_type_means(
    reference: dict[str, Measures], train_ctm: Path | None = None
) -> dict[str, float]:
    """Mean ln duration per word type from the reference recordings (all their words).

    Types unseen there come from the training set's ``words.ctm``, shifted by the mean
    difference over the types both have: its times come from another aligner.
    """
    aligned = [m for m in reference.values() if not m.failure]
    words = np.array([w for m in aligned for w in m.words], dtype=str)
    durations = np.concatenate([m.durations for m in aligned] or [np.zeros(0)])
    means = type_means(words, durations, min_count=1)
    if train_ctm is not None and Path(train_ctm).exists():
        train = ctm_type_means(read_ctm(train_ctm))
        common = sorted(set(train) & set(means))
        shift = np.mean([means[w] - train[w] for w in common]) if common else 0.0
        means = {w: m + float(shift) for w, m in train.items()} | means
    return means


def ctm_type_means(utterances: dict[str, list[TimedWord]]) -> dict[str, float]:
    """Mean ln duration [ln s] per word type of a CTM."""
    total: dict[str, float] = defaultdict(float)
    count: Counter[str] = Counter()
    for timed in itertools.chain.from_iterable(utterances.values()):
        key = " ".join(spaced_words(timed.word))
        if key and timed.duration > 0:
            total[key] += float(np.log(timed.duration))
            count[key] += 1
    return {word: total[word] / count[word] for word in total}


def score_continuations(
    reference: dict[str, Measures],
    row: dict[str, Measures],
    prompts: dict[str, list[str]],
    means: dict[str, float],
    utt2spk: dict[str, str],
) -> ContinuationScores:
    """Compare generated continuations with their prompts.

    Args:
        reference: original recordings, whose first words are the prompts.
        row: continuations, aligned to their generated words only.
        prompts: utt -> the prompt's words (normalised).
        means: from ``reference_type_means``.
        utt2spk: speaker of each utterance.
    """
    skipped: Counter[str] = Counter()
    if unprompted := len(set(reference) - set(prompts)):
        skipped["no prompt or nothing generated"] = unprompted
    ids, prompt_values, row_values, prompt_f0, unknown = [], [], [], {}, 0
    for utt, words in prompts.items():
        whole, generated = reference.get(utt), row.get(utt)
        n = len(words)
        if generated is None:
            skipped["missing"] += 1
        elif whole is None or not n or whole.words[:n] != words:
            skipped["prompt is not the start of the reference"] += 1
        elif whole.failure or generated.failure:
            prefix = "reference: " if whole.failure else ""
            skipped[prefix + reason(whole.failure or generated.failure)] += 1
        else:
            before = residuals(whole.words[:n], whole.durations[:n], means)
            after = residuals(generated.words, generated.durations, means)
            unknown += int(np.isnan(after).sum())
            if np.isnan(before).all() or np.isnan(after).all():
                skipped["no word of known duration"] += 1
                continue
            ids.append(utt)
            prompt_values.append(np.nanmean(before))
            row_values.append(np.nanmean(after))
            voiced = whole.word_log_f0[:n][np.isfinite(whole.word_log_f0[:n])]
            prompt_f0[utt] = voiced.mean() if len(voiced) else float("nan")
    before, after = np.array(prompt_values), np.array(row_values)
    slow = before > np.median(before) if len(before) else np.zeros(0, bool)
    items = np.arange(len(ids))
    levels = _levels(prompt_f0, utt2spk), _levels(_log_f0(row, ids), utt2spk)

    def factor(chosen: np.ndarray) -> Statistics:
        utterances = [utt for utt, use in zip(ids, chosen, strict=True) if use]
        return Statistics.mean(
            dict(zip(utterances, np.exp(after[chosen]), strict=True))
        )

    return ContinuationScores(
        statistics={
            "continuation_rate_corr": Statistics.correlation(ids, before, after, items),
            "slow_prompt_factor": factor(slow),
            "fast_prompt_factor": factor(~slow),
            "continuation_f0_corr": Statistics.correlation(ids, *levels, items),
            "coverage": coverage(ids, list(reference)),
        },
        skipped=dict(skipped),
        unknown_words=unknown,
        slowness=dict(zip(ids, zip(before, after, strict=True), strict=True)),
    )


def _log_f0(row: dict[str, Measures], ids: list[str]) -> dict[str, float]:
    return {utt: row[utt].log_f0 for utt in ids}


def _levels(log_f0: dict[str, float], utt2spk: dict[str, str]) -> np.ndarray:
    """(C,) ln F0 minus the speaker's mean; nan for a speaker with one utterance."""
    side = {utt: Measures([], log_f0=value) for utt, value in log_f0.items()}
    means = speaker_means(side, utt2spk, min_count=2)
    return np.array([v - means[utt2spk[utt]] for utt, v in log_f0.items()])
