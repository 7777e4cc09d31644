"""Speech and text while they are made: streams give what whole calls give."""

import random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_system import SPEAKER, TASLM, TASTE, make_system

from espnet2_taste.inference import TaslmGenerate, TasteToSpeech
from espnet2_taste.inference.speech_streams import Words
from espnet2_taste.taste.speech_decoder.abs_speech_decoder import Sampling
from espnet2_taste.units.unit_spec import UnitSpec
from espnet2_taste.vocoder import load_vocoder
from espnet2_taste.vocoder.abs_vocoder import AbsVocoder, AbsVocoderStreams

TEXTS = ["set the red lamp", "a lamp", "the blue book is on it"]
RNG = np.random.default_rng(0)
CODES = [RNG.integers(8, size=(len(text.split()), 2)) for text in TEXTS]
SPEAKERS = list(RNG.standard_normal((3, SPEAKER), np.float32))


class Steps(AbsVocoder):
    """Four samples a unit, which stand for the unit and the one before it."""

    sample_rate = 100
    unit_spec = UnitSpec(20, 25.0, 16000)
    spk_embed_dim = SPEAKER

    @classmethod
    def from_pretrained(cls, path, device="cpu"):
        return cls()

    @classmethod
    def pack(cls, path, folder):
        pass

    def __call__(self, units, spk_emb):
        self.check(units, spk_emb)
        return [self.wave(item, torch.zeros(1)) for item in units]

    def wave(self, units, before):
        past = torch.cat([before, units])[:-1] if len(units) else units
        return ((units - 0.5 * past) / 40).repeat_interleave(4)

    def open_streams(self, spk_emb, **options):
        return StepStreams(self, spk_emb)


class StepStreams(AbsVocoderStreams):
    def __init__(self, vocoder, spk_emb):
        super().__init__(vocoder, spk_emb)
        self.before = [torch.zeros(1) for _ in spk_emb]

    def speak(self, units, ends):
        wavs = []
        for row, item in enumerate(units):
            wavs.append(self.vocoder.wave(item, self.before[row]))
            self.before[row] = torch.cat([self.before[row], item])[-1:]
        return wavs


@pytest.fixture(scope="module")
def system(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        short = TASTE["speech_decoder_conf"] | {"max_units_per_word": 9}
        taste = TASTE | {"speech_decoder_conf": short}
        yield make_system(tmp_path_factory.mktemp("system"), patch, taste, TASLM)


@pytest.fixture(scope="module")
def speak(system):
    return TasteToSpeech.from_pretrained(
        system / "exp" / "taste", vocoder=Steps(), sampling=Sampling(seed=3)
    )


@pytest.fixture(scope="module")
def taslm(system):
    return TaslmGenerate.from_pretrained(
        system / "exp" / "taslm",
        max_words=5,
        text_top_p=0.95,
        taste_top_p=0.95,
        min_words=2,
    )


def cut(text, codes, rng):
    """A text as pieces of one word or more, some of nothing."""
    words, pieces, start = text.split(), [], 0
    while start < len(words):
        end = rng.randint(start, len(words))
        rows = None if codes is None else codes[start:end]
        pieces.append(Words(" ".join(words[start:end]), rows))
        start = end
    return pieces


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 999), most=st.integers(1, 40), coded=st.booleans())
def test_a_stream_gives_what_a_call_gives(speak, seed, most, coded):
    rng = random.Random(seed)
    codes = CODES[0] if coded else None
    whole = speak(TEXTS[0], SPEAKERS[0], codes, seed=seed)
    for words, given_codes in (
        (TEXTS[0], codes),
        (cut(TEXTS[0], codes, rng), None),
    ):
        chunks = list(speak.stream(words, SPEAKERS[0], given_codes, seed, most))
        assert all(len(c) and c.dtype == torch.float32 for c in chunks)
        torch.testing.assert_close(torch.cat(chunks), whole.wav, atol=1e-6, rtol=0)
        assert max(map(len, chunks)) <= 4 * (most + 8)


def test_words_are_asked_for_one_by_one(speak):
    asked = []

    def words():
        for i, word in enumerate(TEXTS[2].split()):
            asked.append(word)
            yield word, CODES[2][i : i + 1]

    stream = speak.stream(words(), SPEAKERS[2])
    assert asked == []
    next(stream)
    assert asked == ["the", "blue"]  # one word behind
    stream.close()
    assert len(asked) < 4


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 999))
def test_many_streams_give_what_single_ones_give(speak, seed):
    rng = random.Random(seed)
    seeds = [5, 6, 7]
    single = [
        speak(*row[:3], seed=row[3])
        for row in zip(TEXTS, SPEAKERS, CODES, seeds, strict=True)
    ]
    streams = speak.open_streams(SPEAKERS, seeds, most=rng.randint(1, 30))
    waiting = [cut(t, c, rng) for t, c in zip(TEXTS, CODES, strict=True)]
    heard = [[torch.zeros(0)] for _ in TEXTS]

    def hear(wavs):
        for row, wav in zip(heard, wavs, strict=True):
            row.append(wav)

    while any(waiting):
        comes = [bool(row) and rng.random() < 0.5 for row in waiting]
        pieces = [
            row.pop(0) if c else None for row, c in zip(waiting, comes, strict=True)
        ]
        streams.feed(
            pieces, [c and not row for row, c in zip(waiting, comes, strict=True)]
        )
        for _ in range(rng.randint(0, 2)):
            hear(streams.pull())
    hear(streams.finish())
    for row, whole in zip(heard, single, strict=True):
        torch.testing.assert_close(torch.cat(row), whole.wav, atol=1e-6, rtol=0)


