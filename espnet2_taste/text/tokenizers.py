"""Text tokenizers that know words: every vocabulary is reached through words.

A transcript is split into words once (:mod:`~espnet2_taste.text.segmenters`). Each word
is then tokenised on its own, so that any two vocabularies (the tokenizer's, an LLM's)
meet at word indices.
"""

import argparse
import functools
from abc import ABC, abstractmethod
from pathlib import Path

#: Marks the start of a word in sentencepiece and character vocabularies.
WORD_START = "\u2581"
UNKNOWN = "<unk>"


class AbsWordTokenizer(ABC):
    """Maps words to token ids and back.

    Attributes:
        identity: equal for tokenizers of equal vocabulary; None: unknown.
    """

    identity: tuple | None = None

    def __init__(self):
        self._encode_cached = functools.lru_cache(maxsize=100_000)(self._encode)

    def __getstate__(self):
        cached = ("_encode_cached", "processors")
        return {k: v for k, v in self.__dict__.items() if k not in cached}

    def __setstate__(self, state):
        self.__dict__.update(state)
        AbsWordTokenizer.__init__(self)

    @property
    @abstractmethod
    def vocab_size(self) -> int:
        """Number of token ids."""

    @abstractmethod
    def _encode(self, word: str, spaced: bool) -> tuple[int, ...]:
        """Ids of one word, with or without a space before it; () when nothing of it is
        in the vocabulary."""

    @abstractmethod
    def decode(self, ids: list[int]) -> str:
        """Text of a token sequence."""

    @abstractmethod
    def piece(self, index: int) -> str:
        """Text of one token, with a leading space where it begins a word."""

    def encode_text(self, text: str) -> list[int]:
        """Ids of plain text, which may hold whatever the vocabulary knows; "" is []."""
        return self.encode_words(text.split())[0] if text.split() else []

    def encode_words(
        self, words: list[str], spaced: list[bool] | None = None
    ) -> tuple[list[int], list[int]]:
        """Tokenise word by word.

        Args:
            words: of one utterance, none of them empty.
            spaced: whether there is a space before each; default: before all of them.

        Returns:
            token ids and, of the same length, the word index of each token.

        Raises:
            ValueError: a word has no token, or there is no word.
        """
        if not words:
            raise ValueError("empty text")
        ids, word_ids = [], []
        spaced = spaced or [True] * len(words)
        for index, (word, space) in enumerate(zip(words, spaced, strict=True)):
            tokens = self._encode_cached(word, space)
            if not tokens:
                raise ValueError(
                    f"word {word!r} has no known token; normalise the text or extend "
                    "the vocabulary"
                )
            ids.extend(tokens)
            word_ids.extend([index] * len(tokens))
        return ids, word_ids


class SentencePieceTokenizer(AbsWordTokenizer):
    """``token_type: bpe``: a sentencepiece model file."""

    def __init__(self, model: str):
        super().__init__()
        if not Path(model).is_file():
            raise FileNotFoundError(f"no sentencepiece model at {model} (stage 4)")
        self.proto = Path(model).read_bytes()
        self.processor = self.processors[True]

    @functools.cached_property
    def processors(self) -> dict:
        """Those that put a space before a word (True), and not (False)."""
        from sentencepiece import SentencePieceProcessor

        made = {}
        for spaced in (True, False):
            made[spaced] = SentencePieceProcessor(model_proto=self.proto)
            made[spaced].override_normalizer_spec(add_dummy_prefix=spaced)
        return made

    @property
    def vocab_size(self) -> int:
        return self.processor.get_piece_size()

    def _encode(self, word: str, spaced: bool) -> tuple[int, ...]:
        ids = self.processors[spaced].encode(word)
        empty = {self.processor.unk_id(), self.processor.piece_to_id(WORD_START)}
        return tuple(ids) if set(ids) - empty else ()

    def decode(self, ids: list[int]) -> str:
        return self.processor.decode(list(ids))

    def piece(self, index: int) -> str:
        return self.processor.id_to_piece(index).replace(WORD_START, " ")


class CharTokenizer(AbsWordTokenizer):
    """``token_type: char``: a token list; a word is its characters, and where it has a
    space before it the word mark first."""

    def __init__(self, model: str):
        super().__init__()
        if not Path(model).is_file():
            raise FileNotFoundError(f"no character list at {model} (stage 4)")
        self.pieces = Path(model).read_text(encoding="utf-8").split("\n")
        self.pieces = [p for p in self.pieces if p]
        self.index = {p: i for i, p in enumerate(self.pieces)}
        for needed in (UNKNOWN, WORD_START):
            if needed not in self.index:
                raise ValueError(f"{model}: the character list lacks {needed!r}")

    @property
    def vocab_size(self) -> int:
        return len(self.pieces)

    def _encode(self, word: str, spaced: bool) -> tuple[int, ...]:
        if not any(c in self.index for c in word):
            return ()
        unknown = self.index[UNKNOWN]
        chars = (self.index.get(c, unknown) for c in word)
        return (*([self.index[WORD_START]] * spaced), *chars)

    def decode(self, ids: list[int]) -> str:
        return "".join(self.pieces[i] for i in ids).replace(WORD_START, " ").strip()

    def piece(self, index: int) -> str:
        return self.pieces[index].replace(WORD_START, " ")


