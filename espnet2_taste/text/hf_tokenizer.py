"""Tokenizers of published language models, by what their tokens write.

The families differ in where a word's space is: in the first byte of a token (GPT-2,
Llama 3, Qwen), in a mark (Llama 2, Mistral, T5), or nowhere, where a mark says that a
token goes on with a word (BERT). Some put a space before any text by themselves, so how
a word is given to them is found out by trying.
"""

import json
import re
from collections.abc import Callable, Iterator
from itertools import islice

from espnet2_taste.io.published import published
from espnet2_taste.text.abs_word_tokenizer import AbsWordTokenizer

_MARK = "\u2581"
_BYTE = re.compile(r"<0x([0-9A-F]{2})>")
#: Words that are tried.
_PROBES = 30


class HFTokenizer(AbsWordTokenizer):
    """``token_type: hf``: a transformers tokenizer (hub id or local folder).

    Raises:
        ValueError: its tokens do not tell where words begin; the message names it.
    """

    def __init__(self, model: str):
        super().__init__()
        from transformers import AutoTokenizer

        self.tokenizer = AutoTokenizer.from_pretrained(
            published(model), trust_remote_code=False
        )
        self.backend = getattr(self.tokenizer, "backend_tokenizer", None)
        if self.backend is None:
            raise ValueError(f"{model} has no tokenizer.json (of a 'fast' tokenizer)")
        spec = json.loads(self.backend.to_str())
        added = self.backend.get_added_tokens_decoder()
        self.added = {i: token.content for i, token in added.items()}
        unknown = spec["model"].get("unk_token")
        self.symbols = {i for i, token in added.items() if token.special}
        self.symbols |= {*self.tokenizer.all_special_ids, spec["model"].get("unk_id")}
        self.symbols |= {self.backend.token_to_id(unknown)} if unknown else set()
        self.family = _family(spec, self.backend.token_to_id(_MARK) is not None)
        self.continues = spec["model"].get("continuing_subword_prefix") or "##"
        names = {self.backend.id_to_token(i) for i in self.symbols - {None}} - {None}
        patterns = [re.escape(name) for name in sorted(names) if len(name) > 1]
        if self.family == "mark":
            patterns.append(_BYTE.pattern)
        self.written_symbol = re.compile("|".join(patterns) or r"(?!)")
        self.ways = self._find_ways(spec) if self.family else {True: None}
        if self.ways[True] is None:
            raise ValueError(f"{model}: its tokens do not tell where words begin")
        self.spaces_alone = self.ways[False] is not None

    @property
    def vocab_size(self) -> int:
        return len(self.tokenizer)

    def _find_ways(self, spec: dict) -> dict[bool, tuple | None]:
        """With a space before it and without: what encodes a word, and what text goes
        before the word. None: in no way."""
        own, bare = _tokenizer(spec), _tokenizer(_without_prefix(spec, self.family))
        candidates = {
            True: [(bare, " "), (bare, ""), (own, ""), (own, " ")],
            False: [(bare, ""), (own, "")],
        }
        probes = list(islice(self._probes(), _PROBES))
        found = {}
        for spaced, ways in candidates.items():
            wanted = [" " * spaced + word for word in probes]
            scores = [
                sum(
                    self._text(self._ids(way, word)) == text
                    for word, text in zip(probes, wanted, strict=True)
                )
                for way in ways
            ]
            best = scores.index(max(scores))
            found[spaced] = ways[best] if scores[best] else None
        return found

    def _probes(self) -> Iterator[str]:
        """Words that the vocabulary has a token of; spaces belong to none."""
        for index in range(self.vocab_size):
            piece = self.piece(index)
            if piece[:1] == " " and piece[1:].isalpha():
                yield piece[1:]

    def _text(self, ids: list[int]) -> str:
        return "".join(map(self.piece, ids))

    @staticmethod
    def _ids(way: tuple, text: str) -> list[int]:
        tokenizer, prefix = way
        return tokenizer.encode(prefix + text, add_special_tokens=False).ids

    def _encode(self, word: str, spaced: bool) -> tuple[int, ...]:
        # "</s>" in a transcript is text: cut in two it is no symbol's name
        cuts = [m.start() + 1 for m in self.written_symbol.finditer(word)]
        ids = []
        for start, end in zip([0, *cuts], [*cuts, len(word)], strict=True):
            way = self.ways[spaced and start == 0]
            if way is None:
                raise ValueError(f"word {word!r}: this vocabulary puts spaces into it")
            ids += self._ids(way, word[start:end])
        return tuple(ids)

    def encode_text(self, text: str) -> list[int]:
        """As it stands: spaces, line breaks and special tokens such as a chat's."""
        return self.tokenizer.encode(text, add_special_tokens=False)

    def piece(self, index: int) -> str:
        if index in self.symbols:
            return ""
        if index in self.added:
            return self.added[index]
        token = self.backend.id_to_token(index) or ""
        return _SPELL[self.family](token, self.continues)


