"""Word borders are where recordings are silent, noise or not."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet2_taste.asr import silences
from espnet2_taste.asr.abs_aligner import AlignmentError
from espnet2_taste.asr.ctc_alignment import CTC_LATENCY_S, word_times
from espnet2_taste.asr.pocketsphinx_aligner import PocketsphinxAligner
from espnet2_taste.asr.recording import Recording
from espnet2_taste.asr.silences import borders_at_silences, find_silences
from espnet2_taste.corpora.fsdd import DIGITS, FSDD
from espnet2_taste.io.audio import load_audio, resample, to_mono

RATE = 16000
ARCHIVE = "free-spoken-digit-dataset-master.zip"


def speech(*silences, noise=0.0):
    """(RATE,) a tone with silences (seconds), above noise."""
    wav = 0.5 * np.sin(np.arange(RATE) * 0.3)
    for begin, end in silences:
        wav[round(begin * RATE) : round(end * RATE)] = 0
    return wav + noise * np.random.default_rng(0).standard_normal(RATE)


@pytest.mark.parametrize("noise", [0.0, 0.003, 0.05])  # below speech: 41 and 17 dB
def test_pauses_are_silences_between_words_and_closures_are_not(noise):
    """The second word was found too late, the third after a closure of 30 ms; 50 ms at
    the end are too short."""
    wav = speech((0.25, 0.5), (0.75, 0.78), (0.95, 1.0), noise=noise)
    spans = np.array([[0.0, 0.2], [0.62, 0.7], [0.78 + CTC_LATENCY_S, 0.9]])
    times = word_times(spans, wav, RATE)
    assert times.starts == pytest.approx([0.0, 0.5, 0.78], abs=1e-6)
    assert times.ends == pytest.approx([0.25, 0.78, 1.0], abs=1e-6)
    assert times.pauses == pytest.approx([0.25, 0.0, 0.0], abs=1e-6)


def test_silence_before_the_first_word_and_after_the_last():
    spans = np.array([[0.35, 0.35], [0.6, 0.7]])
    times = word_times(spans, speech((0, 0.3), (0.8, 1.0)), RATE)
    assert times.starts[0] == pytest.approx(0.3)
    assert times.pauses == pytest.approx([0, 0.2])


def test_silence_inside_a_word_is_no_pause():
    wav = speech((0.15, 0.25))
    times = word_times(np.array([[0.1, 0.5], [0.645, 0.9]]), wav, RATE)
    assert times.starts == pytest.approx([0.055, 0.6])
    assert times.pauses == pytest.approx([0.0, 0.0], abs=1e-6)


def test_of_several_silences_the_longest():
    wav = speech((0.3, 0.37), (0.4, 0.5))
    times = word_times(np.array([[0.1, 0.25], [0.6, 0.9]]), wav, RATE)
    assert (times.ends[0], times.starts[1]) == pytest.approx((0.4, 0.5))


@pytest.mark.parametrize("wav", [np.zeros(0), np.zeros(100), np.zeros(RATE)])
def test_nothing_to_hear(wav):
    """No frame, or no sound: no border moves."""
    starts, ends = np.array([0.1, 0.5]), np.array([0.5, 0.9])
    found = borders_at_silences(starts, ends, np.stack([starts, ends], 1), wav, RATE)
    assert len(find_silences(wav, RATE)) <= 1
    assert all(np.isfinite(times).all() for times in found)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.floats(0, 1), min_size=2, max_size=12),
    st.integers(0, 2**32 - 1),
)
def test_words_stay_in_order_and_keep_what_is_surely_theirs(points, seed):
    rng = np.random.default_rng(seed)
    borders = np.sort(points)
    starts, ends = borders[:-1], borders[1:]
    inner = np.stack([0.6 * starts + 0.4 * ends, 0.4 * starts + 0.6 * ends], 1)
    wav = rng.standard_normal(RATE) * np.repeat(rng.random(20) ** 4, RATE // 20)
    starts, ends = borders_at_silences(starts, ends, inner, wav, RATE)
    assert (starts <= inner[:, 0] + 1e-9).all() and (inner[:, 1] <= ends + 1e-9).all()
    assert (ends[:-1] <= starts[1:] + 1e-9).all()


def joined_digits(archive, count):
    """Sentences of five digits by one of six people, as the fsdd recipe makes them:
    waveforms of 16 kHz, (5,) words, and (5, 2) s, borders of the recordings."""
    sources, rng = FSDD().sources(archive), np.random.default_rng(0)
    speakers = sorted({speaker for speaker, _, _ in sources})
    for index in range(count):
        digits, takes = rng.integers(10, size=5), rng.integers(50, size=5)
        keys = [(speakers[index % 6], *k) for k in zip(digits, takes, strict=True)]
        pieces, spans, end = [], [], 0
        for wav in (to_mono(load_audio(sources[key], str(key))[0]) for key in keys):
            quiet = np.sqrt(
                np.square(wav[: len(wav) // 80 * 80]).reshape(-1, 80).mean(1)
            )
            pause = quiet.min() * rng.standard_normal(rng.integers(240, 2400))
            spans.append((end, end + len(wav)))
            pieces += [wav, pause]
            end += len(wav) + len(pause)
        wav = resample(np.concatenate(pieces[:-1]).astype(np.float32), 8000, 16000)
        yield wav, [DIGITS[d] for d in digits], np.array(spans) / 8000


def test_durations_of_words_in_noise_are_those_of_their_recordings(monkeypatch):
    """pocketsphinx alone takes pauses for words, and words for pauses."""
    archive = Path(__file__).parents[3] / "shared" / "corpora" / ARCHIVE
    if not archive.is_file():
        pytest.skip(f"no {ARCHIVE} in ../shared/corpora")
    wavs, words, spans = zip(*joined_digits(archive, 30), strict=True)
    recordings = [Recording(str(i), "", tuple(w)) for i, w in enumerate(words)]

    def agreement():
        pairs = [
            np.stack([np.log(found.durations), np.log(np.diff(true)[:, 0])])
            for found, true in zip(
                PocketsphinxAligner()(recordings, wavs), spans, strict=True
            )
            if not isinstance(found, AlignmentError)
        ]
        assert len(pairs) > 20
        return np.corrcoef(np.concatenate(pairs, axis=1))[0, 1]

    assert agreement() > 0.65
    monkeypatch.setattr(silences, "find_silences", lambda *_: np.zeros((0, 2)))
    assert agreement() < 0.5