class WhisperTokenizer(AbsWordTokenizer):
    """``token_type: whisper``: openai-whisper's vocabulary, which the package carries.

    Args:
        model: ``multilingual`` (51866 ids, large-v3; default), ``multilingual-v2``
            (51865) or ``en`` (51864).
    """

    NUM_LANGUAGES = {"multilingual": 100, "multilingual-v2": 99, "en": 99}

    def __init__(self, model: str | None = None):
        super().__init__()
        from whisper.tokenizer import get_tokenizer

        model = model or "multilingual"
        if model not in self.NUM_LANGUAGES:
            raise ValueError(
                f"whisper vocabulary {model!r} is not one of {set(self.NUM_LANGUAGES)}"
            )
        self.encoding = get_tokenizer(
            model != "en", num_languages=self.NUM_LANGUAGES[model]
        ).encoding

    @property
    def vocab_size(self) -> int:
        return self.encoding.n_vocab

    def _encode(self, word: str, spaced: bool) -> tuple[int, ...]:
        return tuple(self.encoding.encode(" " * spaced + word, disallowed_special=()))

    def decode(self, ids: list[int]) -> str:
        return self.encoding.decode(list(ids)).strip()

    def piece(self, index: int) -> str:
        return self.encoding.decode([index])


class HFTokenizer(AbsWordTokenizer):
    """``token_type: hf``: a transformers tokenizer (hub id or local folder)."""

    def __init__(self, model: str):
        super().__init__()
        from transformers import AutoTokenizer

        self.tokenizer = AutoTokenizer.from_pretrained(model)

    @property
    def vocab_size(self) -> int:
        return len(self.tokenizer)

    def _encode(self, word: str, spaced: bool) -> tuple[int, ...]:
        text = " " * spaced + word
        return tuple(self.tokenizer.encode(text, add_special_tokens=False))

    def encode_text(self, text: str) -> list[int]:
        """As it stands: spaces, line breaks and special tokens such as a chat's."""
        return self.tokenizer.encode(text, add_special_tokens=False)

    def decode(self, ids: list[int]) -> str:
        return self.tokenizer.decode(list(ids)).strip()

    def piece(self, index: int) -> str:
        token = self.tokenizer.convert_ids_to_tokens(index) or ""
        if token.startswith(WORD_START):  # sentencepiece drops it when decoding one id
            return token.replace(WORD_START, " ")
        return self.tokenizer.decode([index])


TOKENIZERS = {
    "bpe": SentencePieceTokenizer,
    "char": CharTokenizer,
    "whisper": WhisperTokenizer,
    "hf": HFTokenizer,
}


def build_text_tokenizer(token_type: str, model: str | None = None) -> AbsWordTokenizer:
    """Build a tokenizer.

    Args:
        token_type: ``bpe``, ``char``, ``whisper`` or ``hf``.
        model: sentencepiece model file, character list, Whisper vocabulary name, or
            hub id / folder, in that order of types.
    """
    if token_type not in TOKENIZERS:
        raise ValueError(f"token_type {token_type!r} is not one of {set(TOKENIZERS)}")
    if token_type != "whisper" and not model:
        raise ValueError(f"token_type {token_type} needs --token_model")
    tokenizer = TOKENIZERS[token_type](model)
    tokenizer.identity = (token_type, model, _state(model))
    return tokenizer


def _state(model: str | None) -> tuple:
    """What changes when the file, or a file of the folder, does; () for a name."""
    path = Path(model or "none")
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    stats = [(f.name, f.stat()) for f in files if f.is_file()]
    return tuple((name, s.st_size, s.st_mtime_ns) for name, s in stats)


def same_vocabulary(first: AbsWordTokenizer, second: AbsWordTokenizer) -> bool:
    """Whether every id has the same text in both."""
    if first.identity is not None and first.identity == second.identity:
        return True
    size = first.vocab_size
    return size == second.vocab_size and all(
        first.piece(i) == second.piece(i) for i in range(size)
    )


def text_vocab_size(args: argparse.Namespace) -> int:
    """Text ids a model embeds: ``vocab_size`` of its options, or the tokenizer's.

    Only a model with a given ``vocab_size`` is built without its tokenizer.
    """
    given = getattr(args, "vocab_size", None)
    if given is not None:
        return given
    return build_text_tokenizer(args.token_type, args.token_model).vocab_size
