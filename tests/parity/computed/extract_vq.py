"""The expected tensors of ``f_extract_vq``: codes between two tokenizations."""

import torch
from parity.models import taste_model

from espnet2_taste.nn.segments import length_mask, segment_starts, spread_segments
from espnet2_taste.taste.espnet_model import TasteModel
from espnet2_taste.taste.taste_tokenizer import TasteOutput
from espnet2_taste.text.view import TextView

FILE = "f_extract_vq"


@torch.no_grad()
def extract_vq(parity) -> dict[str, torch.Tensor]:
    """Codes of the batch in ``inputs``, moved to the LLM's tokens and back."""
    model, inputs, data = taste_model(parity), parity.load("inputs"), parity.load(FILE)
    lengths, word_ids = (
        inputs[f"asr_{name}"].long() for name in ("token_lengths", "word_ids")
    )
    llm_lengths, llm_word_ids = (
        inputs[f"llm_{name}"].long() for name in ("token_lengths", "word_ids")
    )
    taste = tokenize(parity, model)
    text = TextView(inputs["asr_token_ids"], lengths, word_ids)
    codes = model.segment_codes(taste, text)
    embeds = model.codes_to_embeddings(codes, text)
    valid = length_mask(lengths, embeds.size(1))
    # Word ids alone: every position counts.
    source, target = data["map2_src_word_ids"], data["map2_tgt_word_ids"]
    whole = [torch.full((len(ids),), ids.size(1)) for ids in (target, source)]
    return {
        "asr_indices": taste.quantizer.codes,
        "llm_indices": place_at_word_starts(codes, llm_word_ids, llm_lengths, -1),
        "word_start_map": first_token_map(
            llm_word_ids, llm_lengths, word_ids, lengths
        ).float(),
        "word_start_map2": first_token_map(target, whole[0], source, whole[1]).float(),
        "from_taste_audio_unit_embeds": embeds.masked_fill(~valid[..., None], 0),
        "from_taste_lengths": lengths,
    }


def tokenize(parity, model: TasteModel) -> TasteOutput:
    """The batch in ``inputs`` through the tokenizer half."""
    inputs = parity.load("inputs")
    return model.tokenize_feats(
        inputs["audio_features"],
        inputs["audio_feature_lengths"].long(),
        TextView(
            inputs["asr_token_ids"],
            inputs["asr_token_lengths"].long(),
            inputs["asr_word_ids"].long(),
        ),
    )


def first_token_map(
    word_ids: torch.Tensor,
    lengths: torch.Tensor,
    other_word_ids: torch.Tensor,
    other_lengths: torch.Tensor,
) -> torch.Tensor:
    """Where two tokenizations of the same words begin each word.

    Args:
        word_ids: (B, L) int64; lengths: (B,).
        other_word_ids: (B, M) int64; other_lengths: (B,).

    Returns:
        (B, L, M) bool, True where both tokens are the first of one word: a matrix that
        moves what is known of the words' first tokens from M to L positions.
    """
    same = word_ids[:, :, None] == other_word_ids[:, None]
    starts = segment_starts(word_ids, lengths)[:, :, None]
    return same & starts & segment_starts(other_word_ids, other_lengths)[:, None]


def place_at_word_starts(
    words: torch.Tensor, word_ids: torch.Tensor, lengths: torch.Tensor, fill: int
) -> torch.Tensor:
    """(B, W, R) -> (B, L, R): a word's entry at its first token, ``fill`` elsewhere."""
    starts = segment_starts(word_ids, lengths)[..., None]
    return torch.where(starts, spread_segments(words, word_ids), fill)


FILES = {FILE: extract_vq}
