"""Transcripts with words of which a vocabulary has no piece: a dash, an emoji."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from espnet2_taste.io.shards import Shard
from espnet2_taste.text.segmenters import SEGMENTERS
from espnet2_taste.text.tokenizers import build_text_tokenizer


def find_unspelled(
    texts: Iterable[tuple[str, str]],
    configurations: Iterable[Mapping[str, Any]],
    bpe_model: str | None = None,
    segmenter: str = "whitespace",
) -> dict[str, str]:
    """The utterances whose words cannot all be written, which training refuses: why.

    Args:
        texts: utterance and transcript of each.
        configurations: options of the trainings: their vocabularies.
        bpe_model: of those of type bpe or char that name no other.
        segmenter: likewise.
    """
    pairs = []
    for conf in configurations:
        for chosen in (conf, *(conf.get("vocabularies") or {}).values()):
            kind, model = chosen.get("token_type", "bpe"), chosen.get("token_model")
            if model is None and kind in ("bpe", "char"):
                model = bpe_model
            tokenizer = build_text_tokenizer(kind, model)
            pairs.append((tokenizer, conf.get("segmenter") or segmenter))
    found = {}
    for utt, text in texts:
        try:
            for tokenizer, name in pairs:
                tokenizer.encode_words(*SEGMENTERS[name].split(text))
        except ValueError as error:
            found[utt] = str(error)
    return found


def skip_unspelled(
    keys: list[str],
    texts: Mapping[str, str],
    preprocess: Callable[[str, dict], dict],
    shard: Shard,
) -> list[str]:
    """The keys whose transcripts a model's vocabulary can write; others are skipped.

    Args:
        keys: of a batch of ``shard``.
        texts: key -> transcript.
        preprocess: the model's ``(key, data) -> data``.
        shard: which counts what it skips.
    """
    good = []
    for key in keys:
        try:
            preprocess(key, {"text": texts[key]})
            good.append(key)
        except ValueError as error:
            shard.skip(key, str(error).removeprefix(f"utterance {key}: "))
    return good
