import math

import numpy as np
import pytest

from espnet2_taste.evaluate.rows import Measures, Row, mean_log_f0, word_log_f0
from espnet2_taste.evaluate.scorers import prosody
from espnet2_taste.evaluate.scorers.pitch import PitchScorer
from espnet2_taste.evaluate.scorers.prosody import pair_words, pause_corr
from espnet2_taste.evaluate.scorers.times import (
    reference_type_means,
    score_continuations,
)
from espnet2_taste.units.world import f0_contour


def made(words, durations, pauses=None, log_f0=5.0, word_log_f0=None, failure=""):
    """Measures of an utterance with given word times."""
    words, durations = words.split(), np.array(durations, float)
    pauses = np.append(np.zeros(len(words) - 1) if pauses is None else pauses, np.nan)
    starts = np.concatenate([[0], np.cumsum(durations + np.nan_to_num(pauses))[:-1]])
    if word_log_f0 is None:
        word_log_f0 = np.full(len(words), log_f0)
    if failure:
        return Measures(words, failure=failure)
    return Measures(
        words,
        starts=starts,
        durations=durations,
        pauses=pauses,
        log_f0=log_f0,
        word_log_f0=np.array(word_log_f0, float),
    )


def said_by(measures, speaker=None, **others):
    """A row with these measures."""
    row = Row("row", utt2spk=speaker or SPEAKER, **others)
    row.measures = measures
    return row


SPEAKER = {"u1": "s", "u2": "s", "u3": "s", "u4": "s"}
REFERENCE = {
    "u1": made("a b", [0.1, 0.4], [0.0]),
    "u2": made("a b", [0.2, 0.2], [0.2]),
    "u3": made("b a c", [0.2, 0.4, 0.3], [0.1, 0.0]),
}


def test_type_means_by_hand():
    pairs = pair_words(REFERENCE, REFERENCE, SPEAKER)
    means = prosody.type_means(pairs.words, pairs.reference.durations)
    # "c" occurs once: no mean, no residual.
    assert means == {
        "a": pytest.approx(np.log(0.1 * 0.2 * 0.4) / 3),
        "b": pytest.approx(np.log(0.4 * 0.2 * 0.2) / 3),
    }
    values = prosody.residuals(pairs.words, pairs.reference.durations, means)
    assert np.isnan(values).tolist() == [False] * 6 + [True]
    assert values[0] == pytest.approx(np.log(0.1 / 0.2))


def test_row_equal_to_the_reference_correlates_fully():
    pairs = pair_words(REFERENCE, REFERENCE, SPEAKER)
    assert prosody.duration_residual_corr(pairs).value() == pytest.approx(1)
    assert prosody.rate_corr(pairs).value() == pytest.approx(1)
    assert pause_corr(pairs).value() == pytest.approx(1)
    assert prosody.duration_consistency(pairs).value() == 1
    assert pairs.coverage.value() == 1 and not pairs.failures


def test_residual_correlation_against_a_direct_computation():
    rng = np.random.default_rng(1)
    words = ["a", "b"] * 20
    ref, row = rng.uniform(0.1, 0.5, (2, 40))
    reference, other = {"u1": made(" ".join(words), ref)}, {}
    other["u1"] = made(" ".join(words), row)
    pairs = pair_words(reference, other, SPEAKER)
    expected = [np.log(ref[0::2]).mean(), np.log(ref[1::2]).mean()] * 20
    direct = np.corrcoef(np.log(ref) - expected, np.log(row) - expected)[0, 1]
    assert prosody.duration_residual_corr(pairs).value() == pytest.approx(direct)


def test_rate_ignores_which_words_there_are():
    # All words of an utterance slower by one factor: only the factor matters.
    factors, rows = [0.8, 1.0, 1.3], {}
    for utt, factor in zip(REFERENCE, factors, strict=True):
        m = REFERENCE[utt]
        rows[utt] = made(" ".join(m.words), m.durations * factor, m.pauses[:-1])
    pairs = pair_words(REFERENCE, rows, SPEAKER)
    means = prosody.type_means(pairs.words, pairs.reference.durations)
    values = prosody.residuals(pairs.words, pairs.row.durations, means)
    values -= prosody.residuals(pairs.words, pairs.reference.durations, means)
    got = prosody.utterance_means(values, pairs.utterances, 3)
    assert got == pytest.approx(np.log(factors))


def test_duration_consistency_excludes_exactly_25_ms():
    reference = {"u1": made("a b c d", [0.1, 0.1, 0.1, 0.1])}
    row = {"u1": made("a b c d", [0.12, 0.125, 0.13, 0.08])}
    found = prosody.duration_consistency(pair_words(reference, row, SPEAKER))
    assert found.value() == 0.5 and found.sums.tolist() == [[2, 4]]


def test_lost_utterances_are_counted_by_reason():
    reference = {**REFERENCE, "u4": made("a", [0.1], [], failure="not alignable")}
    rows = {
        "u1": REFERENCE["u1"],
        "u2": made("a d", [0.1, 0.1]),
        "u4": made("a", [0.1], []),
    }
    pairs = pair_words(reference, rows, SPEAKER)
    assert pairs.failures == {
        "other words": 1,
        "missing": 1,
        "reference: not alignable": 1,
    }
    assert pairs.ids == ["u1"] and pairs.coverage.value() == 0.25


