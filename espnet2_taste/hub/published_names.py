"""Published tensor names <-> ours, one table per part.

A table is a list of (published prefix, our prefix); the first that fits counts. Both
columns are free of ambiguity, so the same table is read in both directions.
"""

import re
from collections.abc import Iterable

import torch

Table = tuple[tuple[str, str], ...]

_TOWER = "audio_tower.audio_joint_encoder_segmenter."
ENCODER = _TOWER + "audio_encoder.encoder."
AGGREGATOR = _TOWER + "audio_segmenter.decoder."
RVQ = "audio_tower.vq.rvq."
_LM = "spoken_lm.language_model."
_BRIDGE = "spoken_lm.fuse_for_bridge_in_llm."
_HEAD = "spoken_lm.extract_for_bridge_out_llm."
EMBED_TOKENS = _LM + "base_model.model.model.embed_tokens.weight"
LM_HEAD = _LM + "base_model.model.lm_head.weight"

LOGVAR = _HEAD + "b_logvar"
SPOKEN_LM = "spoken_lm."
SPEECH_DECODER = "speech_decoder."
FLAG = "_codebook.initted"

QUANTIZER: Table = (
    (RVQ + "project_", "quantizer.project_"),
    (RVQ + "layers.", "quantizer.rvq.layers."),
)
TASTE: Table = (
    (ENCODER, "encoder.encoder."),
    (AGGREGATOR, "aggregator."),
    *QUANTIZER,
    (SPEECH_DECODER + "fuse_encoded_audio_text_module.", "speech_decoder.fusion."),
    (SPEECH_DECODER, "speech_decoder."),
)
TASLM: Table = (
    *QUANTIZER,
    (_LM, "lm.lm."),
    (SPOKEN_LM + "pad_text_unit_embed", "inputs.pad_text"),
    (SPOKEN_LM + "pad_audio_unit_embed", "inputs.pad_audio"),
    (_BRIDGE + "linear.", "inputs.fusion.audio_proj."),
    (_BRIDGE, "inputs.fusion."),
    (LOGVAR, "speech_head.logvar"),
    (_HEAD, "speech_head."),
)
#: created by the reference and never used
DEAD = (RVQ + "mlps.",)


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


def count_layers(names: Iterable[str], prefix: str) -> int:
    """1 + the largest N of names ``<prefix>N.``; 0 without any."""
    pattern = re.compile(re.escape(prefix) + r"(\d+)\.")
    return max((int(m[1]) + 1 for m in map(pattern.match, names) if m), default=0)


def published_shape(name: str, shape: torch.Size) -> torch.Size:
    """Published shape of one of our tensors: flags are vectors there, scalars here."""
    return torch.Size([1]) if name.endswith(FLAG) else shape
