import numpy as np
import pytest
import soundfile
import torch

from espnet2_taste.inference.edit import Reading, TasteEdit, exchange_words
from espnet2_taste.inference.speech_to_taste import TasteTokens
from espnet2_taste.inference.taste_to_speech import TasteToSpeech
from espnet2_taste.io.tables import read_table
from espnet2_taste.taste.speech_decoder.abs_speech_decoder import Sampling

WORDS = "set the red lamp".split()


def tokens(words, value, rows=None):
    rows = rows or list(range(len(words)))
    codes = torch.full((len(rows), 2), value) + torch.arange(2)
    return TasteTokens(list(words), rows, codes, None, 1.0)


def test_only_the_chosen_words_change():
    first, second = tokens(WORDS, 0), tokens(WORDS, 5)
    a, b = exchange_words(first, second, [3, 1])
    assert a.codes[:, 0].tolist() == [0, 5, 0, 5]
    assert b.codes[:, 0].tolist() == [5, 0, 5, 0]
    assert first.codes[:, 0].tolist() == [0] * 4  # the originals stay
    first, second = (tokens(WORDS, x, rows=[0, 0, 1, 2, 2, 3]) for x in (0, 5))
    token, _ = exchange_words(first, second, [2, 1])
    assert token.codes[:, 0].tolist() == [0, 0, 5, 5, 5, 0]  # all of a word's tokens
    first, second = tokens(WORDS, 0), tokens(WORDS, 5)
    again = exchange_words(a, b, [1, 3])
    assert torch.equal(again[0].codes, first.codes)


@pytest.mark.parametrize(
    "other,words,message",
    [
        (tokens("set the blue lamp".split(), 1), [0], "word 2: 'red' and 'blue'"),
        (tokens(WORDS[:3], 1), [0], "4 and 3 words"),
        (tokens(WORDS, 1), [4], "not among 0 to 3"),
        (tokens(WORDS, 1), [-1], "not among 0 to 3"),
        (tokens(WORDS, 1), [], "not among 0 to 3"),
    ],
)
def test_what_cannot_be_exchanged_is_named(other, words, message):
    with pytest.raises(ValueError, match=message):
        exchange_words(tokens(WORDS, 0), other, words)


def test_silence_is_not_exchanged():
    silent = TasteTokens([], [], torch.zeros(0, 2, dtype=torch.long), None, 1.0)
    with pytest.raises(ValueError, match="nothing is said in these readings: no words"):
        exchange_words(silent, silent, [0])


def test_editing_resynthesises_the_exchanged_codes(tiny_taste, tiny_data):
    wavs, texts = (read_table(tiny_data / name) for name in ("wav.scp", "text"))
    text = texts["utt2"]
    readings = [
        Reading(
            soundfile.read(wavs[key], dtype="float32")[0],
            text,
            np.full(8, i + 1.0, np.float32),
            key,
        )
        for i, key in enumerate(("utt2", "utt5"))
    ]
    editor = TasteEdit.from_pretrained(str(tiny_taste))
    words = list(range(len(text.split())))
    first, second = editor(*readings, words=words)
    assert torch.equal(first.edited_tokens.codes, second.tokens.codes)
    # An edited reading is what the plain synthesiser makes of the same codes.
    speak = TasteToSpeech.from_pretrained(str(tiny_taste), sampling=Sampling(seed=0))
    alone = speak(text, readings[0].spk_emb, second.tokens.codes)
    assert torch.equal(alone.units, first.edited_speech.units)
    with pytest.raises(ValueError, match="texts differ"):
        editor(readings[0], Reading(readings[1].speech, "set a red book", None), [0])
