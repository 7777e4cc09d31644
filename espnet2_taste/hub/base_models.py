"""Base models whose weights a packed model leaves out: Whisper and the LLM."""

import logging

import torch

from espnet2_taste.hub.conversion_plan import Part, Plan
from espnet2_taste.hub.conversion_source import Checkpoint
from espnet2_taste.hub.pack import BACKBONES
from espnet2_taste.io.published import published

#: Of a part: where our names start, what takes their place in the base model.
PREFIXES = {
    "taste": ("encoder.encoder.", "encoder."),
    "taslm": ("lm.lm.base_model.model.", ""),
}


def leave_out(
    plan: Plan, checkpoint: Checkpoint, base_lm: str | None, whisper: str | None
) -> None:
    """Take base models out of a plan; building its models brings them back.

    Args:
        plan: changed in place.
        checkpoint: what is converted; the base models must equal what is in it.
        base_lm: hub id or local folder of the LLM; None: keep its weights.
        whisper: the same of the Whisper model.

    Raises:
        ValueError: the base model is trained in this checkpoint, or differs from what
            is in it.
    """
    parts = {part.name: part for part in plan.parts}
    if base_lm is not None:
        if "taslm" not in parts:
            raise ValueError(f"--base_lm: {checkpoint.path} has no spoken LM")
        if "lora" not in parts["taslm"].args.lm_conf:
            raise ValueError("--base_lm: without LoRA all of the LM is trained")
    for name, base in (("taste", whisper), ("taslm", base_lm)):
        if base is not None:
            conf = getattr(parts[name].args, BACKBONES[name])
            del conf["config"]
            conf["model"] = base
            _remove(parts[name], plan, checkpoint, base)


def _remove(part: Part, plan: Plan, checkpoint: Checkpoint, base: str) -> None:
    ours, theirs = PREFIXES[part.name]
    names = {
        name: theirs + name.removeprefix(ours).replace(".base_layer.", ".")
        for name in part.tensors
        if name.startswith(ours) and ".lora_" not in name
    }
    state = _read(part.name, base)
    if state is None:
        logging.warning("%s is not on this machine: not compared", base)
    else:
        different = [
            part.tensors[name]
            for name, inside in names.items()
            if not _equal(
                state.get(inside),
                checkpoint.tensors[plan.source(part.tensors[name])],
            )
        ]
        if different:
            raise ValueError(
                f"{base} is not the base of {checkpoint.path}: {len(different)} "
                f"tensors differ, such as {different[0]}; keep the weights"
            )
        logging.info("%s equals what is in the checkpoint", base)
    for name in names:
        del part.tensors[name]


def _read(part: str, base: str) -> dict[str, torch.Tensor] | None:
    """Weights of a base model on this machine; None if they are not here."""
    from transformers import AutoModel, AutoModelForCausalLM

    cls = AutoModel if part == "taste" else AutoModelForCausalLM
    try:
        model = cls.from_pretrained(
            published(base),
            local_files_only=True,
            trust_remote_code=False,
            dtype="auto",
        )
    except (OSError, ValueError):  # not in the cache, or not a hub id
        return None
    return model.state_dict()


def _equal(a: torch.Tensor | None, b: torch.Tensor) -> bool:
    return a is not None and a.shape == b.shape and torch.equal(a.float(), b.float())
