"""What tells two versions of a vocabulary apart, in 16 letters."""

import hashlib
from collections.abc import Mapping

from espnet2_taste.text.abs_word_tokenizer import AbsWordTokenizer

#: Words that are cut to see how it is done.
_PROBES = 200


def fingerprint(tokenizer: AbsWordTokenizer) -> str:
    """Equal where every id writes the same and the same words are cut alike (words made
    of two pieces each: merges may change while pieces stay). Goes through the ids once
    and keeps none of them."""
    digest, size = hashlib.sha256(), tokenizer.vocab_size
    step, before = max(1, size // _PROBES), ""
    for index in range(size):
        piece = tokenizer.piece(index)
        _add(digest, piece)
        if index % step == 0:
            word = "".join((before + piece).split())
            before = piece
            try:
                cut = tokenizer.encode_words([word], [True])[0] if word else []
            except (ValueError, TypeError):  # half a character, for instance
                cut = []
            _add(digest, str(cut))
    return digest.hexdigest()[:16]


def _add(digest, text: str) -> None:
    digest.update(text.encode("utf-8", "surrogateescape") + b"\0")


def check_fingerprints(
    known: Mapping[str, str], tokenizers: Mapping[str, AbsWordTokenizer]
) -> None:
    """Refuse tokenizers that are not those a model was trained with.

    Args:
        known: vocabulary -> fingerprint; those it lacks are not looked at.
        tokenizers: vocabulary -> its tokenizer.

    Raises:
        ValueError: names the vocabulary.
    """
    for name in known.keys() & tokenizers.keys():
        found = fingerprint(tokenizers[name])
        if found != known[name]:
            raise ValueError(
                f"vocabulary {name} is another version (fingerprint {found}) than the "
                f"model was trained with ({known[name]}): set its token_model to that"
            )
