"""Text tokenizers by name, and those of our own vocabularies and of Whisper."""

import argparse
import functools
from pathlib import Path

from espnet2_taste.text.abs_word_tokenizer import AbsWordTokenizer
from espnet2_taste.text.hf_tokenizer import HFTokenizer

#: Marks the start of a word in sentencepiece and character vocabularies.
WORD_START = "\u2581"
UNKNOWN = "<unk>"


def unmarked(word: str) -> str:
    """A word where the word mark is an unknown letter."""
    return word.replace(WORD_START, "\ue000")  # private: nothing else is it


class SentencePieceTokenizer(AbsWordTokenizer):
    """``token_type: bpe``: a sentencepiece model file."""

    def __init__(self, model: str):
        super().__init__()
        if not Path(model).is_file():
            raise FileNotFoundError(f"no sentencepiece model at {model} (stage 3)")
        self.model, self.proto = model, Path(model).read_bytes()
        self.processor = self.processors[True]

    @functools.cached_property
    def processors(self) -> dict:
        """Those that put a space before a word (True), and not (False)."""
        from sentencepiece import SentencePieceProcessor

        made = {}
        for spaced in (True, False):
            try:
                made[spaced] = SentencePieceProcessor(model_proto=self.proto)
            except RuntimeError:
                raise ValueError(f"{self.model} is no sentencepiece model") from None
            made[spaced].override_normalizer_spec(add_dummy_prefix=spaced)
        return made

    @property
    def vocab_size(self) -> int:
        return self.processor.get_piece_size()

    def _encode(self, word: str, spaced: bool) -> tuple[int, ...]:
        return tuple(self.processors[spaced].encode(unmarked(word)))

    def piece(self, index: int) -> str:
        processor, text = self.processor, self.processor.id_to_piece(index)
        if processor.is_byte(index):  # <0x41>
            return bytes([int(text[1:-1], 16)]).decode("utf-8", "surrogateescape")
        symbols = (processor.is_control, processor.is_unknown, processor.is_unused)
        silent = any(is_symbol(index) for is_symbol in symbols)
        return "" if silent else text.replace(WORD_START, " ")


class CharTokenizer(AbsWordTokenizer):
    """``token_type: char``: a token list; a word is its characters, and where it has a
    space before it the word mark first."""

    def __init__(self, model: str):
        super().__init__()
        if not Path(model).is_file():
            raise FileNotFoundError(f"no character list at {model} (stage 3)")
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
        unknown = self.index[UNKNOWN]
        chars = (
            unknown if c == WORD_START else self.index.get(c, unknown) for c in word
        )
        return (*([self.index[WORD_START]] * spaced), *chars)

    def piece(self, index: int) -> str:
        piece = self.pieces[index]
        return piece.replace(WORD_START, " ") if len(piece) == 1 else ""


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
        names = self.encoding.special_tokens_set
        self.symbols = {self.encoding.encode_single_token(name) for name in names}

    @property
    def vocab_size(self) -> int:
        return self.encoding.n_vocab

    def _encode(self, word: str, spaced: bool) -> tuple[int, ...]:
        return tuple(self.encoding.encode(" " * spaced + word, disallowed_special=()))

    def piece(self, index: int) -> str:
        if index in self.symbols:
            return ""
        written = self.encoding.decode_single_token_bytes(index)
        return written.decode("utf-8", "surrogateescape")


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
