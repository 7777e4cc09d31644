"""The TASLM's ClassChoices and how a model is put together from them."""

import argparse
import logging
from pathlib import Path

import yaml

from espnet2_taste.io.checkpoint import load_state
from espnet2_taste.io.class_choices import ClassChoices
from espnet2_taste.taslm.backbone import AbsBackbone, HFCausalBackbone
from espnet2_taste.taslm.espnet_model import TaslmModel
from espnet2_taste.taslm.heads import AbsSpeechHead, LatentHead, TokenHead
from espnet2_taste.taste.build import build_quantizer, fusion_choices
from espnet2_taste.taste.tokenizer.abs_quantizer import AbsQuantizer
from espnet2_taste.text.tokenizers import text_vocab_size

lm_choices = ClassChoices(
    "lm",
    {"hf_causal": HFCausalBackbone},
    type_check=AbsBackbone,
    default="hf_causal",
)
speech_head_choices = ClassChoices(
    "speech_head",
    {"latent": LatentHead, "token": TokenHead},
    type_check=AbsSpeechHead,
    default="latent",
)
#: The audio starts near zero, and always passes through a linear map (paper sec. 2.2).
FUSION_DEFAULTS = {"weighted_sum": {"weights": [-2.0, 2.0], "project": True}}


def build_taslm_model(args: argparse.Namespace) -> TaslmModel:
    """Build a model from training options (the command line's or config.yaml's)."""
    vocab_size = text_vocab_size(args)
    quantizer = build_taste_quantizer(args)
    lm = lm_choices.get_class(args.lm)(vocab_size=vocab_size, **args.lm_conf)
    args.fusion_conf = FUSION_DEFAULTS.get(args.fusion, {}) | args.fusion_conf
    fusion = fusion_choices.get_class(args.fusion)(
        lm.size, quantizer.dim, **args.fusion_conf
    )
    speech_head = speech_head_choices.get_class(args.speech_head)(
        lm.size, quantizer, **args.speech_head_conf
    )
    model = TaslmModel(lm, fusion, speech_head, quantizer, **args.model_conf)
    parts = {"LM": lm, "fusion and pads": model.inputs, "head": speech_head}
    for part, module in parts.items():
        count = sum(p.numel() for p in module.parameters() if p.requires_grad)
        logging.info("TASLM: %12s trainable parameters of the %s", f"{count:,}", part)
    return model


def build_taste_quantizer(args: argparse.Namespace) -> AbsQuantizer:
    """The TASTE model's quantizer.

    When training, its class, arguments, width and weights come from ``taste_config``
    and ``taste_model``; the first three are written into ``args`` and so to
    config.yaml, the weights into the TASLM's checkpoint. From then on (and at
    inference) the TASTE folder is not needed.

    Raises:
        ValueError: neither given nor known, or a TASTE model without quantizer.
        FileNotFoundError: the TASTE files do not exist.
        RuntimeError: the checkpoint has no fitting quantizer.
    """
    if args.quantizer_dim is not None:
        return build_quantizer(args.quantizer, args.quantizer_dim, args.quantizer_conf)
    if args.taste_config is None or args.taste_model is None:
        raise ValueError("give --taste_config and --taste_model")
    if not Path(args.taste_config).is_file():
        raise FileNotFoundError(f"no TASTE configuration at {args.taste_config}")
    taste = yaml.safe_load(Path(args.taste_config).read_text(encoding="utf-8"))
    name, conf = taste["quantizer"], dict(taste["quantizer_conf"])
    if name in (None, "none"):
        raise ValueError(
            f"{args.taste_config} has no quantizer, so no codes to model: use the "
            "model of the last sub-stage"
        )
    state = {
        k.removeprefix("quantizer."): v
        for k, v in load_state(args.taste_model).items()
        if k.startswith("quantizer.")
    }
    dim = _quantizer_dim(state, conf)
    quantizer = build_quantizer(name, dim, conf)
    try:
        quantizer.load_state_dict(state)
    except RuntimeError as error:
        raise RuntimeError(
            f"{args.taste_model} does not fit {args.taste_config}: {error}"
        ) from None
    args.quantizer, args.quantizer_conf, args.quantizer_dim = name, conf, dim
    return quantizer


def _quantizer_dim(state: dict, conf: dict) -> int:
    """Width outside the projections, from their weights (without any: inside)."""
    if "project_out.weight" in state:
        return state["project_out.weight"].size(0)
    if not conf.get("codebook_dim"):
        raise RuntimeError("the TASTE checkpoint has no quantizer with a known width")
    return conf["codebook_dim"]
