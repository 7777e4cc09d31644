import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet2_taste.bin.train_tokenizer import main as train_tokenizer
from espnet2_taste.text.tokenizers import build_text_tokenizer

SENTENCES = ["the red lamp", "set the blue lamp", "read a red book", "a lamp"] * 5


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vocab")
    lines = [f"u{i} {s}\n" for i, s in enumerate(SENTENCES)]
    (folder / "text").write_text("".join(lines))
    paths = {}
    for kind in ("bpe", "char", "hf"):
        paths[kind] = str(folder / f"{kind}.model")
        train_tokenizer(
            ["--data_dir", str(folder), "--token_type", kind]
            + ["--vocab_size", "280" if kind == "hf" else "30"]
            + ["--output", paths[kind]]
        )
    return paths


@pytest.mark.parametrize("kind", ["bpe", "char", "hf"])
def test_round_trip_and_word_starts(models, kind):
    tokenizer = build_text_tokenizer(kind, models[kind])
    for sentence in set(SENTENCES):
        ids, word_ids = tokenizer.encode_words(sentence.split())
        assert tokenizer.decode(ids) == sentence
        assert sorted(set(word_ids)) == list(range(len(sentence.split())))
        first = [i == 0 or word_ids[i] != word_ids[i - 1] for i in range(len(ids))]
        assert [tokenizer.piece(i).startswith(" ") for i in ids] == first


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
    with pytest.raises(FileNotFoundError, match="stage 3"):
        build_text_tokenizer("bpe", str(tmp_path / "none.model"))


@pytest.fixture(scope="module")
def hf_folder(tmp_path_factory):
    """A byte-level BPE tokenizer with a start symbol, as an LLM's."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=300, initial_alphabet=alphabet, show_progress=False
    )
    inner.train_from_iterator(SENTENCES, trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, bos_token="<|start|>")
    folder = tmp_path_factory.mktemp("hf") / "tokenizer"
    tokenizer.save_pretrained(folder)
    return folder


def test_hf_words_and_plain_text(hf_folder):
    tokenizer = build_text_tokenizer("hf", str(hf_folder))
    ids, word_ids = tokenizer.encode_words(["the", "red", "ψ"])
    assert tokenizer.decode(ids) == "the red ψ"
    assert sorted(set(word_ids)) == [0, 1, 2]
    first = [i == 0 or word_ids[i] != word_ids[i - 1] for i in range(len(ids))]
    assert [tokenizer.piece(i).startswith(" ") for i in ids] == first
    text = "<|start|>the red\n\nlamp"
    ids = tokenizer.encode_text(text)
    assert ids[0] == tokenizer.tokenizer.bos_token_id
    assert tokenizer.tokenizer.decode(ids) == text
    assert tokenizer.encode_text("") == []


def test_plain_text_of_other_tokenizers(models):
    tokenizer = build_text_tokenizer("char", models["char"])
    expected = tokenizer.encode_words(["red", "lamp"])[0]
    assert tokenizer.encode_text(" red  lamp") == expected
    assert tokenizer.encode_text(" ") == []


def test_identity_follows_the_file(models, tmp_path):
    copy = tmp_path / "chars"
    copy.write_text(open(models["char"], encoding="utf-8").read(), encoding="utf-8")
    first, again = (build_text_tokenizer("char", str(copy)) for _ in range(2))
    assert first.identity == again.identity
    with copy.open("a", encoding="utf-8") as f:
        f.write("ψ\n")
    assert build_text_tokenizer("char", str(copy)).identity != first.identity
