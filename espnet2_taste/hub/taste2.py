"""TASTE2's checkpoints, ``llm.pt`` (stage 1) and ``slm.pt`` (2), there and back."""

import argparse
from collections.abc import Mapping

import torch

from espnet2_taste.hub import taste2_arguments as names
from espnet2_taste.hub.conversion_plan import Plan, finish_plan, plan_part
from espnet2_taste.hub.published_llm import LLM
from espnet2_taste.hub.published_names import Table
from espnet2_taste.taslm.build import build_taslm_model
from espnet2_taste.taste.build import build_taste_model

#: last part of a packed model -> file
FILES = {"taste": "llm.pt", "taslm": "slm.pt"}
STAGE1: Table = (
    *names.TOKENIZER,
    *names.MIXER,
    *((theirs, f"speech_decoder.{ours}") for theirs, ours in LLM),
)


def stage1_table(stage2: bool) -> Table:
    """Names of the tokenizer and speech decoder in a file of either stage."""
    prefix = names.STAGE1 if stage2 else ""
    return tuple((prefix + theirs, ours) for theirs, ours in STAGE1)


def is_taste2(tensors: Mapping[str, torch.Tensor]) -> bool:
    """Whether tensors are named as TASTE2 names them."""
    starts = (names.ENCODER, names.STAGE1 + names.ENCODER)
    return any(name.startswith(starts) for name in tensors)


def makes_taste2(args: argparse.Namespace) -> bool:
    """Whether a TASTE model with these options has TASTE2's form."""
    projected = args.aggregator_conf.get("projected_size")
    return projected is not None and args.speech_decoder == "interleaved_lm"


def plan_taste2(
    info: Mapping[str, torch.Tensor], where: str, lm_config: dict | None = None
) -> Plan:
    """Plan a conversion; the models are built on the meta device only.

    Args:
        info: the checkpoint's tensors by published name.
        where: the checkpoint, for messages.
        lm_config: ``config.json`` of the spoken LM's base (stage 1: of the speech
            decoder's LM); None: a Qwen2 of the tensors' sizes.

    Raises:
        ValueError: unknown, missing or mis-shaped tensors, all of them together.
    """
    stage2 = any(name.startswith(names.STAGE1) for name in info)
    prefix = names.STAGE1 if stage2 else ""
    own = {k.removeprefix(prefix): v for k, v in info.items() if k.startswith(prefix)}
    wanted: dict[str, torch.Size] = {}
    try:
        args = stage1_arguments(own, None if stage2 else lm_config)
        lm_args = names.lm_arguments(info, lm_config) if stage2 else None
    except KeyError as error:
        raise ValueError(f"{where} is not of TASTE2: it has no {error}") from None
    parts = [plan_part("taste", args, stage1_table(stage2), build_taste_model, wanted)]
    tied = _tied(info, prefix + "llm.model.")
    if stage2:
        parts.append(
            plan_part("taslm", lm_args, names.TASLM, build_taslm_model, wanted)
        )
        tied |= _tied(info, names.SPOKEN_LM)
    return finish_plan(parts, wanted, info, names.DEAD, tied, where)


def stage1_arguments(
    info: Mapping[str, torch.Tensor], lm_config: dict | None = None
) -> argparse.Namespace:
    """Training arguments of the tokenizer and the speech decoder.

    Args:
        info: tensors of stage 1 by published name.
        lm_config: of the decoder's LM; None: a Qwen2 of these sizes.

    Raises:
        KeyError: a tensor that tells a size is missing.
    """
    num_units = info["speech_embedding.weight"].shape[0] - 3  # end, none, fill
    return argparse.Namespace(
        **names.tokenizer_arguments(info),
        unit_spec=names.unit_spec(num_units),
        num_units=num_units,
        spk_embed_dim=192,
        fusion="weighted_sum",
        fusion_conf={},
        speech_decoder="interleaved_lm",
        speech_decoder_conf={
            "lm_conf": {"config": lm_config or names.qwen2_config(info, "llm.model.")},
            "mix_ratio": [5, 15],
        },
    )


def _tied(info: Mapping[str, torch.Tensor], prefix: str) -> dict[str, str]:
    """The output layer of the LM under ``prefix``, where only its table is stored."""
    for base in (prefix, prefix + "base_model.model."):
        head, table = base + "lm_head.weight", base + "model.embed_tokens.weight"
        if table in info and head not in info:
            return {head: table}
    return {}
