"""From what was measured to the rows of the tables."""

import logging
import math
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from espnet2_taste.asr.transcript import Fallback, compression_ratio
from espnet2_taste.evaluate import f0
from espnet2_taste.evaluate.columns import COLUMNS
from espnet2_taste.evaluate.continuation import (
    reference_type_means,
    score_continuations,
)
from espnet2_taste.evaluate.judge import read_judge
from espnet2_taste.evaluate.matching import Measures, pair_utterances
from espnet2_taste.evaluate.scorers.instruments import Choice
from espnet2_taste.evaluate.scorers.measure import Measured, gather_measures
from espnet2_taste.evaluate.scorers.plan import Plan
from espnet2_taste.evaluate.scorers.rows import Row
from espnet2_taste.evaluate.scores import (
    RowScores,
    add_continuation,
    add_reconstruction,
    score_words,
)
from espnet2_taste.evaluate.statistics import Statistics
from espnet2_taste.evaluate.unit_accuracy import read_unit_accuracy
from espnet2_taste.text.normalise import spaced_words, unspaced_part

#: metrics that need the recogniser, or word times
_OF_RECOGNISER = ("wer", "cer")
_OF_ALIGNER = (
    *("duration_consistency", "duration_residual_corr", "rate_corr", "word_f0_corr"),
    *("pause_corr", "continuation_rate_corr", "slow_prompt_factor"),
    *("fast_prompt_factor", "continuation_f0_corr"),
)


class Scorer:
    """Rows of the reconstruction and continuation tables.

    Args:
        plan: what is scored.
        measured: all its jobs' results.
        clean: text -> the words that are compared.
        train_ctm: word times of the training set, if any: how long words usually are.
    """

    def __init__(
        self,
        plan: Plan,
        measured: Measured,
        clean: Callable[[str], list[str]],
        train_ctm: Path | None = None,
    ):
        self.plan, self.measured, self.clean = plan, measured, clean
        self.measures = {row.key: self._gather(row) for row in self.everything}
        self.reference = self.measures[plan.rows[0].key]
        self.aligned = bool(measured.of_axis("aligner"))
        self.train_ctm = train_ctm

    @property
    def everything(self) -> list[Row]:
        """Rows of both tables."""
        return self.plan.rows + self.plan.continuations

    @property
    def seconds(self) -> dict[str, float]:
        """Length of each original."""
        return {utt: m.seconds for utt, m in self.reference.items()}

    def reconstruction(self) -> list[RowScores]:
        """All rows that say what the originals say, the originals first."""
        rows, spk = [], self.plan.utt2spk
        for row in self.plan.rows:
            scores = self._words(row, self.plan.texts[row.key])
            measures = self.measures[row.key]
            if self.aligned:
                add_reconstruction(scores, self.reference, measures, spk)
            else:
                pairs = pair_utterances(self.reference, measures, spk)
                level = f0.utterance_f0_correlation(pairs)
                scores.statistics["utterance_f0_corr"] = level
            self._add_meters(scores)
            scores.statistics |= read_unit_accuracy(row.folder)
            rows.append(scores)
        return rows

    def continuation(self) -> list[RowScores]:
        """All rows of continuations."""
        rows, spk = [], self.plan.utt2spk
        if self.plan.continuations:
            means = reference_type_means(self.reference, self.train_ctm)
        for row in self.plan.continuations:
            prompts = {
                utt: spaced_words(prompt)
                for utt, prompt in self.plan.prompts[row.key].items()
            }
            # Only prompted utterances are expected to have a continuation.
            texts = self.plan.texts[row.key]
            scores = self._words(row, {u: t for u, t in texts.items() if u in prompts})
            if self.aligned:
                measures = self.measures[row.key]
                relation = score_continuations(
                    self.reference, measures, prompts, means, spk
                )
                add_continuation(scores, relation)
            self._add_meters(scores)
            if judged := read_judge(row.folder):
                scores.statistics["judge"] = Statistics.mean(judged)
                if unclear := sum(map(math.isnan, judged.values())):
                    scores.failures["(no score of the judge)"] = unclear
            rows.append(scores)
        return rows

    def _gather(self, row: Row) -> dict[str, Measures]:
        found = {
            name: self.measured.results.get((row.key, name), {})
            for name in ("recogniser", "aligner", "pitch")
        }
        words = {r.utt: list(r.words) for r in self.plan.recordings[row.key]}
        return gather_measures(words, found)

    def _words(self, row: Row, texts: dict[str, str]) -> RowScores:
        measures = self.measures[row.key]
        hypotheses = None
        if self.measured.of_axis("recogniser"):
            hypotheses = {u: self.clean(m.recognised) for u, m in measures.items()}
        words = {utt: self.clean(text) for utt, text in texts.items()}
        if row is self.plan.rows[0]:
            warn_unspaced(row.key, texts.values(), words.values())
        scores = score_words(row, measures, words, hypotheses)
        limit = Fallback.compression_ratio_threshold
        heard = [m.recognised for utt, m in measures.items() if utt in words]
        if loops := sum(compression_ratio(text) > limit for text in heard):
            scores.failures["(recogniser repeats itself)"] = loops
        return scores

    def _add_meters(self, scores: RowScores) -> None:
        """What meters found; sound recordings of which one found nothing are counted.

        Of two meters that give a metric the first one's is taken.
        """
        measures = self.measures[scores.row.key]
        for choice, meter in self.measured.of_axis("meter").items():
            name, kinds = choice.name, meter.kinds
            found = self.measured.results.get((scores.row.key, name), {})
            for key, kind in kinds.items():
                sums = {u: e[key] for u, e in found.items() if _is_measured(e, key)}
                if sums and key not in scores.statistics:
                    scores.statistics[key] = Statistics(
                        kind, list(sums), list(sums.values())
                    )
            empty = [
                utt
                for utt, entry in found.items()
                if not any(_is_measured(entry, key) for key in kinds)
            ]
            failed = sum(measures[utt].seconds > 0 for utt in empty)
            if failed and len(empty) < len(found):
                scores.failures[f"({name} failed)"] = failed


