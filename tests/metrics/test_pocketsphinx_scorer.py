import numpy as np
import pytest

from espnet2_taste.metrics.audio import read_audio
from espnet2_taste.metrics.pocketsphinx_scorer import (
    AlignmentError,
    PocketsphinxScorer,
    add_noise_floor,
)


@pytest.fixture(scope="module")
def wavs(spoken_data):
    lines = (spoken_data / "wav.scp").read_text().splitlines()
    pairs = (line.split() for line in lines)
    return {utt: read_audio(path, utt) for utt, path in pairs}


@pytest.fixture(scope="module")
def words(spoken_data):
    lines = (spoken_data / "text").read_text().splitlines()
    return {utt: text for utt, *text in (line.split() for line in lines)}


@pytest.fixture(scope="module")
def scorer(spoken_data):
    return PocketsphinxScorer(spoken_data / "grammar.jsgf")


def test_recognises_what_was_said(scorer, wavs, words):
    right = sum(scorer.recognise(wavs[u]).split() == words[u] for u in wavs)
    assert right >= len(wavs) - 1


def test_alignment_agrees_with_the_synthesiser(scorer, spoken_data, wavs, words):
    """espeak-ng's own word starts, to 60 ms at most and 30 ms in the median."""
    true = {}
    for line in (spoken_data / "words.ctm").read_text().splitlines():
        utt, _, start, _, _ = line.split()
        true.setdefault(utt, []).append(float(start))
    errors = []
    for utt, wav in wavs.items():
        times = scorer.align(wav, words[utt])
        assert (times.durations > 0).all() and np.isnan(times.pauses[-1])
        assert times.starts[1:] == pytest.approx(
            (times.starts + times.durations + times.pauses)[:-1]
        )
        errors.append(np.abs(times.starts - true[utt])[1:])
    assert np.median(np.concatenate(errors)) < 0.03


def test_a_pause_is_seen(scorer, wavs, words):
    utt = next(iter(wavs))
    times = scorer.align(wavs[utt], words[utt])
    cut = round((times.starts[1] + times.durations[1]) * 16000)
    paused = np.insert(wavs[utt], [cut] * 4800, 0.0)
    assert scorer.align(paused, words[utt]).pauses[1] == pytest.approx(0.3, abs=0.06)


def test_order_does_not_matter(spoken_data, wavs, words):
    runs = []
    for order in (list(wavs), list(wavs)[::-1]):
        scorer = PocketsphinxScorer(spoken_data / "grammar.jsgf")
        run = {}
        for utt in order:
            times = scorer.align(wavs[utt], words[utt])
            run[utt] = scorer.recognise(wavs[utt]), times.starts.tolist()
        runs.append(run)
    assert runs[0] == runs[1]


@pytest.mark.parametrize(
    ("samples", "words", "reason"),
    [
        (0, ["the"], "no audio"),
        (16000, [], "no words"),
        (16000, ["the", "xyzzyx"], "no pronunciation for 'xyzzyx'"),
        (4000, ["the", "teacher", "painted", "the", "window"] * 9, "not alignable"),
    ],
)
def test_failures_say_why(scorer, samples, words, reason):
    with pytest.raises(AlignmentError, match=reason):
        scorer.align(np.zeros(samples, np.float32), words)


def test_no_audio_is_no_words(scorer):
    assert scorer.recognise(np.zeros(0, np.float32)) == ""


def test_bad_grammar_is_one_clear_error(tmp_path):
    path = tmp_path / "bad.jsgf"
    path.write_text("#JSGF V1.0; grammar g; public <s> = <nowhere")
    with pytest.raises(ValueError, match="bad.jsgf: pocketsphinx refuses"):
        PocketsphinxScorer(path)


def test_noise_floor_is_30_db_below_and_repeatable():
    wav = np.sin(np.arange(16000) / 10).astype(np.float32)
    noise = add_noise_floor(wav) - wav
    assert np.sqrt(np.mean(noise**2) / np.mean(wav**2)) == pytest.approx(
        10 ** (-30 / 20), rel=0.02
    )
    assert (add_noise_floor(wav) - wav == noise).all()
    assert np.isfinite(add_noise_floor(np.zeros(100, np.float32))).all()
