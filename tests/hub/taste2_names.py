"""Names, shapes and dtypes of TASTE2's ``llm.pt`` and ``slm.pt``, of any size.

Written down as :mod:`published_names` is, in the same notation.
"""

import torch
from published_names import (
    CROSS_ATTENTION,
    PROJECTIONS,
    RVQ,
    WHISPER,
    WHISPER_LAYER,
    prefixed,
    shapes_of,
)

TOWER, TOKENIZER = "audio_tower.", "taste_tokenizer."
#: Whisper large-v3, distil's two decoder layers, Qwen2-0.5B twice (LoRA of rank 64)
FULL = {
    **{"d": 1280, "mel": 128, "frames": 1500, "positions": 448, "text": 151936},
    **{"ffn": 5120, "E": 32, "A": 2, "c": 256, "K": 512, "R": 4, "M": 3},
    **{"V": 151936, "H": 896, "I": 4864, "kv": 128, "N": 24, "units": 6561},
    **{"lmV": 151936, "lmH": 896, "lmI": 4864, "lmkv": 128, "lmN": 24, "r": 64},
}
TINY = FULL | {
    **{"d": 32, "ffn": 16, "E": 7, "A": 1, "c": 6, "K": 8, "text": 300},
    **{"V": 300, "H": 64, "I": 24, "kv": 64, "N": 1, "units": 20},
    **{"lmV": 300, "lmH": 128, "lmI": 24, "lmkv": 64, "lmN": 2, "r": 2},
}
DECODER = """
llm_embedding.weight [2, H]
speech_embedding.weight [units+3, H]
llm_decoder.weight [units+3, H]
llm_decoder.bias [units+3]
taste_decoder_mixer.mixer.weights [2]
taste_tokenizer.audio_affine_layer.weight [H, d]
taste_tokenizer.audio_affine_layer.bias [H]
"""
BRIDGE = """
fusing_module.pad_{taste,text}_embed [lmH]
fusing_module.mixer.weights [2]
fusing_module.taste_embed_in.weight [lmH, H]
fusing_module.taste_embed_in.bias [lmH]
out_module.fc_mu.weight [c, lmH]
out_module.fc_mu.bias [c]
"""


def stage1(sizes: dict[str, int], prefix: str = "") -> dict:
    """``llm.pt``: name -> shape and dtype."""
    bf16, layers = torch.bfloat16, []
    for part, count, rows in (
        ("audio_encoder.encoder", "E", WHISPER_LAYER),
        ("audio_segmenter.decoder", "A", WHISPER_LAYER + CROSS_ATTENTION),
    ):
        layer = f"audio_joint_encoder_segmenter.{part}.layers.{{0-{count}}}."
        layers.append((prefixed(rows, TOKENIZER + layer), sizes, bf16))
    inside = sizes | {"d": sizes["H"]}  # the quantiser's width is the decoder's
    found = shapes_of(
        [
            (WHISPER.replace(TOWER, TOKENIZER), sizes, bf16),
            *layers,
            (RVQ.replace(TOWER, TOKENIZER), inside, torch.float32),
            (DECODER, sizes, torch.float32),
            *qwen2("llm.model.", sizes, lora=False),
        ]
    )
    return {prefix + name: row for name, row in found.items()}


def stage2(sizes: dict[str, int], lora: bool, linear: bool = False) -> dict:
    """``slm.pt``, its LM trained through LoRA or whole."""
    own = {name.removeprefix("lm"): sizes[name] for name in sizes if name[:2] == "lm"}
    variance = "out_module.b_logvar.weight [c, lmH]" if linear else ""
    variance = variance or "out_module.b_logvar [c]"
    prefix = "slm.model.base_model.model." if lora else "slm.model."
    return stage1(sizes, "taste_stage1.") | shapes_of(
        [
            (BRIDGE + variance, sizes, torch.float32),
            *qwen2(prefix, sizes | own, lora),
        ]
    )


def qwen2(prefix: str, sizes: dict[str, int], lora: bool) -> list[tuple]:
    """Tables of a Qwen2, its output layer tied."""
    layer, base = prefix + "model.layers.{0-N}.", ".base_layer" if lora else ""
    rows = f"{prefix}{{model.embed_tokens,lm_head}}.weight [V, H]\n"
    rows += f"{prefix}model.norm.weight [H]\n"
    rows += f"{layer}{{input,post_attention}}_layernorm.weight [H]\n"
    rows += f"{layer}self_attn.q_proj{base}.bias [H]\n"
    rows += f"{layer}self_attn.{{k,v}}_proj{base}.bias [kv]\n"
    for name, (out, into) in PROJECTIONS.items():
        rows += f"{layer}{name}{base}.weight [{out}, {into}]\n"
        if lora:
            rows += f"{layer}{name}.lora_A.default.weight [r, {into}]\n"
            rows += f"{layer}{name}.lora_B.default.weight [{out}, r]\n"
    return [(rows, sizes, torch.float32)]
