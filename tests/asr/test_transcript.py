"""When a transcript is believed, as OpenAI's program decides."""

import pytest

from espnet2_taste.asr.abs_recogniser import transcribe_pieces
from espnet2_taste.asr.transcript import (
    Fallback,
    Transcript,
    compression_ratio,
    find_language,
    join_transcripts,
)

GOOD, DOUBTED = -0.3, -1.2
LOOP = "thank you " * 40


@pytest.mark.parametrize(
    "logprob, no_speech, text, attempts, kept",
    [
        (GOOD, 0.1, "hello there", 1, "hello there"),
        (GOOD, 0.9, "hello there", 1, "hello there"),  # sure of its words
        (DOUBTED, 0.1, "hello there", 3, "hello there"),
        (DOUBTED, 0.9, "hello there", 1, ""),  # silence: not asked again
        (GOOD, 0.1, LOOP, 3, LOOP.strip()),
        (None, None, "hello there", 1, "hello there"),  # a recogniser without numbers
    ],
)
def test_what_is_asked_again(logprob, no_speech, text, attempts, kept):
    asked = []

    def decode(items, temperature):
        asked.append(temperature)
        heard = Transcript.of(text, avg_logprob=logprob, no_speech_prob=no_speech)
        return [heard for _ in items]

    assert Fallback([0, 0.5, 1.0])(1, decode)[0].text == kept
    assert asked == [0, 0.5, 1.0][:attempts]


def test_only_the_doubted_are_asked_again():
    asked = []

    def decode(items, temperature):
        asked.append((temperature, items))
        return [
            Transcript.of(f"{i} at {temperature}", avg_logprob=GOOD if t else DOUBTED)
            for i in items
            for t in [temperature >= i / 10]
        ]

    texts = [heard.text for heard in Fallback([0, 0.1, 0.2])(4, decode)]
    assert asked == [(0, [0, 1, 2, 3]), (0.1, [1, 2, 3]), (0.2, [2, 3])]
    assert texts == ["0 at 0", "1 at 0.1", "2 at 0.2", "3 at 0.2"]


def test_no_thresholds_and_bad_ones():
    never = Fallback(0, None, None, None)
    assert str(never) == "greedy"
    assert not never.repeats(Transcript.of(LOOP))
    for temperature in ([], [-1], "warm", True, [float("nan")]):
        with pytest.raises(ValueError, match="temperature"):
            Fallback(temperature)
    with pytest.raises(ValueError, match="logprob_threshold high"):
        Fallback(logprob_threshold="high")


def test_pieces_are_joined():
    first = Transcript("a b", "de", "de", 0.9, -0.2, 0.1, 0.0, 1.0, tokens=1)
    second = Transcript("", "de", "en", 0.8, -0.8, 0.7, 0.4, 2.0, tokens=5)
    joined = join_transcripts([first, second, first])
    assert joined.text == "a b a b" and joined.language == "de"
    assert joined.avg_logprob == pytest.approx((-0.2 * 2 * 2 - 0.8 * 6) / 10)
    assert joined.no_speech_prob == 0.1 and joined.temperature == 0.4
    assert joined.compression_ratio == 2.0 and joined.tokens == 7
    assert compression_ratio("") == 0 and compression_ratio(LOOP) > 10
    assert join_transcripts([Transcript.of("x"), Transcript.of("y")]).text == "x y"


def test_the_first_piece_tells_the_language():
    import numpy as np

    calls = []

    def transcribe(pieces, languages):
        calls.append(languages)
        return [Transcript.of(str(len(p)), language="de") for p in pieces]

    wavs = [np.zeros(160000, np.float32), np.zeros(8000, np.float32)]
    heard = transcribe_pieces(wavs, 48000, transcribe)
    assert calls[0] == [None, None] and calls[1] == ["de", "de"]
    assert sum(map(int, heard[0].text.split())) == 160000 and heard[1].text == "8000"
    assert transcribe_pieces([], 10, transcribe) == []


def test_languages_have_names_and_codes():
    assert find_language("English", {"en": 1, "de": 2}) == "en"
    assert find_language(None, {"en": 1}) == "" and find_language(False, ["no"]) == "no"
    assert find_language("", {"en": 1}) == "" and find_language("EN", {}) == "en"
    with pytest.raises(ValueError, match="no language 'de'; this model knows en"):
        find_language("de", {})
