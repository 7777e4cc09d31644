"""Checkpoints, checked as ESPnet does not: loading, initialisation, freezing."""

import argparse
from pathlib import Path

import torch
import yaml


def load_state(path: str | Path) -> dict[str, torch.Tensor]:
    """Read a state dict without running code from the file.

    Raises:
        FileNotFoundError: no such file.
        RuntimeError: not a state dict of tensors (a tampered or foreign file).
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"no checkpoint at {path}")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise RuntimeError(
            f"{path} is not a plain checkpoint of tensors and was not loaded "
            f"({type(error).__name__}); take it from a source you trust"
        ) from None
    if not isinstance(state, dict):
        raise RuntimeError(f"{path} does not hold a state dict")
    return state


def check_init_freeze(args: argparse.Namespace, model: torch.nn.Module) -> None:
    """Refuse ``--init_param`` and ``--freeze_param`` that would change nothing.

    ESPnet accepts a misspelt key in silence and trains from scratch.

    Raises:
        ValueError: names the entry and what the model or file has instead.
    """
    names = [name for name, _ in model.named_parameters()]
    tops = sorted({name.split(".")[0] for name in names})
    for key in getattr(args, "freeze_param", None) or []:
        if not any(name == key or name.startswith(key + ".") for name in names):
            raise ValueError(
                f"--freeze_param {key} matches no parameter (top level: {tops})"
            )
    for entry in getattr(args, "init_param", None) or []:
        path, src, dst, exclude = (entry.split(":") + ["", "", ""])[:4]
        state = load_state(path)
        state = {
            k: v
            for k, v in state.items()
            if not any(k.startswith(e) for e in exclude.split(",") if e)
        }
        if src:
            state = {
                k[len(src) + 1 :]: v
                for k, v in state.items()
                if k.startswith(src + ".")
            }
        if dst and not any(k.startswith(dst + ".") for k in model.state_dict()):
            raise ValueError(
                f"--init_param {entry}: the model has no {dst!r} (top level: {tops})"
            )
        prefix = dst + "." if dst else ""
        if not any(prefix + k in model.state_dict() for k in state):
            raise ValueError(
                f"--init_param {entry}: no key of the file matches the model "
                f"(top level: {tops})"
            )


def build_model_from_file(build, config_file, model_file, device: str = "cpu"):
    """Build a model for inference and load it strictly.

    Unlike ``AbsTask.build_model_from_file`` a foreign checkpoint is an error that
    lists the keys, and no code from the file runs.

    Args:
        build: training arguments -> model, as in ``taste.build``.
        config_file: config.yaml saved by training; None: beside ``model_file``.
        model_file: ``*.pth`` saved by training.
        device: torch device.

    Returns:
        the model in eval mode and the training arguments.
    """
    config_file = Path(config_file or Path(model_file).parent / "config.yaml")
    if not config_file.is_file():
        raise FileNotFoundError(f"no training configuration at {config_file}")
    with config_file.open(encoding="utf-8") as f:
        args = argparse.Namespace(**yaml.safe_load(f))
    args.init_param, args.freeze_param = [], []
    state = load_state(model_file)
    model = build(args)
    own = model.state_dict()
    problems = [
        f"{kind}: {', '.join(sorted(keys)[:5])}{' ...' if len(keys) > 5 else ''}"
        for kind, keys in (
            ("missing", own.keys() - state.keys()),
            ("unexpected", state.keys() - own.keys()),
            (
                "other shape",
                {k for k in own if k in state and own[k].shape != state[k].shape},
            ),
        )
        if keys
    ]
    if problems:
        raise RuntimeError(
            f"{model_file} does not fit {config_file}: " + "; ".join(problems)
        )
    model.load_state_dict(state)
    return model.to(device).eval(), args
