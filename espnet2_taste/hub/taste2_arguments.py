"""Tensors of a TASTE2 checkpoint -> our training arguments, and their names.

TASTE2 publishes no configuration: ``llm.pt`` holds its tokenizer and speech decoder,
``slm.pt`` those and the spoken language model. The tensors tell all sizes but the
attention heads, which are 64 wide in Whisper and in Qwen2-0.5B, 128 in larger Qwen2.
"""

import argparse
import re
from collections.abc import Mapping
from dataclasses import asdict

import torch

from espnet2_taste.hub.published_names import Table, count_layers
from espnet2_taste.units.unit_spec import UnitSpec

#: before the names of stage 1 in a checkpoint of stage 2
STAGE1 = "taste_stage1."
_TOKENIZER = "taste_tokenizer."
_WHISPER = _TOKENIZER + "audio_joint_encoder_segmenter."
ENCODER = _WHISPER + "audio_encoder.encoder."
AGGREGATOR = _WHISPER + "audio_segmenter.decoder."
PROJECTION = _TOKENIZER + "audio_affine_layer."
RVQ = _TOKENIZER + "vq.rvq."
SPOKEN_LM = "slm.model."
LM_HEAD = SPOKEN_LM + "lm_head.weight"
LOGVAR = "out_module.b_logvar"
#: created by TASTE2 and never used
DEAD = (RVQ + "mlps.", STAGE1 + RVQ + "mlps.")

QUANTIZER: Table = (
    (RVQ + "project_", "quantizer.project_"),
    (RVQ + "layers.", "quantizer.rvq.layers."),
)
TOKENIZER: Table = (
    (ENCODER, "encoder.encoder."),
    (PROJECTION, "aggregator.projection."),
    (AGGREGATOR, "aggregator."),
    *QUANTIZER,
)
MIXER: Table = (("taste_decoder_mixer.mixer.", "speech_decoder.fusion."),)
TASLM: Table = (
    *((STAGE1 + theirs, ours) for theirs, ours in QUANTIZER),
    (SPOKEN_LM, "lm.lm."),
    ("fusing_module.pad_text_embed", "inputs.pad_text"),
    ("fusing_module.pad_taste_embed", "inputs.pad_audio"),
    ("fusing_module.taste_embed_in.", "inputs.fusion.audio_proj."),
    ("fusing_module.mixer.", "inputs.fusion."),
    (LOGVAR, "speech_head.logvar"),
    ("out_module.", "speech_head."),
)
#: 25 Hz, S3 of CosyVoice 2
UNIT_RATE, SAMPLE_RATE = 25.0, 16000
WHISPER_HEAD_SIZE = 64
#: what ends a Qwen2 text; its position in the vocabulary
END_OF_TEXT = 151643

Shapes = Mapping[str, torch.Tensor]


