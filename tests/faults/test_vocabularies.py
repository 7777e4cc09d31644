"""What is trained can be generated, whatever the vocabulary.

Words are encoded; an LM that is certain of these tokens says exactly them; what it says
is the same words.
"""

import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, trainers
from tokenizers import pre_tokenizers as pre
from transformers import PreTrainedTokenizerFast

from espnet2_taste.bin.train_tokenizer import main as train_tokenizer
from espnet2_taste.tasks.preprocessor import TastePreprocessor
from espnet2_taste.taslm.sampler import Sampler, SamplingOptions
from espnet2_taste.taslm.vocabulary import Vocabulary
from espnet2_taste.text.segmenters import SEGMENTERS
from espnet2_taste.text.tokenizers import build_text_tokenizer

#: Latin, Greek, Devanagari, Arabic, Thai; Chinese and kana; signs and emoji
LETTERS = (
    "abcdeñß'-.3" + "αβγς" + "हिन्दी" + "عربي" + "ไทย" + "你好红灯" + "カな" + "🙂👍🏽"
)
SYMBOLS = ["<s>", "</s>", "<unk>", "<pad>", "<0x41>", "[CLS]", "##a", "<|s|>"]
SYMBOLS += ["<tool>", "a</s>b", "<s><s>", "▁", "a▁", "Ġ"]
CORPUS = ["set the red lamp", "the blue lamp", "don't stop", *LETTERS, LETTERS] * 9
SPECIAL = {"special_tokens": ["<unk>", "<s>", "</s>", "<pad>"], "show_progress": False}
ASCII = [chr(i) for i in range(33, 127)]


def byte_level(prefix: bool) -> Tokenizer:
    """GPT-2, Llama 3, Qwen (without), RoBERTa with ``add_prefix_space``."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre.ByteLevel(add_prefix_space=prefix)
    made.decoder = decoders.ByteLevel()
    alphabet = pre.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=300, initial_alphabet=alphabet, show_progress=False
    )
    made.train_from_iterator(CORPUS[:3] * 9, trainer)
    return made


def marked_bpe(byte_fallback: bool) -> Tokenizer:
    """Llama 2, Mistral, TinyLlama: a normaliser puts a mark before every text."""
    made = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=byte_fallback))
    mark = [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    made.normalizer = normalizers.Sequence(mark)
    made.pre_tokenizer = pre.Split("▁", "merged_with_next")
    texts, more = CORPUS, dict(SPECIAL, initial_alphabet=ASCII)
    if byte_fallback:
        texts = [text for text in CORPUS if text.isascii()]
        names = [f"<0x{byte:02X}>" for byte in range(256)]
        more["special_tokens"] = [*SPECIAL["special_tokens"], *names]
    trainer = trainers.BpeTrainer(vocab_size=450, **more)
    made.train_from_iterator(texts, trainer)
    made.pre_tokenizer = None
    if byte_fallback:  # they are no added tokens there
        import json

        spec = json.loads(made.to_str())
        spec["added_tokens"] = spec["added_tokens"][:4]
        made = Tokenizer.from_str(json.dumps(spec))
    return made


def unigram(whitespace: bool) -> Tokenizer:
    """T5, ALBERT, XLM-R: spaces become marks."""
    made = Tokenizer(models.Unigram())
    mark = pre.Metaspace(prepend_scheme="always")
    made.pre_tokenizer = mark
    if whitespace:
        made.pre_tokenizer = pre.Sequence([pre.WhitespaceSplit(), mark])
    made.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=200, unk_token="<unk>", initial_alphabet=ASCII, **SPECIAL
    )
    made.train_from_iterator(CORPUS, trainer)
    return made


def word_piece() -> Tokenizer:
    """BERT: a mark goes before what is no beginning."""
    made = Tokenizer(models.WordPiece(unk_token="<unk>"))
    made.normalizer = normalizers.BertNormalizer(
        strip_accents=False, handle_chinese_chars=False, lowercase=False
    )
    made.pre_tokenizer = pre.WhitespaceSplit()
    trainer = trainers.WordPieceTrainer(
        vocab_size=600, initial_alphabet=[*ASCII, *LETTERS], **SPECIAL
    )
    mixed = [LETTERS[i:] + LETTERS[:i] for i in range(len(LETTERS))]
    mixed += [text[1:] + text[0] for text in map("".join, [ASCII, ASCII[::-1]])]
    made.train_from_iterator([*CORPUS, *mixed], trainer)
    made.pre_tokenizer = pre.BertPreTokenizer()
    made.normalizer = normalizers.BertNormalizer(strip_accents=False, lowercase=False)
    return made


HF = {
    "byte level": lambda: byte_level(False),
    "byte level, prefix": lambda: byte_level(True),
    "marked bpe": lambda: marked_bpe(False),
    "byte fallback": lambda: marked_bpe(True),
    "unigram": lambda: unigram(False),
    "unigram, split": lambda: unigram(True),
    "word piece": word_piece,
}
FAMILIES = [*HF, "bpe", "char"]  # and "whisper", whose 52k tokens take longer
#: But those that put a space before every word.
SPACES_ALONE = [f for f in FAMILIES if f not in ("word piece", "unigram, split")]


def save(inner: Tokenizer, folder) -> str:
    names = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, **names)
    tokenizer.add_tokens(["<tool>"])
    tokenizer.save_pretrained(folder)
    return str(folder)


class Family:
    """A tokenizer, and what an LM's sampler knows of it."""

    def __init__(self, tokenizer):
        self.tokenizer = pickle.loads(pickle.dumps(tokenizer))
        self.size = tokenizer.vocab_size + 2

    def table(self, segmenter="whitespace"):
        return Vocabulary.of(self.tokenizer, self.size, segmenter=segmenter)