def _is_measured(entry: dict, key: str) -> bool:
    """Whether a meter gave numbers; one that is none would undo all the others."""
    sums = np.array(entry.get(key, np.nan), np.float64)  # None (of a cache) is nan
    return bool(np.isfinite(sums).all())


def not_computed(
    choices: list[Choice], unavailable: dict[str, str], rows: list[RowScores]
) -> dict[str, str]:
    """Label of each metric that could not be measured -> what to install.

    Args:
        choices: instruments that were wanted.
        unavailable: instrument's folder -> what to install.
        rows: that were scored; what one has a value of was computed.
    """
    known = {key for row in rows for key in row.statistics}
    lost: dict[str, str] = {}
    for choice in choices:
        why = unavailable.get(choice.folder)
        if why is None:
            continue
        if choice.axis == "meter":
            keys = tuple(choice.get_class().kinds)
        else:
            keys = {"recogniser": _OF_RECOGNISER, "aligner": _OF_ALIGNER}[choice.axis]
        lost |= {key: why for key in keys if key not in known and key not in lost}
    labels = {c.key: c.label for columns in COLUMNS.values() for c in columns}
    return {labels.get(key, key): why for key, why in lost.items()}


def warn_unspaced(
    row: str, texts: Iterable[str], words: Iterable[Iterable[str]]
) -> None:
    """Say how texts in a script without spaces are compared.

    Args:
        row: its name.
        texts: as they are.
        words: those that are compared.
    """
    found = next(filter(None, map(unspaced_part, texts)), "")
    whole = any(len(unspaced_part(word)) > 1 for some in words for word in some)
    how = "compared whole, by this --cleaner: read CER, or give --cleaner words"
    if not whole:
        how = "words by character, so that WER is close to CER"
    if found:
        logging.warning("%s: text without spaces ('%s') is %s", row, found[:10], how)