def tokenizer_arguments(info: Shapes) -> dict:
    """Arguments of everything before the speech decoder.

    Args:
        info: tensors of stage 1 by published name.

    Raises:
        KeyError: a tensor that tells a size is missing.
    """
    width, bins, _ = info[ENCODER + "conv1.weight"].shape
    heads = max(1, width // WHISPER_HEAD_SIZE)
    vocab_size = info[AGGREGATOR + "embed_tokens.weight"].shape[0]
    projected = info[PROJECTION + "weight"].shape[0]
    whisper = {
        "d_model": width,
        "num_mel_bins": bins,
        "max_source_positions": info[ENCODER + "embed_positions.weight"].shape[0],
        "encoder_layers": count_layers(info, ENCODER + "layers."),
        "encoder_attention_heads": heads,
        "encoder_ffn_dim": info[ENCODER + "layers.0.fc1.weight"].shape[0],
    }
    return {
        "token_type": "hf",
        "token_model": None,
        "segmenter": "plain",
        "vocab_size": vocab_size,
        "frontend": "whisper_mel",
        "frontend_conf": {"n_mels": bins, "pad_to_30s": True},
        "encoder": "whisper",
        "encoder_conf": {
            "config": whisper,
            "value_layer": min(6, whisper["encoder_layers"]),
            "frozen": True,
        },
        "aggregator": "cross_attention",
        "aggregator_conf": {
            "d_model": width,
            "num_layers": count_layers(info, AGGREGATOR + "layers."),
            "num_heads": heads,
            "ffn_dim": info[AGGREGATOR + "layers.0.fc1.weight"].shape[0],
            "max_positions": info[AGGREGATOR + "embed_positions.weight"].shape[0],
            "prefix_ids": [],
            "suffix_ids": [],
            "mask_padding": False,
            "projected_size": projected,
        },
        "model_conf": {"granularity": "token", "commit_weight": 1.0},
        **quantizer_arguments(info),
    }


def quantizer_arguments(info: Shapes, prefix: str = "") -> dict:
    """``quantizer`` and ``quantizer_conf``; without codebooks there is no quantizer."""
    layers = count_layers(info, prefix + RVQ + "layers.")
    if not layers:
        return {"quantizer": "none", "quantizer_conf": {}}
    _, size, dim = info[prefix + RVQ + "layers.0._codebook.embed"].shape
    conf = {"codebook_dim": dim, "num_codebooks": layers, "codebook_size": size}
    conf |= {"kmeans_iters": 100, "quantize_dropout": True}
    return {"quantizer": "rvq", "quantizer_conf": conf}


def unit_spec(num_units: int) -> dict:
    """What TASTE2's units are."""
    return asdict(UnitSpec(num_units, UNIT_RATE, SAMPLE_RATE))


def lm_arguments(
    info: Shapes, lm_config: dict | None = None, dtype: str = "float32"
) -> argparse.Namespace:
    """Arguments of the spoken language model of stage 2.

    Args:
        info: tensors of stage 2 by published name.
        lm_config: content of the base LM's ``config.json``; None: a Qwen2 of these
            sizes.
        dtype: of the base LM.

    Raises:
        KeyError: a tensor that tells a size is missing.
    """
    adapted = [name for name in info if name.endswith(".lora_A.default.weight")]
    lm_conf = {"config": lm_config or qwen2_config(info, SPOKEN_LM), "dtype": dtype}
    if adapted:
        rank = info[adapted[0]].shape[0]
        lora = {"r": rank, "lora_alpha": 2 * rank, "lora_dropout": 0.05, "bias": "none"}
        lm_conf["lora"] = lora
    ends = lm_conf["config"].get("eos_token_id", END_OF_TEXT)
    symbols = dict.fromkeys(("sos_id", "eos_id"), ends)
    projected = info["fusing_module.taste_embed_in.weight"].shape[1]
    vector = LOGVAR in info
    return argparse.Namespace(
        token_type="hf",
        token_model=None,
        segmenter="plain",
        granularity="token",
        vocab_size=lm_conf["config"]["vocab_size"],
        **quantizer_arguments(info, STAGE1),
        quantizer_dim=projected,
        taste_config=None,
        taste_model=None,
        lm="hf_causal",
        lm_conf=lm_conf | symbols,
        fusion="weighted_sum",
        fusion_conf={"weights": [-3.0, 3.0], "project": True},
        speech_head="gaussian",
        speech_head_conf={"linear_variance": not vector},
        model_conf={
            "delay": 1,
            "loss_weights": [0.5, 0.5],
            "start_symbol": False,
            "pad_projected": True,
        },
    )


def qwen2_config(info: Shapes, prefix: str) -> dict:
    """A Qwen2 of the sizes of tensors ``<prefix>...model.layers.N``.

    Raises:
        KeyError: it is none.
    """
    sizes = {}
    for name, tensor in info.items():
        if name.startswith(prefix) and ".lora_" not in name:
            short = name.replace(".base_layer.", ".").rpartition("model.")[2]
            sizes[short] = tensor.shape
    vocab_size, hidden = sizes["embed_tokens.weight"]
    head = 64 if hidden < 1024 else 128
    layers = count_layers(sizes, "layers.")
    return {
        "model_type": "qwen2",
        "vocab_size": vocab_size,
        "hidden_size": hidden,
        "intermediate_size": sizes["layers.0.mlp.gate_proj.weight"][0],
        "num_hidden_layers": layers,
        "num_attention_heads": max(1, hidden // head),
        "num_key_value_heads": max(
            1, sizes["layers.0.self_attn.k_proj.weight"][0] // head
        ),
        "max_position_embeddings": 32768,
        "rope_theta": 1e6,
        "rms_norm_eps": 1e-6,
        "tie_word_embeddings": not any(
            re.match(re.escape(prefix) + r"(.+\.)?lm_head\.", name) for name in info
        ),
        "bos_token_id": min(END_OF_TEXT, vocab_size - 1),
        "eos_token_id": min(END_OF_TEXT, vocab_size - 1),
    }
