"""Which transcripts are fit to be read by a tokenizer."""

import pytest

from espnet2_taste.asr.transcript import Transcript
from espnet2_taste.asr.transcript_filter import TranscriptFilter

LOOP = "thank you " * 40


@pytest.mark.parametrize(
    "text, known, options, seconds, wer, reason",
    [
        ("hello there", {}, {}, 1.0, None, ""),
        ("", {}, {}, 1.0, None, "nothing recognised"),
        ("", {"no_speech_prob": 0.9, "avg_logprob": -2}, {}, 1, None, "no speech"),
        ("", {"no_speech_prob": 0.1, "avg_logprob": -2}, {}, 1, 1.0, "nothing"),
        ("hallo", {"detected": "de"}, {"language": "en"}, 1, None, "language de"),
        ("hallo", {"detected": "de"}, {"language": "German"}, 1, None, ""),
        ("hallo", {"language": "de"}, {"language": "en"}, 1, None, "language de"),
        ("hallo", {}, {"language": "en"}, 1, None, ""),  # a recogniser of one
        (LOOP, {}, {}, 20, None, "repeats itself"),
        (LOOP, {}, {"max_compression_ratio": None}, 20, None, ""),
        ("yes", {"avg_logprob": -1.5}, {"min_logprob": -1.0}, 1, None, "improbable"),
        ("yes", {"avg_logprob": -1.5}, {}, 1, None, ""),
        ("a" * 50, {}, {"max_compression_ratio": None}, 1, None, "too many"),
        ("yes", {}, {}, 10.0, None, "too few characters"),
        ("yes", {}, {}, None, None, ""),  # of unknown length
        ("yes we can", {}, {"max_wer": 0.5}, 1, 0.51, "WER above 0.5"),
        ("yes we can", {}, {"max_wer": 0.5}, 1, 0.5, ""),
        ("yes we can", {}, {"max_wer": 0.5}, 1, None, ""),  # nothing to compare
    ],
)
def test_reasons(text, known, options, seconds, wer, reason):
    heard = Transcript.of(text, **known)
    said = TranscriptFilter(**options).reason(heard, seconds, wer)
    assert said.startswith(reason) and bool(said) == bool(reason)


def test_an_unknown_language():
    with pytest.raises(ValueError, match="no language 'klingon'"):
        TranscriptFilter(language="klingon")