def test_nothing_matched_is_undefined():
    pairs = pair_words(REFERENCE, {}, SPEAKER)
    assert prosody.coverage(
        pairs.ids, pairs.reference_ids
    ).value() == 0 and pairs.failures == {"missing": 3}
    for metric in (
        prosody.duration_residual_corr,
        prosody.rate_corr,
        prosody.duration_consistency,
        pause_corr,
        prosody.word_f0_corr,
    ):
        assert math.isnan(metric(pairs).value()), metric


def test_constant_pauses_are_undefined():
    rows = {u: made(" ".join(m.words), m.durations) for u, m in REFERENCE.items()}
    pairs = pair_words(REFERENCE, rows, SPEAKER)
    assert math.isnan(pause_corr(pairs).value())


def test_utterance_f0_correlation_removes_each_row_speakers_mean():
    speaker = {"u1": "s", "u2": "s", "u3": "t", "u4": "t", "u5": "alone"}
    levels = {"u1": 5.0, "u2": 5.2, "u3": 4.5, "u4": 4.4, "u5": 9.0}
    shift = {"s": 0.3, "t": -0.4, "alone": 1.0}
    reference = {u: made("a", [0.1], [], log_f0=v) for u, v in levels.items()}
    row = {
        u: made("a", [0.1], [], log_f0=v + shift[speaker[u]]) for u, v in levels.items()
    }
    found = PitchScorer().score(said_by(row, speaker), said_by(reference, speaker))
    assert found["utterance_f0_corr"].value() == pytest.approx(1)
    assert found["utterance_f0_corr"].scored == ["u1", "u2", "u3", "u4"]


def test_word_f0_correlation_by_hand():
    reference = {
        "u1": made("a b c", [0.1] * 3, log_f0=5.0, word_log_f0=[4.9, 5.0, 5.1])
    }
    row = {"u1": made("a b c", [0.1] * 3, log_f0=6.0, word_log_f0=[5.9, 6.1, 6.0])}
    pairs = pair_words(reference, row, SPEAKER)
    assert prosody.word_f0_corr(pairs).value() == pytest.approx(0.5)
    assert pairs.row.log_f0 == pytest.approx([-0.1, 0.1, 0.0])


def test_f0_of_a_tone_and_of_its_words():
    # A buzz of 120 Hz, then 180 Hz: harmonics, as in a voice.
    t = np.arange(16000) / 16000
    parts = [
        sum(np.sin(2 * np.pi * h * hz * t) / h for h in range(1, 8))
        for hz in (120, 180)
    ]
    contour, period = f0_contour(0.1 * np.concatenate(parts), 16000)
    words = word_log_f0(contour, period, np.array([0.1, 1.1]), np.array([0.8, 0.8]))
    assert np.exp(words) == pytest.approx([120, 180], rel=0.01)
    assert mean_log_f0(contour) == pytest.approx(np.log(120 * 180) / 2, abs=0.02)
    assert math.isnan(mean_log_f0(np.zeros(9)))


def test_continuations_by_hand():
    means = {"a": np.log(0.2), "b": np.log(0.2), "c": np.log(0.2)}
    factors = {"u1": 0.5, "u2": 1.0, "u3": 2.0, "u4": 1.0}
    reference = {u: made("a b c", np.full(3, 0.2 * k)) for u, k in factors.items()}
    row = {u: made("c c new", np.full(3, 0.2 * k**0.5)) for u, k in factors.items()}
    row["u4"] = made("c", [0.2], [], failure="not alignable")
    prompts = {u: ["a", "b"] for u in factors}
    side = said_by(row, table="continuation", prompts=prompts)
    side.lines = {utt: {} for utt in row}
    value = {
        key: s.value() for key, s in score_continuations(side, reference, means).items()
    }
    assert value["continuation_rate_corr"] == pytest.approx(1)
    assert np.isnan(side.lines["u4"]["row_slowness"])
    lines = [side.lines[utt] for utt in ("u1", "u2", "u3")]
    before = [line["reference_slowness"] for line in lines]
    assert before == pytest.approx(np.log([0.5, 1, 2]))
    after = [line["row_slowness"] for line in lines]
    assert after == pytest.approx(np.log([0.5, 1, 2]) / 2)
    assert value["slow_prompt_factor"] == pytest.approx(2**0.5)
    assert value["fast_prompt_factor"] == pytest.approx((0.5**0.5 + 1) / 2)
    assert value["coverage"] == 0.75
    unknown = {"(generated words of unknown duration)": 3}
    assert side.failures == {"not alignable": 1} | unknown
    del row["u1"]
    prompts["u2"] = ["b"]
    reference["u5"] = reference["u1"]
    got = score_continuations(side, reference, means)
    assert side.failures == {
        "no prompt or nothing generated": 1,
        "missing": 1,
        "prompt is not the start of the reference": 1,
        "not alignable": 1,
        "(generated words of unknown duration)": 1,
    }
    assert math.isnan(got["continuation_rate_corr"].value())


def test_training_ctm_fills_in_unseen_words(tmp_path):
    # The other aligner's words are 10 % longer throughout.
    (tmp_path / "words.ctm").write_text(
        "x 1 0.00 0.22 a\nx 1 0.30 0.22 B\nx 1 0.50 0.44 new\nx 1 0.9 0.0 zero\n"
    )
    reference = {"u1": made("a b", [0.2, 0.2])}
    means = reference_type_means(reference, tmp_path / "words.ctm")
    assert means["a"] == pytest.approx(np.log(0.2))
    assert means["new"] == pytest.approx(np.log(0.4))
    assert "new" not in reference_type_means(reference)