def _bytes(token: str, _: str) -> str:
    """Bytes as printable letters."""
    if not set(token) <= _LETTERS.keys():
        return ""
    written = bytes(_LETTERS[letter] for letter in token)
    return written.decode("utf-8", "surrogateescape")


def _marked(token: str, _: str) -> str:
    """A mark for the space; bytes of characters that have no token as <0x41>."""
    byte = _BYTE.fullmatch(token)
    if byte:
        return bytes([int(byte[1], 16)]).decode("utf-8", "surrogateescape")
    return token.replace(_MARK, " ")


def _continued(token: str, prefix: str) -> str:
    """A mark for what does not begin a word."""
    return token.removeprefix(prefix) if token.startswith(prefix) else f" {token}"


_SPELL: dict[str, Callable[[str, str], str]] = {
    "bytes": _bytes,
    "mark": _marked,
    "continued": _continued,
}
#: GPT-2's alphabet: letter -> byte.
_PRINTED = [*range(33, 127), *range(161, 173), *range(174, 256)]
_LETTERS = {chr(byte): byte for byte in _PRINTED}
_LETTERS |= {
    chr(256 + i): byte
    for i, byte in enumerate(b for b in range(256) if b not in _PRINTED)
}


def _family(spec: dict, has_mark: bool) -> str | None:
    """How tokens are spelt: a key of ``_SPELL``; None: words cannot be told."""
    model = spec["model"]
    kinds = {node["type"] for node in _nodes(spec)}
    if model.get("end_of_word_suffix"):
        return None
    if "ByteLevel" in kinds:
        return "bytes"
    if has_mark:
        return "mark"
    return "continued" if model.get("continuing_subword_prefix") else None


def _nodes(spec: dict) -> Iterator[dict]:
    """Normalisers, pre-tokenisers and decoders, those of sequences too."""
    queue = [spec.get(key) for key in ("normalizer", "pre_tokenizer", "decoder")]
    while queue:
        node = queue.pop()
        if isinstance(node, dict):
            yield node
            for parts in ("normalizers", "pretokenizers", "decoders"):
                queue += node.get(parts) or []


def _without_prefix(spec: dict, family: str) -> dict:
    """The same tokenizer without a space of its own before a text."""
    spec = json.loads(json.dumps(spec))
    for node in _nodes(spec):
        if "add_prefix_space" in node:
            node["add_prefix_space"] = False
        if "prepend_scheme" in node:
            node["prepend_scheme"] = "never"
        if node["type"] == "Prepend":
            node["prepend"] = ""
        if node["type"] == "BertNormalizer":
            node["handle_chinese_chars"] = False  # spaces around each of them
    if family == "continued":
        spec["pre_tokenizer"] = None  # it cuts at punctuation
    return spec


def _tokenizer(spec: dict):
    """Reads plain text: the names of special tokens in it are text, too."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(json.dumps(spec))
    tokenizer.encode_special_tokens = True
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer
