"""Base models whose weights a packed model leaves out: Whisper and the LLM."""

import logging
from collections.abc import Iterator
from pathlib import Path

import torch

from espnet2_taste.hub.conversion_plan import Part, Plan
from espnet2_taste.hub.conversion_source import Checkpoint

WHISPER_PREFIXES = ("model.encoder.", "encoder.")


def leave_out(
    plan: Plan, checkpoint: Checkpoint, base_lm: str | None, whisper: str | None
) -> None:
    """Take base models out of a plan; building its models brings them back.

    Args:
        plan: changed in place.
        checkpoint: what is converted; the base models must equal what is in it.
        base_lm: hub id or local folder of the LLM; None: keep its weights.
        whisper: likewise of the Whisper model.

    Raises:
        ValueError: the base model is trained in this checkpoint, or differs from what
            is in it.
    """
    parts = {part.name: part for part in plan.parts}
    if whisper is not None:
        conf = parts["taste"].args.encoder_conf
        del conf["config"]
        conf["model"] = whisper
        _remove(parts["taste"], plan, checkpoint, whisper)
    if base_lm is not None:
        if "taslm" not in parts:
            raise ValueError(f"--base_lm: {checkpoint.path} has no spoken LM")
        conf = parts["taslm"].args.lm_conf
        if "lora" not in conf:
            raise ValueError("--base_lm: without LoRA all of the LM is trained")
        del conf["config"]
        conf["model"] = base_lm
        _remove(parts["taslm"], plan, checkpoint, base_lm)


def base_names(part: Part) -> dict[str, tuple[str, ...]]:
    """Our name -> names it may have in the base model, of all tensors from there."""
    if part.name == "taste":
        prefix = "encoder.encoder."
        return {
            ours: tuple(p + ours[len(prefix) :] for p in WHISPER_PREFIXES)
            for ours in part.tensors
            if ours.startswith(prefix)
        }
    prefix = "lm.lm.base_model.model."
    names = {}
    for ours in part.tensors:
        if ours.startswith(prefix) and ".lora_" not in ours:
            name = ours[len(prefix) :].replace(".base_layer.", ".")
            tied = ("model.embed_tokens.weight",) if name == "lm_head.weight" else ()
            names[ours] = (name, *tied)
    return names


def find_base(name: str) -> Checkpoint | None:
    """A base model's weights on this machine; None if they are not here."""
    if Path(name).is_dir():
        return Checkpoint(name)
    from huggingface_hub import snapshot_download

    try:
        return Checkpoint(snapshot_download(name, local_files_only=True))
    except (OSError, ValueError):  # not in the cache, or not a hub id
        return None


def base_tensors(part: Part, base: Checkpoint) -> Iterator[tuple[str, torch.Tensor]]:
    """(our name, tensor) of everything that ``part`` takes from ``base``.

    Raises:
        ValueError: a tensor is not there.
    """
    for ours, names in base_names(part).items():
        found = next((n for n in names if n in base.tensors), None)
        if found is None:
            raise ValueError(f"{base.path} has no {names[0]}")
        yield ours, base.tensors[found]


def _remove(part: Part, plan: Plan, checkpoint: Checkpoint, name: str) -> None:
    base = find_base(name)
    if base is None:
        logging.warning("%s is not on this machine: not compared", name)
    else:
        different = [
            part.tensors[ours]
            for ours, tensor in base_tensors(part, base)
            if not _equal(tensor, checkpoint.tensors[plan.source(part.tensors[ours])])
        ]
        if different:
            raise ValueError(
                f"{name} is not the base of {checkpoint.path}: {len(different)} "
                f"tensors differ, such as {different[0]}; keep the weights"
            )
        logging.info("%s equals what is in the checkpoint", name)
    for ours in base_names(part):
        del part.tensors[ours]


def _equal(a: torch.Tensor, b: torch.Tensor) -> bool:
    return a.shape == b.shape and torch.equal(a.float(), b.float())
