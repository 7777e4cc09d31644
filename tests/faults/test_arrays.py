"""Arrays are what they should be, or refused; nothing is reshaped or cast."""

import numpy as np
import pytest
import torch
from tiny_system import TEXT

from espnet2_taste.inference import (
    SpeechToTaste,
    TaslmGenerate,
    TaslmLikelihood,
    TasteToSpeech,
)
from espnet2_taste.tasks.preprocessor import TastePreprocessor

WORDS, BOOKS, SPEAKER = 4, 2, 8  # of TEXT and the tiny system
CODES = np.arange(WORDS * BOOKS).reshape(WORDS, BOOKS)
VECTOR = np.ones(SPEAKER, np.float32)
WAV = np.full(8000, 0.1, np.float32)


@pytest.fixture(scope="module")
def system(tmp_path_factory):
    """tokenise, speak, continue and score with a tiny system."""
    from tiny_system import make_system

    with pytest.MonkeyPatch.context() as patch:
        root = make_system(tmp_path_factory.mktemp("recipe"), patch)
        speak = TasteToSpeech.from_pretrained(root / "exp/taste")
        speak.model.speech_decoder.max_units_per_word = 3
        yield {
            "tokenise": SpeechToTaste.from_pretrained(root / "exp/taste"),
            "speak": speak,
            "continue": TaslmGenerate.from_pretrained(root / "exp/taslm", max_words=2),
            "score": TaslmLikelihood.from_pretrained(root / "exp/taslm"),
        }


def with_codes(system):
    """Each class that takes codes: codes of a batch -> its result."""
    return {
        "speak": lambda codes: system["speak"].batch_synthesize(
            [TEXT] * len(codes), [VECTOR] * len(codes), codes
        ),
        "continue": lambda codes: system["continue"]([TEXT] * len(codes), codes),
        "score": lambda codes: system["score"]([TEXT] * len(codes), codes),
    }


SHAPE = r"utterance 1: TASTE codes of shape \({}\): expected a row of 2 for each word"
TYPE = "utterance 1: TASTE codes must be integers, not {}"
BAD_CODES = {
    "codebooks first": (CODES.T, SHAPE.format("2, 4")),
    "flat": (CODES.reshape(-1), SHAPE.format("8,")),
    "a batch": (CODES[None], SHAPE.format("1, 4, 2")),
    "one word": (CODES[0], SHAPE.format("2,")),
    "a number": (np.int64(3), SHAPE.format("")),
    "one codebook": (CODES[:, :1], SHAPE.format("4, 1")),
    "too many codebooks": (np.hstack([CODES, CODES]), SHAPE.format("4, 4")),
    "float32": (CODES.astype(np.float32), TYPE.format("float32")),
    "float64, whole": (CODES.astype(float), TYPE.format("float64")),
    "float16": (CODES.astype(np.float16), TYPE.format("float16")),
    "bool": (CODES > 1, TYPE.format("bool")),
    "complex": (CODES.astype(complex), TYPE.format("complex128")),
    "text": (CODES.astype(str), TYPE.format("<U")),
    "a word too few": (CODES[:3], "utterance 1: 6 TASTE codes for 4 words"),
    "a word too many": (np.vstack([CODES, CODES[:1]]), "10 TASTE codes for 4 words"),
    "none": (CODES[:0], "utterance 1: 0 TASTE codes for 4 words"),
    "negative": (CODES - 1, "utterance 1: TASTE codes from -1 to 6"),
    "too large": (CODES + 1, "utterance 1: TASTE codes from 1 to 8, .* 0 to 7"),
}


@pytest.mark.parametrize("kind", BAD_CODES)
def test_codes(system, kind):
    bad, message = BAD_CODES[kind]
    given = [bad]
    if kind not in ("text", "a number"):
        given.append(torch.from_numpy(np.ascontiguousarray(bad)))
    for call in with_codes(system).values():
        for codes in given:
            with pytest.raises(ValueError, match=message):
                call([CODES, codes])


@pytest.mark.parametrize(
    "dtype", ["int8", "uint8", "int16", "int32", "uint32", "int64"]
)
def test_integers_of_any_size(system, dtype):
    given = CODES.astype(dtype)
    for name, call in with_codes(system).items():
        want = call([CODES])
        tensors = [] if dtype == "uint32" else [torch.from_numpy(given)]
        for codes in (given, given.tolist(), np.asfortranarray(given), *tensors):
            (got,) = call([codes])
            if name == "speak":
                assert torch.equal(got.units, want[0].units)
            elif name == "score":
                assert got["score"] == want[0]["score"]
            else:
                assert got.text == want[0].text


