"""The TASLM's ClassChoices and how a model is put together from them."""

import argparse
import logging

import torch

from espnet2_taste.io.checkpoint import (
    build_model_from_file,
    load_state,
    load_strictly,
)
from espnet2_taste.io.class_choices import ClassChoices
from espnet2_taste.io.class_conf import check_conf
from espnet2_taste.io.config import read_arguments
from espnet2_taste.io.models import find_checkpoint, locate
from espnet2_taste.nn.abs_backbone import AbsBackbone
from espnet2_taste.nn.backbone import HFCausalBackbone
from espnet2_taste.taslm.espnet_model import TaslmModel
from espnet2_taste.taslm.gaussian_heads import GaussianHead, LatentHead
from espnet2_taste.taslm.heads import AbsSpeechHead, TokenHead
from espnet2_taste.taste.build import build_quantizer, fusion_choices, text_views
from espnet2_taste.taste.taste_spec import TasteSpec
from espnet2_taste.text.tokenizers import (
    build_text_tokenizer,
    same_vocabulary,
    text_vocab_size,
)
from espnet2_taste.text.view import MAIN

lm_choices = ClassChoices(
    "lm",
    {"hf_causal": HFCausalBackbone},
    type_check=AbsBackbone,
    default="hf_causal",
)
speech_head_choices = ClassChoices(
    "speech_head",
    {"latent": LatentHead, "gaussian": GaussianHead, "token": TokenHead},
    type_check=AbsSpeechHead,
    default="latent",
)
#: The audio starts near zero, and always passes through a linear map (paper sec. 2.2).
FUSION_DEFAULTS = {"weighted_sum": {"weights": [-2.0, 2.0], "project": True}}


#: Arguments of the model that are built here.
_BUILT = ("lm", "fusion", "speech_head", "quantizer", "granularity")


def build_taslm_model(
    args: argparse.Namespace, base: torch.nn.Module | None = None
) -> TaslmModel:
    """A model by the options in a config.yaml; random weights, codebooks included.

    ``base``: the LM to begin from, see
    :class:`~espnet2_taste.nn.backbone.HFCausalBackbone`.
    """
    vocab_size = text_vocab_size(args)
    quantizer = build_quantizer(args.quantizer, args.quantizer_dim, args.quantizer_conf)
    granularity = getattr(args, "granularity", None) or "word"
    given = {} if base is None else {"base": base}
    lm = lm_choices.build(args, vocab_size=vocab_size, **given)
    args.fusion_conf = FUSION_DEFAULTS.get(args.fusion, {}) | args.fusion_conf
    fusion = fusion_choices.build(args, size=lm.size, audio_size=quantizer.dim)
    speech_head = speech_head_choices.build(args, lm.size, quantizer)
    check_conf("--model_conf", TaslmModel, args.model_conf, _BUILT)
    model = TaslmModel(
        lm, fusion, speech_head, quantizer, granularity, **args.model_conf
    )
    parts = {"LM": lm, "fusion and pads": model.inputs, "head": speech_head}
    for part, module in parts.items():
        count = sum(p.numel() for p in module.parameters() if p.requires_grad)
        logging.info("TASLM: %12s trainable parameters of the %s", f"{count:,}", part)
    return model


def build_new_taslm(args: argparse.Namespace) -> TaslmModel:
    """A model to be trained: form and weights of the codebooks are the TASTE model's.

    What :func:`taste_options` finds is written into ``args``, and so into config.yaml,
    the weights into the TASLM's checkpoint: the TASTE folder is not needed again.

    With ``merge_lora`` it begins from another TASLM, whose LoRA becomes part of its LM.

    Raises:
        ValueError, FileNotFoundError: see :func:`taste_options`; also a TASLM that
            cannot be begun from.
        RuntimeError: a checkpoint does not fit.
    """
    vars(args).update(taste_options(args))
    state = {
        k.removeprefix("quantizer."): v
        for k, v in load_state(args.taste_model).items()
        if k.startswith("quantizer.")
    }
    args.quantizer_dim = _quantizer_dim(state, args.quantizer_conf)
    before = _begin_from(args) if getattr(args, "merge_lora", None) else None
    model = build_taslm_model(args, before and before.pop("lm"))
    problem = f"{args.taste_model} does not fit {args.taste_config}"
    load_strictly(model.quantizer, state, problem)
    for name, weights in (before or {}).items():
        problem = f"--merge_lora {args.merge_lora}: another {name} than this model's"
        load_strictly(model.get_submodule(name), weights, problem)
    return model


