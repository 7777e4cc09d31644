import numpy as np
import pytest

from espnet2_taste.asr.abs_aligner import AlignmentError, WordTimes
from espnet2_taste.asr.aligners import aligner_choices
from espnet2_taste.asr.recording import Recording


def recordings(words):
    return [Recording(utt, "", tuple(text)) for utt, text in words.items()]


@pytest.fixture(scope="module")
def sphinx():
    return aligner_choices.get_class("pocketsphinx")()


def align_one(aligner, wav, words):
    return aligner([Recording("u", "", tuple(words))], [wav])[0]


def test_alignment_agrees_with_the_synthesiser(sphinx, spoken_data, wavs, words):
    """espeak-ng's own word starts, to 30 ms in the median."""
    true = aligner_choices.get_class("ctm")(spoken_data / "words.ctm")
    errors = []
    found = sphinx(recordings(words), list(wavs.values()))
    expected = true(recordings(words), list(wavs.values()))
    for times, exact in zip(found, expected, strict=True):
        assert (times.durations > 0).all() and np.isnan(times.pauses[-1])
        assert times.starts[1:] == pytest.approx(
            (times.starts + times.durations + times.pauses)[:-1]
        )
        errors.append(np.abs(times.starts - exact.starts)[1:])
    assert np.median(np.concatenate(errors)) < 0.03


def test_a_pause_is_seen(sphinx, wavs, words):
    utt = next(iter(wavs))
    times = align_one(sphinx, wavs[utt], words[utt])
    cut = round((times.starts[1] + times.durations[1]) * 16000)
    paused = np.insert(wavs[utt], [cut] * 4800, 0.0)
    again = align_one(sphinx, paused, words[utt])
    assert again.pauses[1] == pytest.approx(0.3, abs=0.06)


def test_order_does_not_matter(sphinx, wavs, words):
    both = recordings(words)
    found = sphinx(both, list(wavs.values()))
    other = aligner_choices.get_class("pocketsphinx")()
    again = other(both[::-1], list(wavs.values())[::-1])[::-1]
    for a, b in zip(found, again, strict=True):
        assert a.starts.tolist() == b.starts.tolist()


@pytest.mark.parametrize(
    ("samples", "words", "reason"),
    [
        (1599, ["the"], "no audio"),
        (16000, ["the", "xyzzyx"], "no pronunciation \\('xyzzyx'\\)"),
        (4000, ["the", "teacher", "painted", "the", "window"] * 9, "not alignable"),
    ],
)
def test_failures_say_why(sphinx, samples, words, reason):
    found = align_one(sphinx, np.zeros(samples, np.float32), words)
    assert isinstance(found, AlignmentError)
    with pytest.raises(AlignmentError, match=f"^{reason}$"):
        raise found


CTM = """;; by some aligner
a 1 0.00 0.20 The 0.99
a 1 0.20 0.30 <eps>
a 1 0.50 0.25 red
b 1 0.10 0.20 twenty-one
c 1 0.10 0.00 red
d 1 0.10 0.20 blue
"""


def test_ctm_by_hand(tmp_path):
    path = tmp_path / "words.ctm"
    path.write_text(CTM.replace("<eps>", "..."))
    aligner = aligner_choices.get_class("ctm")(path)
    assert aligner.identity.startswith("words.ctm (")
    words = {
        "a": ["the", "red"],
        "b": ["twenty", "one"],
        "c": ["red"],
        "d": ["red"],
        "e": ["red"],
    }
    found = aligner(recordings(words), [np.zeros(16000)] * 5)
    times = found[0]
    assert isinstance(times, WordTimes)
    assert times.starts.tolist() == [0.0, 0.5]
    assert times.durations == pytest.approx([0.2, 0.25])
    assert times.pauses == pytest.approx([0.3, np.nan], nan_ok=True)
    assert [str(error) for error in found[1:]] == [
        "no time for each word in words.ctm",
        "no time for each word in words.ctm",
        "other words in words.ctm",
        "not in words.ctm",
    ]


def test_ctm_may_be_missing_but_not_malformed(tmp_path):
    path = tmp_path / "words.ctm"
    found = aligner_choices.get_class("ctm")(path)(recordings({"a": ["x"]}), [None])
    assert str(found[0]) == "not in words.ctm"
    path.write_text("a 1 0.0 0.2 x\na 1 zero 0.2 x\n")
    with pytest.raises(ValueError, match="words.ctm:2: expected 'utt channel start"):
        aligner_choices.get_class("ctm")(path)
