"""`times`: when each word is said; what that says of rate, pitch and pauses."""

from collections import Counter, defaultdict
from functools import lru_cache
from pathlib import Path

import numpy as np

from espnet2_taste.asr.abs_aligner import AbsAligner, AlignmentError
from espnet2_taste.evaluate.rows import Measures
from espnet2_taste.evaluate.scorers import prosody
from espnet2_taste.evaluate.scorers.abs_scorer import (
    AbsScorer,
    Column,
    Recording,
    Row,
    Statistics,
)
from espnet2_taste.evaluate.scorers.reading import read_all
from espnet2_taste.io.ctm import read_ctm
from espnet2_taste.text.normalise import spaced_words

MIN_SAMPLES = 1600  # 0.1 s: less holds no word


def _column(key: str, label: str, meaning: str, **others) -> Column:
    others = {"group": "prosody", "table": "continuation"} | others
    return Column(key, label, meaning, **others)


class TimesScorer(AbsScorer):
    """Aligner -> ``{"starts", "durations", "pauses", "words"}``, or ``{"failure"}``.

    Args:
        aligner: of the words of each recording.
        train_ctm: word times of the training set, if any: how long words usually are.
    """

    name = "times"
    needs_words = True
    columns = (
        *prosody.METRICS.values(),
        _column(
            "continuation_rate_corr",
            "Speaking rate",
            "correlation of prompt and continuation in their mean word-duration "
            "residuals: ln duration minus what is usual of the word",
        ),
        _column(
            "slow_prompt_factor",
            "After slow",
            "duration relative to usual after the slower half of the prompts",
            better="",
        ),
        _column(
            "fast_prompt_factor",
            "After fast",
            "duration relative to usual after the faster half of the prompts",
            better="",
        ),
        _column(
            "continuation_f0_corr",
            "F0 level",
            "correlation of prompt and continuation in mean ln F0 minus the speaker's "
            "mean",
        ),
        _column(
            "coverage",
            "Coverage",
            "share of utterances (prompts) aligned on both sides: those compared",
            table="",
        ),
    )

    def __init__(self, aligner: AbsAligner, train_ctm: Path | None = None):
        self.aligner, self.train_ctm = aligner, train_ctm
        self.on_device = aligner.on_device

    @property
    def identity(self) -> str:
        return self.aligner.identity

    def __call__(self, recordings: list[Recording]) -> list[dict]:
        results, wavs = read_all(recordings)
        for i, wav in list(wavs.items()):
            if not recordings[i].words or len(wav) < MIN_SAMPLES:
                reason = "no words" if len(wav) >= MIN_SAMPLES else "no audio"
                results[i] = {"failure": reason}
                del wavs[i]
        said = [recordings[i] for i in wavs]
        times = self.aligner(said, list(wavs.values())) if wavs else []
        for i, entry in zip(wavs, times, strict=True):
            if isinstance(entry, AlignmentError):
                results[i] = {"failure": str(entry)}
            else:
                names = ("starts", "durations", "pauses")
                results[i] = {name: getattr(entry, name).tolist() for name in names}
            results[i]["words"] = list(recordings[i].words)
        return results

    def score(self, row: Row, original: Row) -> dict[str, Statistics]:
        if row.table == "continuation":
            means = reference_type_means(original.measures, self.train_ctm)
            return score_continuations(row, original.measures, means)
        pairs = prosody.pair_words(original.measures, row.measures, row.utt2spk)
        row.failures = pairs.failures
        sides = zip(*pairs.slowness, strict=True)
        _add_slowness(row, dict(zip(pairs.ids, sides, strict=True)))
        found = {c.key: function(pairs) for function, c in prosody.METRICS.items()}
        return found | {"coverage": pairs.coverage}


def _add_slowness(row: Row, slowness: dict[str, tuple[float, float]]) -> None:
    for utt, line in row.lines.items():
        sides = slowness.get(utt, (np.nan, np.nan))
        line["reference_slowness"], line["row_slowness"] = sides


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
    means = prosody.type_means(words, durations, min_count=1)
    if train_ctm is not None and Path(train_ctm).exists():
        train = ctm_type_means(train_ctm)
        common = sorted(set(train) & set(means))
        shift = np.mean([means[w] - train[w] for w in common]) if common else 0.0
        means = {w: m + float(shift) for w, m in train.items()} | means
    return means


