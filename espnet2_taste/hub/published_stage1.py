"""Checkpoints of the reference's STAGE1_TRAIN and of CosyVoice, which have no config.

Their tensors tell all sizes but the attention heads of Whisper, which are 64 wide in
every published Whisper model.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path

import torch

from espnet2_taste.hub.conversion_plan import Part, Plan
from espnet2_taste.hub.conversion_source import Checkpoint
from espnet2_taste.hub.published_arguments import speech_decoder_conf
from espnet2_taste.hub.published_llm import is_llm, plan_llm
from espnet2_taste.hub.published_names import (
    AGGREGATOR,
    ENCODER,
    RVQ,
    SPEECH_DECODER,
    TASTE,
    count_layers,
    to_ours,
    to_published,
)
from espnet2_taste.io.checkpoint import describe_mismatch
from espnet2_taste.nn.fusion import WeightedSumFusion
from espnet2_taste.taste.speech_decoder.unit_transformer import UnitTransformerDecoder

TOKENIZER, QUANTIZER = "audio_tokenizer.", "audio_quantizer."
WHISPER_HEAD_SIZE = 64
#: what TASTE adds to CosyVoice's decoder
ADDED = ("audio_", "fuse_encoded_audio_text_module.")


def published_name(name: str) -> str:
    """Published name of a STAGE1_TRAIN tensor."""
    if not name.startswith(TOKENIZER):
        return SPEECH_DECODER + name
    rest = name[len(TOKENIZER) :]
    if rest.startswith(QUANTIZER):
        rest = "vq." + rest[len(QUANTIZER) :]
    return "audio_tower." + rest


class Stage1Checkpoint(Checkpoint):
    """A STAGE1_TRAIN file under published names."""

    def __init__(self, path: str | Path):
        super().__init__(path)
        self.tensors = {published_name(k): v for k, v in self.tensors.items()}

    @property
    def has_tower(self) -> bool:
        """Whether the tokenizer half is there: not in text-only and CosyVoice files."""
        return any(name.startswith(ENCODER) for name in self.tensors)


def stage1_config(info: Mapping[str, torch.Tensor], where: str) -> dict:
    """What ``config.json`` would say of these tensors (published names).

    Raises:
        ValueError: not such a checkpoint: a tensor that tells a size is missing.
    """
    try:
        config = {"speech_decoder_config": _speech_decoder(info)}
        if any(name.startswith(ENCODER) for name in info):
            config["asr_config"] = _whisper(info)
            config["audio_tower_config"] = {
                "kwargs_for_joint_encoder_segmenter": {"is_word_level": True},
                "kwargs_for_quantizer": _rvq(info),
            }
    except KeyError as error:
        raise ValueError(
            f"{where} is no STAGE1_TRAIN or CosyVoice LM checkpoint: it has no {error}"
        ) from None
    return config


def plan_decoder(checkpoint: Stage1Checkpoint) -> Plan:
    """A decoder without audio branch, to start training from (``--init_param``).

    Raises:
        ValueError: unknown or missing tensors.
    """
    if is_llm(checkpoint.tensors):
        return plan_llm(checkpoint.tensors, str(checkpoint.path))
    config = stage1_config(checkpoint.tensors, str(checkpoint.path))
    sizes = config["speech_decoder_config"]
    conf = speech_decoder_conf(config)
    vocab_size, audio_size = sizes["text_token_size"], 1
    with torch.device("meta"):
        decoder = UnitTransformerDecoder(
            vocab_size,
            audio_size,
            sizes["speech_token_size"],
            sizes["spk_embed_dim"],
            WeightedSumFusion,
            **conf,
        )
    wanted = {
        to_published(TASTE, SPEECH_DECODER + name): value.shape
        for name, value in decoder.state_dict().items()
    }
    added = tuple(SPEECH_DECODER + prefix for prefix in ADDED)
    wanted = {k: v for k, v in wanted.items() if not k.startswith(added)}
    problems = describe_mismatch(
        wanted, {k: t.shape for k, t in checkpoint.tensors.items()}
    )
    if problems:
        raise ValueError(f"{checkpoint.path} is no CosyVoice LM: {problems}")
    options = argparse.Namespace(
        vocab_size=vocab_size,
        num_units=sizes["speech_token_size"],
        spk_embed_dim=sizes["spk_embed_dim"],
        speech_decoder="unit_transformer",
        speech_decoder_conf=conf,
    )
    tensors = {to_ours(TASTE, name): name for name in checkpoint.tensors}
    shapes = {ours: checkpoint.tensors[name].shape for ours, name in tensors.items()}
    return Plan([Part("speech_decoder", options, tensors, shapes)], [], {})


def _speech_decoder(info: Mapping[str, torch.Tensor]) -> dict:
    def shape(name: str) -> tuple[int, ...]:
        return info[f"{SPEECH_DECODER}{name}"].shape

    config = {
        "text_token_size": shape("text_embedding.weight")[0],
        "encoder_input_size": shape("text_embedding.weight")[1],
        "encoder__output_size": shape("text_encoder.after_norm.weight")[0],
        "llm_input_size": shape("llm_embedding.weight")[1],
        "speech_token_size": shape("speech_embedding.weight")[0],
        "spk_embed_dim": shape("spk_embed_affine_layer.weight")[1],
        "fuse_encoded_audio_text_type": "weighted_sum",
    }
    for ours, theirs in (("encoder", "text_encoder"), ("llm", "llm")):
        block = f"{theirs}.encoders.0."
        config |= {
            f"{ours}__num_blocks": count_layers(
                info, f"{SPEECH_DECODER}{theirs}.encoders."
            ),
            f"{ours}__attention_heads": shape(block + "self_attn.pos_bias_u")[0],
            f"{ours}__linear_units": shape(block + "feed_forward.w_1.weight")[0],
        }
    return config


def _whisper(info: Mapping[str, torch.Tensor]) -> dict:
    width, bins, _ = info[ENCODER + "conv1.weight"].shape
    heads = max(1, width // WHISPER_HEAD_SIZE)
    return {
        "d_model": width,
        "num_mel_bins": bins,
        "vocab_size": info[AGGREGATOR + "embed_tokens.weight"].shape[0],
        "max_source_positions": info[ENCODER + "embed_positions.weight"].shape[0],
        "max_target_positions": info[AGGREGATOR + "embed_positions.weight"].shape[0],
        "encoder_attention_heads": heads,
        "decoder_attention_heads": heads,
        "encoder_ffn_dim": info[ENCODER + "layers.0.fc1.weight"].shape[0],
        "decoder_ffn_dim": info[AGGREGATOR + "layers.0.fc1.weight"].shape[0],
    }


def _rvq(info: Mapping[str, torch.Tensor]) -> dict | None:
    layers = count_layers(info, RVQ + "layers.")
    if not layers:
        return None
    _, size, codebook_dim = info[RVQ + "layers.0._codebook.embed"].shape
    width = info[ENCODER + "conv1.weight"].shape[0]
    return {
        "dim": width,
        "codebook_dim": codebook_dim,
        "codebook_size": size,
        "num_quantizers": layers,
    }
