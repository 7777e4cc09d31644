"""Pairing of a row's utterances and words with those of the reference recordings."""

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field

import numpy as np

from espnet2_taste.evaluate.statistics import Statistics


@dataclass
class Measures:
    """What was measured on one recording, from its audio and its words alone.

    Attributes:
        words: W words as normalised (the row's own text).
        recognised: text of the independent recogniser.
        seconds: length of the audio.
        failure: why there are no word times, "" when there are.
        starts, durations, pauses: (W,) s, see ``WordTimes``; empty after a failure.
        log_f0: mean ln F0 of the utterance, nan if unvoiced.
        word_log_f0: (W,) mean ln F0 per word, nan where unvoiced; empty on failure.
        f0: (F,) contour in Hz, 0 where unvoiced; frames of ``frame_period`` s.
        frame_period: s.
    """

    words: list[str]
    recognised: str = ""
    seconds: float = 0.0
    failure: str = ""
    starts: np.ndarray = field(default_factory=lambda: np.zeros(0))
    durations: np.ndarray = field(default_factory=lambda: np.zeros(0))
    pauses: np.ndarray = field(default_factory=lambda: np.zeros(0))
    log_f0: float = float("nan")
    word_log_f0: np.ndarray = field(default_factory=lambda: np.zeros(0))
    f0: np.ndarray = field(default_factory=lambda: np.zeros(0))
    frame_period: float = 0.005


@dataclass(frozen=True)
class WordPairs:
    """N words that occur in both recordings of an utterance.

    Attributes:
        words: (N,) str. utterances: (N,) int index into ``ids``.
        *_duration: (N,) s. *_pause: (N,) s, nan after an utterance's last word.
        *_log_f0: (N,) ln F0 minus the speaker's mean, nan where unvoiced.
        ids: the matched utterances. reference_ids: all.
        failures: why others are not matched -> how many utterances.
    """

    words: np.ndarray
    utterances: np.ndarray
    reference_duration: np.ndarray
    row_duration: np.ndarray
    reference_pause: np.ndarray
    row_pause: np.ndarray
    reference_log_f0: np.ndarray
    row_log_f0: np.ndarray
    ids: list[str]
    reference_ids: list[str]
    failures: dict[str, int]

    @property
    def coverage(self) -> Statistics:
        """Share of the reference utterances that could be compared, 0 to 1."""
        return coverage(self.ids, self.reference_ids)


@dataclass(frozen=True)
class UtterancePairs:
    """(U,) utterance means of ln F0 minus the speaker's mean, nan if undefined."""

    ids: list[str]
    reference_log_f0: np.ndarray
    row_log_f0: np.ndarray


def coverage(compared: list[str], everything: list[str]) -> Statistics:
    """Share of all utterances that are compared. Unit: none, range 0 to 1."""
    known = set(compared)
    return Statistics.mean({utt: float(utt in known) for utt in everything})


def speaker_means(
    measures: dict[str, Measures], utt2spk: dict[str, str], min_count: int = 1
) -> dict[str, float]:
    """Mean over a speaker's utterances of their mean ln F0; nan if < ``min_count``."""
    values = defaultdict(list)
    for utt, measure in measures.items():
        if np.isfinite(measure.log_f0):
            values[utt2spk[utt]].append(measure.log_f0)
    means = defaultdict(lambda: float("nan"))
    means.update(
        {s: float(np.mean(v)) for s, v in values.items() if len(v) >= min_count}
    )
    return means


def reason(failure: str) -> str:
    """What failures are counted by: without the details in brackets."""
    return re.sub(r" \(.*\)$", "", failure)


def _failure(reference: Measures, row: Measures | None) -> str:
    if row is None:
        return "missing"
    if reference.failure:
        return f"reference: {reason(reference.failure)}"
    if row.failure:
        return reason(row.failure)
    if reference.words != row.words:
        return "other words"
    return ""


def pair_words(
    reference: dict[str, Measures], row: dict[str, Measures], utt2spk: dict[str, str]
) -> WordPairs:
    """Pair all words of the utterances aligned in both; count the utterances lost."""
    status = {utt: _failure(m, row.get(utt)) for utt, m in reference.items()}
    ids = [utt for utt, reason in status.items() if not reason]
    failures = dict(Counter(reason for reason in status.values() if reason))
    means = speaker_means(reference, utt2spk), speaker_means(row, utt2spk)

    def gather(measures: dict[str, Measures], name: str) -> np.ndarray:
        parts = [getattr(measures[utt], name) for utt in ids]
        return np.concatenate(parts) if parts else np.zeros(0)

    counts = [len(reference[utt].words) for utt in ids]

    def gather_f0(measures: dict[str, Measures], mean: dict[str, float]) -> np.ndarray:
        level = np.array([mean[utt2spk[utt]] for utt in ids], np.float64)
        return gather(measures, "word_log_f0") - np.repeat(level, counts)

    return WordPairs(
        words=np.array([w for utt in ids for w in reference[utt].words], dtype=str),
        utterances=np.repeat(np.arange(len(ids)), counts),
        reference_duration=gather(reference, "durations"),
        row_duration=gather(row, "durations"),
        reference_pause=gather(reference, "pauses"),
        row_pause=gather(row, "pauses"),
        reference_log_f0=gather_f0(reference, means[0]),
        row_log_f0=gather_f0(row, means[1]),
        ids=ids,
        reference_ids=list(reference),
        failures=failures,
    )


def pair_utterances(
    reference: dict[str, Measures], row: dict[str, Measures], utt2spk: dict[str, str]
) -> UtterancePairs:
    """Pair utterance pitch levels; speakers with one utterance have no level."""
    ids = [utt for utt in reference if utt in row]

    def levels(measures: dict[str, Measures]) -> np.ndarray:
        present = {utt: measures[utt] for utt in ids}
        means = speaker_means(present, utt2spk, min_count=2)
        return np.array([present[u].log_f0 - means[utt2spk[u]] for u in ids], float)

    return UtterancePairs(ids, levels(reference), levels(row))
