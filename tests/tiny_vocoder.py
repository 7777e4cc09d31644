"""Sizes of a tiny CosyVoice vocoder, and one with random weights."""

import re

import torch

from espnet2_taste.vocoder.cosyvoice.checkpoint import State, older_name
from espnet2_taste.vocoder.cosyvoice.generator import VoiceGenerator
from espnet2_taste.vocoder.cosyvoice2.generator import VoiceGenerator2

UNITS, SPEAKER = 24, 6
TINY = {
    "flow_conf": {
        "num_units": UNITS,
        "spk_embed_dim": SPEAKER,
        "mel_size": 80,
        "embed_size": 12,
        "encoder_size": 16,
        "encoder_heads": 2,
        "encoder_ffn_size": 20,
        "encoder_blocks": 2,
        "unet_size": 16,
        "unet_heads": 2,
        "unet_head_size": 4,
        "unet_blocks": 1,
        "unet_mid_stages": 1,
    },
    "hift_conf": {"mel_size": 80, "base_size": 16, "f0_size": 8},
}


def tiny_voice_generator() -> VoiceGenerator:
    """Voiced and unvoiced, with every norm, Snake and bias off its initial value."""
    torch.manual_seed(0)
    model = VoiceGenerator(**TINY)
    for parameter in model.parameters():
        if parameter.ndim == 1:
            parameter.data += 0.2 * torch.randn_like(parameter)
    model.hift.f0_predictor.classifier.weight.data *= 200
    return model.eval()


_WEIGHT_NORMED = re.compile(
    r"hift\.(f0_predictor\.condnet\.\d+|conv_pre|conv_post|ups\.\d+|"
    r"(source_)?resblocks\.\d+\.convs[12]\.\d+)\.weight"
)


def published_state(state: State) -> State:
    """Our names -> those of the published ``voice_generator.pth``.

    Norms stored apart are renamed only; a folded weight (of a model's
    ``state_dict()``) is split into its norms g and itself as v.
    """
    out: State = {}
    for key, value in state.items():
        if _WEIGHT_NORMED.fullmatch(key):
            out[key + "_g"] = value.flatten(1).norm(dim=1).view(-1, 1, 1)
            out[key + "_v"] = value
        else:
            out[older_name(key)] = value
    return out


TINY2 = {
    "flow_conf": {
        "num_units": UNITS,
        "spk_embed_dim": SPEAKER,
        "embed_size": 12,
        "encoder_size": 16,
        "encoder_heads": 2,
        "encoder_ffn_size": 20,
        "encoder_blocks": 1,
        "up_blocks": 1,
        "chunk": 5,
        "unet_size": 16,
        "unet_heads": 2,
        "unet_head_size": 4,
        "unet_blocks": 1,
        "unet_mid_stages": 1,
        "num_steps": 3,
    },
    "hift_conf": {"base_size": 16, "f0_size": 8},
}


def tiny_voice_generator2(**flow_conf) -> VoiceGenerator2:
    """CosyVoice 2's, as :func:`tiny_voice_generator`."""
    torch.manual_seed(0)
    model = VoiceGenerator2(TINY2["flow_conf"] | flow_conf, TINY2["hift_conf"])
    for parameter in model.parameters():
        if parameter.ndim == 1:
            parameter.data += 0.2 * torch.randn_like(parameter)
    model.hift.f0_predictor.classifier.weight.data *= 200
    return model.eval()
