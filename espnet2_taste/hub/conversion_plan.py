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
        tied: published names that the checkpoint leaves to others -> those.
    """

    parts: list[Part]
    dropped: list[str]
    tied: dict[str, str]

    def source(self, published: str) -> str:
        """The name under which the checkpoint stores a tensor."""
        return self.tied.get(published, published)


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
    dead, wanted, tied = DEAD, {}, {}
    spoken = any(name.startswith(SPOKEN_LM) for name in info)
    try:
        taste_args = taste_arguments(config, info)
        args = taslm_arguments(config, _lm_dtype(info)) if spoken else None
    except KeyError as error:
        raise ValueError(f"the config.json of {where} has no {error}") from None
    parts = [plan_part("taste", taste_args, TASTE, build_taste_model, wanted)]
    if spoken:
        if EMBED_TOKENS in info and LM_HEAD not in info:
            tied = {LM_HEAD: EMBED_TOKENS}
            args.lm_conf["config"]["tie_word_embeddings"] = True
        if args.speech_head != "latent":
            dead = (*DEAD, LOGVAR)  # the reference makes it for every head
        parts.append(plan_part("taslm", args, TASLM, build_taslm_model, wanted))
    return finish_plan(parts, wanted, info, dead, tied, where)


def finish_plan(
    parts: list[Part],
    wanted: dict[str, torch.Size],
    info: Mapping[str, torch.Tensor],
    dead: tuple[str, ...],
    tied: dict[str, str],
    where: str,
) -> Plan:
    """The plan, if the checkpoint has what the parts want and nothing else.

    Args:
        parts: by :func:`plan_part`.
        wanted: likewise.
        info: the checkpoint's tensors by published name.
        dead: how names start that nothing uses.
        tied: see :class:`Plan`.
        where: the checkpoint, for the message.

    Raises:
        ValueError: unknown, missing or mis-shaped tensors, all of them together.
    """
    given = {k: t.shape for k, t in info.items() if not k.startswith(dead)}
    wanted = {k: shape for k, shape in wanted.items() if k not in tied}
    problems = describe_mismatch(wanted, given)
    if problems:
        raise ValueError(f"{where} does not fit its configuration: {problems}")
    return Plan(parts, [k for k in info if k not in given], tied)


def plan_part(
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
