import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet2_taste.bin.train_tokenizer import main as train_tokenizer
from espnet2_taste.data.text import build_text_tokenizer

SENTENCES = ["the red lamp", "set the blue lamp", "read a red book", "a lamp"] * 5


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vocab")
    lines = [f"u{i} {s}\n" for i, s in enumerate(SENTENCES)]
    (folder / "text").write_text("".join(lines))
    paths = {}
    for kind in ("bpe", "char"):
        paths[kind] = str(folder / f"{kind}.model")
        train_tokenizer(
            ["--data_dir", str(folder), "--token_type", kind, "--vocab_size", "30"]
            + ["--output", paths[kind]]
        )
    return paths


@pytest.mark.parametrize("kind", ["bpe", "char"])
def test_round_trip_and_word_starts(models, kind):
    tokenizer = build_text_tokenizer(kind, models[kind])
    for sentence in set(SENTENCES):
        ids, word_ids = tokenizer.encode_words(sentence.split())
        assert tokenizer.decode(ids) == sentence
        assert sorted(set(word_ids)) == list(range(len(sentence.split())))
        first = [i == 0 or word_ids[i] != word_ids[i - 1] for i in range(len(ids))]
        assert tokenizer.starts_word[ids].tolist() == first


@pytest.mark.parametrize("kind", ["bpe", "char"])
def test_survives_pickling_for_data_workers(models, kind):
    tokenizer = build_text_tokenizer(kind, models[kind])
    again = pickle.loads(pickle.dumps(tokenizer))
    assert again.encode_words(["red"]) == tokenizer.encode_words(["red"])


@pytest.mark.parametrize("kind", ["bpe", "char"])
def test_words_without_known_tokens_are_named(models, kind):
    tokenizer = build_text_tokenizer(kind, models[kind])
    with pytest.raises(ValueError, match="'ψψ' has no known token"):
        tokenizer.encode_words(["red", "ψψ"])
    with pytest.raises(ValueError, match="empty text"):
        tokenizer.encode_words([])


WHISPER = build_text_tokenizer("whisper")


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(min_size=1).filter(lambda w: w.split() == [w]), min_size=1))
def test_whisper_words_own_consecutive_tokens(words):
    ids, word_ids = WHISPER.encode_words(words)
    assert len(ids) == len(word_ids)
    assert word_ids == sorted(word_ids)
    assert set(word_ids) == set(range(len(words)))
    for index, word in enumerate(words):
        own = [i for i, w in zip(ids, word_ids, strict=True) if w == index]
        assert WHISPER.encoding.decode(own) == " " + word


def test_whisper_vocabulary_sizes():
    assert WHISPER.vocab_size == 51866
    assert build_text_tokenizer("whisper", "en").vocab_size == 51864
    with pytest.raises(ValueError, match="klingon"):
        build_text_tokenizer("whisper", "klingon")


def test_unknown_or_missing_tokenizer_is_explained(tmp_path):
    with pytest.raises(ValueError, match="phoneme"):
        build_text_tokenizer("phoneme", "x")
    with pytest.raises(ValueError, match="token_model"):
        build_text_tokenizer("bpe")
    with pytest.raises(FileNotFoundError, match="stage 4"):
        build_text_tokenizer("bpe", str(tmp_path / "none.model"))