BAD_SPEECH = {
    "stereo": (
        np.zeros((8000, 2)),
        r"must be one channel \(N,\), not \(8000, 2\)",
    ),
    "channels first": (
        np.zeros((2, 8000)),
        r"one channel \(N,\), not \(2, 8000\)",
    ),
    "a row": (WAV[None], r"must be one channel \(N,\), not \(1, 8000\)"),
    "a number": (np.float32(1), "must be one channel"),
    "none": (WAV[:0], "speech has no samples"),
    "text": (np.array(["a", "b"]), "must be floats or signed integers, not <U1"),
    "objects": (np.array([None] * 9), "must be floats or signed integers, not object"),
}


@pytest.mark.parametrize("kind", BAD_SPEECH)
def test_speech(system, kind):
    bad, message = BAD_SPEECH[kind]
    with pytest.raises(ValueError, match=f"^utterance 1: .*{message}"):
        system["tokenise"].batch_tokenize([WAV, bad], [TEXT] * 2)
    with pytest.raises(ValueError, match=f"^utterance 1: .*{message}"):
        speech = [WAV, bad]
        system["speak"].batch_synthesize([TEXT] * 2, [VECTOR] * 2, speech=speech)


SPEAKERS = [(7,), (9,), (1, 8), (8, 1), (2, 8), (0,), ()]


@pytest.mark.parametrize("shape", SPEAKERS, ids=str)
def test_speakers(system, shape):
    for bad in (np.ones(shape, np.float32), torch.ones(shape)):
        with pytest.raises(ValueError, match="utterance 1: a speaker embedding of"):
            system["speak"].batch_synthesize([TEXT] * 2, [VECTOR, bad], [CODES] * 2)


def test_lists_of_other_lengths(system):
    speak, score = system["speak"].batch_synthesize, system["score"]
    two = [TEXT, TEXT]
    calls = {
        "1 speech, 2 text": lambda: system["tokenise"].batch_tokenize([WAV], two),
        "2 text, 1 spk_emb": lambda: speak(two, [VECTOR]),
        "1 codes": lambda: speak(two, [VECTOR] * 2, [CODES]),
        "3 speech": lambda: speak(two, [VECTOR] * 2, speech=[WAV] * 3),
        "2 text, 1 item_seeds": lambda: speak(two, [VECTOR] * 2, item_seeds=[0]),
        "2 text, 1 codes": lambda: score(two, [CODES]),
        "2 text, 3 codes": lambda: system["continue"](two, [CODES] * 3),
        "2 text, 1 names": lambda: system["continue"](two, [CODES] * 2, ["a"]),
        "names must be a list": lambda: score(two, [CODES] * 2, "ab"),
        "text must be a list": lambda: score("ab", [CODES] * 2),
        "text must be a str, not int": lambda: score([1], [CODES]),
        "text must be a str, not NoneType": lambda: speak([None], [VECTOR]),
    }
    for message, call in calls.items():
        with pytest.raises(ValueError, match=message):
            call()


def test_empty_batches(system):
    assert system["tokenise"].batch_tokenize([], []) == []
    assert system["speak"].batch_synthesize([], []) == []
    assert system["speak"].batch_synthesize([], torch.zeros(0, 8), [], None, []) == []
    assert system["continue"]([], []) == [] == system["continue"]([], None, mode="text")
    assert system["score"]([], []) == []


@pytest.mark.parametrize("name", ["units", "durations", "taste"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "bool"])
def test_training_data_is_not_cut_to_integers(name, dtype):
    preprocess = TastePreprocessor.__new__(TastePreprocessor)
    preprocess.spec = preprocess.num_units = None
    data = {name: np.array([1.5, 2.0]).astype(dtype)}
    with pytest.raises(ValueError, match=f"utterance u: {name} must be integers"):
        preprocess("u", data)
    data = {name: np.array([1, 2], np.int32)}
    assert preprocess("u", data)[name].dtype == np.int64


def test_units_of_a_vocoder(tmp_path):
    from espnet2_taste.vocoder.griffin_lim import GriffinLimVocoder

    vocoder = GriffinLimVocoder(torch.zeros(5, 4, 80), num_iterations=1)
    for bad in (
        torch.tensor([5]),
        torch.tensor([-1]),
        torch.tensor([0.0]),
        torch.zeros(1, 2, dtype=torch.int64),
    ):
        with pytest.raises(ValueError, match="units must"):
            vocoder([torch.arange(3), bad])