def _begin_from(args: argparse.Namespace) -> dict:
    """``lm``, with its LoRA merged, and the weights of the other parts by name; says in
    ``args`` that the LM's are to be saved."""
    problem = f"--merge_lora {args.merge_lora}"
    if getattr(args, "init_param", None):
        raise ValueError(f"{problem} sets all weights: leave out --init_param")
    checkpoint = find_checkpoint(locate(args.merge_lora), "taslm")
    before, options = build_model_from_file(build_taslm_model, None, checkpoint)
    for name in ("model", "config"):
        theirs, ours = options.lm_conf.get(name), args.lm_conf.get(name)
        if theirs != ours:
            raise ValueError(
                f"{problem}: its LM is of lm_conf {name}: {theirs}, this one's {ours}"
            )
    try:
        lm = before.lm.merged()
    except ValueError as error:
        raise ValueError(f"{problem}: {error}; use --init_param") from None
    args.lm_conf = args.lm_conf | {"save_base": True}
    parts = {name: getattr(before, name) for name in ("inputs", "speech_head")}
    return {"lm": lm} | {name: part.state_dict() for name, part in parts.items()}


def taste_options(args: argparse.Namespace) -> dict:
    """What a TASLM takes over from the TASTE model whose codes it models.

    Returns:
        quantizer and quantizer_conf, granularity of the codes, segmenter of the words.

    Raises:
        ValueError: the TASTE model is not given, has no quantizer, or (granularity
            token) has other tokens than the TASLM.
        FileNotFoundError: its configuration does not exist.
    """
    if args.taste_config is None or args.taste_model is None:
        raise ValueError("give --taste_config and --taste_model")
    taste = read_arguments(args.taste_config)
    if taste.quantizer in (None, "none"):
        raise ValueError(
            f"{args.taste_config} has no quantizer, so no codes to model: use the "
            "model of the last sub-stage"
        )
    model_conf = getattr(taste, "model_conf", {})
    granularity = model_conf.get("granularity", "word")
    if granularity == "token":
        vocabulary = text_views(taste)["aggregator"]
        own = vars(taste) if vocabulary == MAIN else taste.vocabularies[vocabulary]
        wanted, given = own["token_type"], own.get("token_model")
        if not same_vocabulary(
            build_text_tokenizer(wanted, given),
            build_text_tokenizer(args.token_type, args.token_model),
        ):
            raise ValueError(
                f"granularity token: codes belong to the tokens of {wanted} {given}, "
                f"the TASLM has {args.token_type} {args.token_model}: give it the same"
            )
    return {
        "quantizer": taste.quantizer,
        "quantizer_conf": dict(taste.quantizer_conf),
        "granularity": granularity,
        "segmenter": getattr(taste, "segmenter", "whitespace"),
    }


def taste_spec(args: argparse.Namespace) -> TasteSpec:
    """Form of the codes that are to be modelled; builds and loads no model.

    Raises:
        ValueError, FileNotFoundError: see :func:`taste_options`.
    """
    found = taste_options(args)
    with torch.random.fork_rng(devices=[]):
        quantizer = build_quantizer(found["quantizer"], 1, found["quantizer_conf"])
    return TasteSpec(
        quantizer.num_codebooks, quantizer.codebook_size, found["granularity"]
    )


def _quantizer_dim(state: dict, conf: dict) -> int:
    """Width outside the projections, from their weights (without any: inside)."""
    if "project_out.weight" in state:
        return state["project_out.weight"].size(0)
    if not conf.get("codebook_dim"):
        raise RuntimeError("the TASTE checkpoint has no quantizer with a known width")
    return conf["codebook_dim"]
