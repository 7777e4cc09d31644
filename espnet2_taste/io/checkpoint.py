"""Loading checkpoints, with checks that ESPnet does not make."""

import argparse
import pickle
import re
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from espnet2_taste.io.atomic import replacing
from espnet2_taste.io.class_conf import refuse_own_code
from espnet2_taste.io.config import read_arguments
from espnet2_taste.io.published import published


def save_tensors(path: str | Path, state: Mapping[str, Any]) -> None:
    """``torch.save`` by rename; parents are made.

    Raises:
        OSError: it cannot be written (a full disk, say); what lies at ``path`` stays.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with replacing(path, durable=True) as temporary:
        try:
            with open(temporary, "wb") as file:
                torch.save(state, file)
        except RuntimeError as error:  # torch hides what the system said
            reason = " ".join(str(error).split())
            raise OSError(
                f"{path} cannot be written; is the disk full? ({reason})"
            ) from None


def is_whole(path: str | Path) -> bool:
    """Whether a file that torch wrote is all there; torch itself takes other bytes."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (zipfile.BadZipFile, zlib.error, EOFError):
        return False


def load_state(path: str | Path) -> dict[str, torch.Tensor]:
    """Read a state dict without running code from the file, or all of it at once.

    Raises:
        FileNotFoundError: no such file.
        RuntimeError: not a state dict of tensors (a tampered, foreign or damaged file),
            or one with values that are no numbers.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"no checkpoint at {path}")
    with Path(path).open("rb") as file:
        zipped = file.read(2) == b"PK"  # older files are not
    if zipped and not is_whole(path):
        raise RuntimeError(f"{path} is damaged: it is not what was saved")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except Exception as error:
        raise RuntimeError(
            f"{path} is not a plain checkpoint of tensors and was not loaded "
            f"({type(error).__name__}); take it from a source you trust"
        ) from None
    if not isinstance(state, dict):
        raise RuntimeError(f"{path} does not hold a state dict")
    check_finite(state, path)
    return state


def check_finite(state: Mapping[str, Any], path: str | Path) -> None:
    """Refuse weights that are no numbers: what they compute is none, either.

    Raises:
        RuntimeError: names the file and the first such tensor.
    """
    for name, value in state.items():
        if isinstance(value, torch.Tensor) and not is_finite(value):
            raise RuntimeError(
                f"{path}: {name} has NaN or infinite values: its training failed; use "
                "another epoch's checkpoint"
            )


def is_finite(tensor: torch.Tensor) -> bool:
    """Whether all values are finite; reads them once and makes no copy."""
    if not tensor.is_floating_point() or not tensor.numel() or tensor.is_meta:
        return True
    if tensor.element_size() == 1:  # float8 has no extremes
        tensor = tensor.float()
    low, high = tensor.aminmax()
    return bool((low - low == 0) & (high - high == 0))


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


def describe_mismatch(
    wanted: Mapping[str, torch.Size], given: Mapping[str, torch.Size], limit: int = 5
) -> str:
    """Say how the tensors of a checkpoint differ from those that a model wants.

    Args:
        wanted: name -> shape of the model's.
        given: name -> shape of the checkpoint's.
        limit: names listed of each kind.

    Returns:
        "" if nothing is.
    """
    shapes = {
        f"{k} {list(given[k])} instead of {list(wanted[k])}"
        for k in wanted.keys() & given.keys()
        if tuple(wanted[k]) != tuple(given[k])
    }
    return "; ".join(
        f"{kind} ({len(names)}): {', '.join(sorted(names)[:limit])}"
        + (", ..." if len(names) > limit else "")
        for kind, names in (
            ("missing", wanted.keys() - given.keys()),
            ("unexpected", given.keys() - wanted.keys()),
            ("other shape", shapes),
        )
        if names
    )


def load_strictly(
    model: torch.nn.Module,
    state: Mapping[str, torch.Tensor],
    problem: str,
    limit: int = 5,
) -> None:
    """Load all of a state dict into all of a model.

    Args:
        model: may leave tensors out of its own state dict.
        state: of the file.
        problem: what to say before the differences, with the file's name.
        limit: tensors listed of each kind.

    Raises:
        RuntimeError: names all tensors that are missing, unknown or of other shapes.
    """
    differences = describe_mismatch(shapes(model.state_dict()), shapes(state), limit)
    if differences:
        raise RuntimeError(f"{problem}: {differences}")
    model.load_state_dict(state)


def shapes(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Size]:
    """Name -> shape; that of what is no tensor is its own."""
    return {name: getattr(value, "shape", (-1,)) for name, value in state.items()}


def load_transformers(
    cls: type, name: str, spare: str = ".*", used: str = ".*", **options
):
    """``cls.from_pretrained`` of transformers, whole and without a model's own code.

    By itself, transformers draws at random what a file lacks.

    Args:
        cls: e.g. ``WhisperModel``.
        name: hub id (see :func:`published`) or local folder.
        spare: pattern of names that a file may have beyond the model's.
        used: pattern of names that a file must have.
        options: others of ``from_pretrained``.

    Raises:
        OSError, ValueError: as transformers.
        RuntimeError: weights that are missing, unknown, of other shapes or no numbers.
    """
    options |= {"trust_remote_code": False, "output_loading_info": True}
    options |= {"ignore_mismatched_sizes": True}  # and tell them
    try:
        model, found = cls.from_pretrained(published(name), **options)
    except (pickle.UnpicklingError, RuntimeError, SafetensorError) as error:
        reason = str(error).partition("\n")[0]
        raise RuntimeError(f"{name} cannot be loaded ({reason})") from None
    unknown = [k for k in found["unexpected_keys"] if not re.fullmatch(spare, k)]
    wrong = {
        "missing": [k for k in found["missing_keys"] if re.fullmatch(used, k)],
        "unexpected": unknown,
        "other shape": [item[0] for item in found["mismatched_keys"]],
    }
    problems = [
        f"{kind} ({len(names)}): {', '.join(sorted(names)[:3])}"
        for kind, names in wrong.items()
        if names
    ]
    if problems:
        raise RuntimeError(
            f"{name} does not hold a whole {cls.__name__}: {'; '.join(problems)}"
        )
    check_finite(model.state_dict(), name)
    return model


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

    Raises:
        FileNotFoundError: a file is missing, or one that the configuration names.
        ValueError: the configuration is of another kind of model, or wrong.
        RuntimeError: the checkpoint does not fit the configuration.
    """
    config_file = Path(config_file or Path(model_file).parent / "config.yaml")
    args = read_arguments(config_file)
    for value in vars(args).values():
        if isinstance(value, str):
            refuse_own_code(value, config_file.parent)
    args.init_param, args.freeze_param = [], []
    state = load_state(model_file)
    try:
        model = build(args)
    except AttributeError as error:
        if not isinstance(error.obj, argparse.Namespace):
            raise
        raise ValueError(
            f"{config_file} has no {error.name}: it is of another kind of model"
        ) from None
    except (ValueError, FileNotFoundError) as error:
        kind = ValueError if isinstance(error, ValueError) else FileNotFoundError
        raise kind(f"{config_file}: {error}") from error
    load_strictly(model, state, f"{model_file} does not fit {config_file}")
    return model.to(device).eval(), args