@lru_cache(maxsize=1)
def ctm_type_means(path: Path) -> dict[str, float]:
    """Mean ln duration [ln s] per word type of a CTM."""
    durations: dict[str, list[float]] = defaultdict(list)
    for utterance in read_ctm(path).values():
        for timed in utterance:
            key = " ".join(spaced_words(timed.word))
            if key and timed.duration > 0:
                durations[key].append(float(np.log(timed.duration)))
    return {word: sum(some) / len(some) for word, some in durations.items()}


def score_continuations(
    row: Row, reference: dict[str, Measures], means: dict[str, float]
) -> dict[str, Statistics]:
    """Does a continuation keep the prompt's manner of speaking?

    ``continuation_rate_corr``: Pearson's r over utterances between the mean
    word-duration residual of the prompt's words (reference recording) and of the
    generated words (their own audio); -1 to 1, nan if undefined. ``slow_prompt_factor``
    and ``fast_prompt_factor``: mean duration, relative to usual (exp of the mean
    residual), of continuations of the slower and of the faster half of the prompts;
    > 0, equal if the manner is not kept. ``continuation_f0_corr``: the same r between
    mean ln F0 of prompt and continuation, each minus the speaker's mean over prompts or
    over continuations; the speaker embedding may carry the level: compare with a
    random-code control. ``coverage``: share of the utterances that are compared.

    Args:
        row: continuations, aligned to their generated words only.
        reference: original recordings, whose first words are the prompts.
        means: from ``reference_type_means``.
    """
    skipped: Counter[str] = Counter()
    if unprompted := len(set(reference) - set(row.prompts)):
        skipped["no prompt or nothing generated"] = unprompted
    slowness, prompt_f0, unknown = {}, {}, 0
    for utt, words in row.prompts.items():
        whole, generated = reference.get(utt), row.measures.get(utt)
        n = len(words)
        if generated is None:
            skipped["missing"] += 1
        elif whole is None or not n or whole.words[:n] != words:
            skipped["prompt is not the start of the reference"] += 1
        elif whole.failure or generated.failure:
            prefix = "reference: " if whole.failure else ""
            why = prosody.reason(whole.failure or generated.failure)
            skipped[prefix + why] += 1
        else:
            before = prosody.residuals(whole.words[:n], whole.durations[:n], means)
            after = prosody.residuals(generated.words, generated.durations, means)
            unknown += int(np.isnan(after).sum())
            if np.isnan(before).all() or np.isnan(after).all():
                skipped["no word of known duration"] += 1
                continue
            slowness[utt] = np.nanmean(before), np.nanmean(after)
            voiced = whole.word_log_f0[:n][np.isfinite(whole.word_log_f0[:n])]
            prompt_f0[utt] = voiced.mean() if len(voiced) else float("nan")
    row.failures = dict(skipped)
    if unknown:
        row.failures["(generated words of unknown duration)"] = unknown
    _add_slowness(row, slowness)
    ids, items = list(slowness), np.arange(len(slowness))
    before, after = np.array(list(slowness.values())).reshape(-1, 2).T
    slow = before > np.median(before) if ids else np.zeros(0, bool)
    row_f0 = {utt: row.measures[utt].log_f0 for utt in ids}
    levels = [prosody.f0_levels(s, row.utt2spk) for s in (prompt_f0, row_f0)]

    def factor(chosen: np.ndarray) -> Statistics:
        utterances = [utt for utt, use in zip(ids, chosen, strict=True) if use]
        values = np.exp(after[chosen])
        return Statistics.mean(dict(zip(utterances, values, strict=True)))

    return {
        "continuation_rate_corr": Statistics.correlation(ids, before, after, items),
        "slow_prompt_factor": factor(slow),
        "fast_prompt_factor": factor(~slow),
        "continuation_f0_corr": Statistics.correlation(ids, *levels, items),
        "coverage": prosody.coverage(ids, list(reference)),
    }
