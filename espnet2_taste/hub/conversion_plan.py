"""Planning a conversion: which published tensor becomes which of ours."""

import argparse
import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

from espnet2_taste.hub.published_arguments import taslm_arguments, taste_arguments
from espnet2_taste.hub.published_names import (
    DEAD,
    EMBED_TOKENS,
    LM_HEAD,
    LOGVAR,
    SPOKEN_LM,
    TASLM,
    TASTE,
    Table,
    published_shape,
    to_published,
)
from espnet2_taste.io.checkpoint import describe_mismatch
from espnet2_taste.taslm.build import build_taslm_model
from espnet2_taste.taste.build import build_taste_model


@dataclass
class Part:
    """One of our models, with the published names of its tensors.

    Attributes:
        name: its folder in a packed model.
        args: training arguments, the content of its config.yaml.
        tensors: our name -> published name.
        shapes: our name -> our shape.
    """

    name: str
    args: argparse.Namespace
    tensors: dict[str, str]
    shapes: dict[str, torch.Size]


@dataclass
class Plan:
    """A checkpoint's way into our models.

    Attributes:
        parts: the models in it.
        dropped: published names that the reference never uses.
        tied: the checkpoint leaves the output layer to the text embedding.
    """

    parts: list[Part]
    dropped: list[str]
    tied: bool

    def source(self, published: str) -> str:
        """The name under which the checkpoint stores a tensor."""
        return EMBED_TOKENS if self.tied and published == LM_HEAD else published


def make_plan(config: dict, info: Mapping[str, torch.Tensor], where: str) -> Plan:
    """Plan a conversion; the models are built on the meta device only.

    Args:
        config: content of the published ``config.json``.
        info: the checkpoint's tensors by published name.
        where: the checkpoint, for messages.

    Raises:
        ValueError: unknown, missing or mis-shaped tensors, all of them together; or a
            variant of the reference that this package does not have.
    """
    dead, wanted, tied = DEAD, {}, False
    spoken = any(name.startswith(SPOKEN_LM) for name in info)
    try:
        taste_args = taste_arguments(config, info)
        args = taslm_arguments(config, _lm_dtype(info)) if spoken else None
    except KeyError as error:
        raise ValueError(f"the config.json of {where} has no {error}") from None
    parts = [_part("taste", taste_args, TASTE, build_taste_model, wanted)]
    if spoken:
        tied = EMBED_TOKENS in info and LM_HEAD not in info
        if tied:
            args.lm_conf["config"]["tie_word_embeddings"] = True
        if args.speech_head != "latent":
            dead = (*DEAD, LOGVAR)  # the reference makes it for every head
        parts.append(_part("taslm", args, TASLM, build_taslm_model, wanted))
        if tied:
            del wanted[LM_HEAD]
    given = {k: t.shape for k, t in info.items() if not k.startswith(dead)}
    problems = describe_mismatch(wanted, given)
    if problems:
        raise ValueError(f"{where} does not fit its configuration: {problems}")
    return Plan(parts, [k for k in info if k not in given], tied)


def _part(
    name: str,
    args: argparse.Namespace,
    table: Table,
    build: Callable[[argparse.Namespace], torch.nn.Module],
    wanted: dict[str, torch.Size],
) -> Part:
    """A part; its shapes by published name are added to ``wanted``."""
    with torch.device("meta"):
        state = build(copy.deepcopy(args)).state_dict()  # builders fill in
    tensors = {ours: to_published(table, ours) for ours in state}
    shapes = {ours: value.shape for ours, value in state.items()}
    wanted |= {tensors[k]: published_shape(k, shape) for k, shape in shapes.items()}
    return Part(name, args, tensors, shapes)


def _lm_dtype(info: Mapping[str, torch.Tensor]) -> str:
    """bfloat16 if the LM is published in it, else float32."""
    embedding = info.get(EMBED_TOKENS)
    bfloat16 = embedding is not None and embedding.dtype == torch.bfloat16
    return "bfloat16" if bfloat16 else "float32"