@pytest.fixture(scope="module")
def families(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vocabularies")
    lines = [f"u{i} {text}\n" for i, text in enumerate([*CORPUS, *SYMBOLS])]
    (folder / "text").write_text("".join(lines))
    made = {}
    for name in [*FAMILIES, "whisper"]:
        kind = name if name not in HF else "hf"
        model = str(folder / name)
        if kind == "hf":
            save(HF[name](), model)
        elif kind == "whisper":
            model = None
        else:
            train_tokenizer(
                ["--data_dir", str(folder), "--token_type", kind]
                + ["--vocab_size", "100", "--output", model]
            )
        made[name] = Family(build_text_tokenizer(kind, model))
    return made


def say(vocabulary, size, ids, **options):
    """The words of an LM that is certain of some tokens and then of its end symbol."""
    options = SamplingOptions(max_words=90, min_words=1, **options)
    seen = torch.zeros(1, size, dtype=torch.bool)
    sampler = Sampler(options, vocabulary, 0, "word", size - 1, seen)
    words = []
    for index in [*ids, size - 1]:
        logits = torch.full((1, size), -9.0)
        logits[0, index] = 50
        step = sampler.step(logits, torch.full((1,), 0.5))
        assert int(step.text) == index
        if step.stopped:
            return words
        if step.starts:
            words.append([])
        words[-1].append(index)
    raise AssertionError("no end")


WORDS = st.lists(st.text(LETTERS, min_size=1, max_size=9), min_size=1, max_size=5)


@pytest.mark.parametrize("family", FAMILIES)
@settings(max_examples=25, deadline=None)
@given(words=WORDS)
def test_what_is_trained_can_be_said(families, family, words):
    check_words(families[family], words)


def test_whisper(families):
    words = ["don't", "हिन्दी", "👍🏽", "</s>", "<|startoftranscript|>"]
    check_words(families["whisper"], words)


def check_words(found, words):
    tokenizer = found.tokenizer
    ids, word_ids = tokenizer.encode_words(words)
    said = say(found.table(), found.size, ids)
    assert [len(word) for word in said] == [word_ids.count(i) for i in set(word_ids)]
    assert [tokenizer.decode(word) for word in said] == words
    assert tokenizer.decode(ids) == " ".join(words)


@pytest.mark.parametrize("family", SPACES_ALONE)
@settings(max_examples=10, deadline=None)
@given(text=st.text("abc你好红カな🙂 ", min_size=1, max_size=12))
def test_languages_without_spaces(families, family, text):
    check_unspaced(families[family], text)


def check_unspaced(found, text):
    words, spaced = SEGMENTERS["characters"].split(text)
    if not words:
        return
    ids, _ = found.tokenizer.encode_words(words, spaced)
    said = say(found.table("characters"), found.size, ids, first_starts_word=False)
    assert [found.tokenizer.decode(word) for word in said] == words


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("symbol", SYMBOLS)
def test_symbols_in_transcripts_are_text(families, family, symbol):
    """Read back as they are, or refused; never a symbol, never another word."""
    found = families[family]
    try:
        ids, _ = found.tokenizer.encode_words(["the", symbol, "lamp"])
    except ValueError as error:
        assert repr(symbol) in str(error)
        assert not family.startswith("byte level")
        return
    pieces = [found.tokenizer.piece(i) for i in ids]
    if all(pieces):  # a vocabulary may know a part of a word
        said = say(found.table(), found.size, ids)
        assert [found.tokenizer.decode(w) for w in said] == ["the", symbol, "lamp"]
    else:
        assert family in ("marked bpe", "unigram", "unigram, split", "bpe", "char")


def test_what_does_not_tell_words_is_refused(tmp_path, families):
    plain = Tokenizer(models.WordLevel({"<unk>": 0, "the": 1, "lamp": 2}, "<unk>"))
    plain.pre_tokenizer = pre.WhitespaceSplit()
    ends = Tokenizer(models.BPE(end_of_word_suffix="</w>", unk_token="<unk>"))
    trainer = trainers.BpeTrainer(end_of_word_suffix="</w>", **SPECIAL)
    ends.train_from_iterator(CORPUS, trainer)
    for name, inner in {"plain": plain, "ends": ends}.items():
        with pytest.raises(ValueError, match=f"{name}: its tokens do not tell where"):
            build_text_tokenizer("hf", save(inner, tmp_path / name))
    with pytest.raises(ValueError, match="has a space before every word, segmenter"):
        model = save(word_piece(), tmp_path / "word piece")
        TastePreprocessor("hf", model, segmenter="characters")


def test_letters_in_bytes_that_do_not_tell_words(tmp_path):
    """E0, Thai (a character is a word) or Devanagari (it is not)."""
    model = save(marked_bpe(True), tmp_path / "llama")
    preprocess = TastePreprocessor("hf", model, segmenter="characters", generated=True)
    preprocess("u", {"text": "你好 lamp"})
    with pytest.raises(ValueError, match="utterance u: 'ไทย' has letters that th"):
        preprocess("u", {"text": "ไทย"})


def test_no_half_characters(families):
    """Random logits: whatever a vocabulary of bytes says is text."""
    for family in ("byte level", "byte fallback"):
        found = families[family]
        options = SamplingOptions(
            max_words=3, text_top_p=1.0, max_tokens_per_word=5, end_symbol=False
        )
        seen = torch.zeros(16, found.size, dtype=torch.bool)
        table = found.table()
        sampler = Sampler(options, table, 0, "word", found.size - 1, seen)
        generator = torch.Generator().manual_seed(1)
        cut = (table.bytes[0] > 0).float() * 9  # half characters are likely
        said = [[] for _ in range(16)]
        for _ in range(4 * 5 * 4):
            step = sampler.step(
                torch.randn(16, found.size, generator=generator) + cut,
                torch.rand(16, generator=generator),
            )
            for item in step.emitted.nonzero().flatten().tolist():
                said[item].append(int(step.text[item]))
            if step.done.all():
                break
        assert step.done.all()
        texts = [found.tokenizer.decode(ids) for ids in said]
        assert all("\ufffd" not in text for text in texts)
        assert max(map(ord, "".join(texts))) > 127
