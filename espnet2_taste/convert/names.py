"""Published tensor names <-> ours, one table per part.

A table is a list of (published prefix, our prefix); the first that fits counts. Both
columns are free of ambiguity, so the same table is read in both directions.
"""

import torch

Table = tuple[tuple[str, str], ...]

_TOWER = "audio_tower.audio_joint_encoder_segmenter."
ENCODER = _TOWER + "audio_encoder.encoder."
AGGREGATOR = _TOWER + "audio_segmenter.decoder."
_RVQ = "audio_tower.vq.rvq."
_LM = "spoken_lm.language_model."
_BRIDGE = "spoken_lm.fuse_for_bridge_in_llm."
_HEAD = "spoken_lm.extract_for_bridge_out_llm."
EMBED_TOKENS = _LM + "base_model.model.model.embed_tokens.weight"
LM_HEAD = _LM + "base_model.model.lm_head.weight"

QUANTIZER: Table = (
    (_RVQ + "project_", "quantizer.project_"),
    (_RVQ + "layers.", "quantizer.rvq.layers."),
)
TASTE: Table = (
    (ENCODER, "encoder.encoder."),
    (AGGREGATOR, "aggregator."),
    *QUANTIZER,
    ("speech_decoder.fuse_encoded_audio_text_module.", "speech_decoder.fusion."),
    ("speech_decoder.", "speech_decoder."),
)
TASLM: Table = (
    *QUANTIZER,
    (_LM, "lm.lm."),
    ("spoken_lm.pad_text_unit_embed", "inputs.pad_text"),
    ("spoken_lm.pad_audio_unit_embed", "inputs.pad_audio"),
    (_BRIDGE + "linear.", "inputs.fusion.audio_proj."),
    (_BRIDGE, "inputs.fusion."),
    (_HEAD + "b_logvar", "speech_head.logvar"),
    (_HEAD, "speech_head."),
)
#: created by the reference and never used
DEAD = (_RVQ + "mlps.",)


def to_ours(table: Table, name: str) -> str | None:
    """Our name of a published tensor; None: not of this part."""
    return _rename(name, table)


def to_published(table: Table, name: str) -> str | None:
    """Published name of one of our tensors; None: not in the table."""
    return _rename(name, tuple((ours, theirs) for theirs, ours in table))


def _rename(name: str, table: Table) -> str | None:
    for old, new in table:
        if name.startswith(old):
            return new + name[len(old) :]
    return None


def taste_state(published: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The TASTE model's part of a published state dict, under our names."""
    return _state(TASTE, published)


def taslm_state(published: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The TASLM's part of a published state dict (quantizer included).

    A missing output layer is the text embedding, to which it is tied.
    """
    if EMBED_TOKENS in published and LM_HEAD not in published:
        published = published | {LM_HEAD: published[EMBED_TOKENS]}
    return _state(TASLM, published)


def _state(table: Table, published: dict) -> dict[str, torch.Tensor]:
    named = ((to_ours(table, name), tensor) for name, tensor in published.items())
    return {name: tensor for name, tensor in named if name is not None}
