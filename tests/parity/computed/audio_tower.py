"""The expected tensors of ``a_audio_tower``."""

import torch
from parity.models import taste_model

from espnet2_taste.nn.segments import length_mask
from espnet2_taste.taste.espnet_model import TasteModel


def audio_tower(parity) -> dict[str, torch.Tensor]:
    """States, attention maps and token vectors of the batch in ``inputs``.

    The reference puts the end token after the *padding*: lengths here include it.
    """
    model, inputs = taste_model(parity), parity.load("inputs")
    data = parity.load("a_audio_tower")
    text, lengths = inputs["asr_token_ids"], inputs["asr_token_lengths"].long()
    word_ids = inputs["asr_word_ids"]
    encoder_out = model.encoder(
        inputs["audio_features"], inputs["audio_feature_lengths"].long()
    )
    with torch.no_grad():
        whole = torch.full_like(lengths, text.size(1))
        ids, _ = model.aggregator._add_special_tokens(text, whole)
        hidden, maps = model.aggregator.decode(text, whole, encoder_out, True)
        hidden = hidden[:, len(model.aggregator.prefix_ids) :]
        averaged = reference_average(hidden, word_ids, lengths)
        quantized = model.quantizer(
            averaged[:, :-1], length_mask(lengths, text.size(1))
        )
        singles = single_word_embeds(parity, model, encoder_out)
    every = {
        name: int(match[2])
        for match in parity.match("a_audio_tower", r"(.+)_every(\d+)")
        for name in [match[1]]
    }
    states = {"key_states": encoder_out.keys, "val_states": encoder_out.values}
    results = {
        f"{name}_every{every[name]}": value[:, :: every[name]]
        for name, value in states.items()
    }
    for layer, attention in enumerate(maps):
        name = f"cross_attn_l{layer}"
        results[f"{name}_every{every[name]}"] = attention[..., :: every[name]]
    assert data["singleword_word_ids"].shape == word_ids.shape
    return results | {
        "whisper_text_token": ids,
        "segmented_feats_subword": hidden,
        "segmented_feats": averaged,
        "segmented_feat_lengths": lengths + 1,
        "tower_novq_audio_unit_embeds": averaged[:, :-1],
        "tower_vq_audio_unit_embeds": quantized.embeddings,
        "tower_vq_audio_unit_lengths": lengths,
        "tower_vq_quantized_indices": quantized.codes,
        **singles,
    }


def single_word_embeds(parity, model: TasteModel, encoder_out) -> dict:
    """``singleword_pad<n>_embeds``: word vectors of an utterance of one word.

    The reference's averaging depends on the padding n (its quirk Q2), see
    :func:`reference_average`.
    """
    inputs, results = parity.load("inputs"), {}
    all_word_ids = parity.load("a_audio_tower")["singleword_word_ids"]
    text, lengths = inputs["asr_token_ids"], inputs["asr_token_lengths"].long()
    item = single_word_item(parity)
    for match in parity.match("a_audio_tower", r"singleword_pad(\d+)_embeds"):
        size = int(lengths[item]) + int(match[1])
        batch = parity.shapes("a_audio_tower")[match[0]][0]
        rows = slice(None) if batch == len(text) else slice(item, item + 1)
        part = type(encoder_out)(
            encoder_out.keys[rows], encoder_out.values[rows], encoder_out.lengths[rows]
        )
        whole = torch.full((batch,), size)
        hidden = model.aggregator(text[rows, :size], whole, part).hidden
        results[match[0]] = reference_average(
            hidden, all_word_ids[rows, :size], lengths[rows]
        )
    return results


def single_word_item(parity) -> int:
    """Which item the ``singleword_*`` tensors give a single word."""
    word_ids = parity.load("a_audio_tower")["singleword_word_ids"]
    return int(word_ids.abs().sum(1).argmin())


def reference_average(
    hidden: torch.Tensor, word_ids: torch.Tensor, lengths: torch.Tensor
) -> torch.Tensor:
    """Word averaging as the reference does it (quirk Q2).

    It looks for runs of equal ids in *padded* word ids, whose padding is 0: a run that
    ends at most one token after the text is averaged. The only word of an utterance
    (id 0) runs on through the padding.
    """
    hidden = hidden.clone()
    for row, ids, length in zip(hidden, word_ids, lengths.tolist(), strict=True):
        _, counts = torch.unique_consecutive(ids, return_counts=True)
        end = 0
        for count in counts.tolist():
            start, end = end, end + count
            if count > 1 and end <= length + 1:
                row[start:end] = row[start:end].mean(0)
    return hidden


FILES = {"a_audio_tower": audio_tower}