def test_world_vq_sounds_as_long(system):
    vocoder = load_vocoder("world_vq", system / "exp" / "units")
    speak = TasteToSpeech.from_pretrained(system / "exp" / "taste", vocoder=vocoder)
    whole = speak(TEXTS[0], SPEAKERS[0], CODES[0])
    chunks = list(speak.stream(TEXTS[0], SPEAKERS[0], CODES[0]))
    assert sum(map(len, chunks)) == len(whole.wav)


BAD = {
    "a piece of nothing with codes": (
        Words(" ", CODES[0]),
        "4 rows of TASTE codes for no words",
    ),
    "too few codes": (Words("red lamp", CODES[0][:1]), "2 TASTE codes for 2 words"),
    "codes of another model": (Words("red", [[9, 0]]), "codes from 0 to 9"),
    "no codes but NaN": (Words("red", [[np.nan, 0]]), "must be integers"),
    "unknown letters": (Words("\u4e2d", [[1, 1]]), "has no known token"),
    "no text": (Words(3, [[1, 1]]), "text must be a str, not int"),
    "suddenly without codes": (Words("red"), "with and without TASTE vectors"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_piece_is_named_and_the_others_go_on(speak, name):
    piece, message = BAD[name]
    whole = speak(TEXTS[1], SPEAKERS[1], CODES[1])
    streams = speak.open_streams(SPEAKERS[:2])
    streams.feed([Words("set", CODES[0][:1]), None])
    good = Words(TEXTS[1], CODES[1])
    with pytest.raises(ValueError, match=message):
        streams.feed([piece, good])
    heard = streams.push([None, good], [False, True])[1]
    torch.testing.assert_close(heard, whole.wav)
    with pytest.raises(ValueError, match=message):
        list(speak.stream([Words("set", CODES[0][:1]), piece], SPEAKERS[0]))


def test_what_cannot_be_spoken(system, speak):
    units_only = TasteToSpeech.from_pretrained(system / "exp" / "taste")
    with pytest.raises(ValueError, match="without a vocoder"):
        units_only.stream("red", SPEAKERS[0])
    with pytest.raises(ValueError, match=r"shape \(5,\), this model takes \(8,\)"):
        speak.stream("red", SPEAKERS[0][:5])
    with pytest.raises(ValueError, match="speaker embedding.* no numbers"):
        speak.stream("red", SPEAKERS[0] * np.nan)
    with pytest.raises(ValueError, match="pieces have codes of their own"):
        speak.stream(["red"], SPEAKERS[0], CODES[0])
    with pytest.raises(ValueError, match="most 0"):
        speak.stream("red", SPEAKERS[0], most=0)
    with pytest.raises(ValueError, match="2 spk_emb, 1 item_seeds"):
        speak.open_streams(SPEAKERS[:2], [1])
    assert list(speak.stream("", SPEAKERS[0])) == []
    assert list(speak.stream([], SPEAKERS[0])) == []


def test_units_of_another_rate_are_refused(system):
    class Faster(Steps):
        unit_spec = UnitSpec(20, 50.0, 16000)

    config = system / "exp" / "taste" / "config.yaml"
    text = config.read_text()
    spec = "unit_spec: {num_units: 20, unit_rate: 25.0, sample_rate: 16000}\n"
    config.write_text(text + spec)
    try:
        with pytest.raises(ValueError, match="25 units a second instead of 50"):
            TasteToSpeech.from_pretrained(system / "exp" / "taste", vocoder=Faster())
    finally:
        config.write_text(text)


@pytest.mark.parametrize("mode", ["audio", "text", "zero"])
def test_words_are_streamed_as_they_are_written(taslm, mode):
    names = ["a", "b", "c"]
    codes = CODES if mode == "audio" else None
    whole = taslm(TEXTS, codes, names, mode)
    assert len({tuple(one.words) for one in whole}) > 1
    got = [[] for _ in names]
    for pieces in taslm.stream_batch(TEXTS, codes, names, mode):
        for row, piece in zip(got, pieces, strict=True):
            row += [piece] if piece else []
    for i, one in enumerate(whole):
        alone = list(
            taslm.stream(TEXTS[i], codes and codes[i], name=names[i], mode=mode)
        )
        for pieces in (got[i], alone):
            assert "".join(piece.text for piece in pieces) == one.text
            assert [word for piece in pieces for word in piece.words] == one.words
            assert torch.equal(torch.cat([p.codes for p in pieces]), one.codes)
        assert len(alone) >= len(one.words) - 1


def test_a_continuation_is_heard_while_it_is_written(speak, taslm):
    whole = taslm(TEXTS[:1], CODES[:1])[0]
    heard = speak(whole.text, SPEAKERS[0], whole.codes)
    pieces = taslm.stream(TEXTS[0], CODES[0])
    chunks = list(speak.stream(pieces, SPEAKERS[0]))
    torch.testing.assert_close(torch.cat(chunks), heard.wav, atol=1e-6, rtol=0)
    assert len(chunks) > 1
