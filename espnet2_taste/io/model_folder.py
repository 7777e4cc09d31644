"""Saving and loading a small model: an ESPnet experiment folder, or ``model.pth``.

Units, vocoders and speaker encoders that a recipe trains: ``config.yaml`` with
``model_conf``, and the weights in one of ``CHECKPOINTS`` beside it.
"""

import inspect
from pathlib import Path

import torch
import yaml

from espnet2_taste.io.atomic import write_text
from espnet2_taste.io.checkpoint import load_state, load_strictly, save_tensors
from espnet2_taste.io.class_conf import check_conf
from espnet2_taste.io.config import read_yaml

#: looked for in this order: of training, of packed models
CHECKPOINTS = ("valid.loss.best.pth", "model.pth")


def load_tensors(path: Path, made_by: str) -> dict[str, torch.Tensor]:
    """See :func:`load_state`; ``made_by`` says how to get a file that is not there.

    Raises:
        FileNotFoundError: no such file.
        RuntimeError: not a file of tensors.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: {made_by} makes it")
    return load_state(path)


def save_model(output_dir: Path, model: torch.nn.Module, config: dict) -> None:
    """Write ``model.pth`` and ``config.yaml`` of a model, see :func:`save_state`.

    Any machine reads them, whatever the device the model is on.
    """
    state = model.state_dict()
    for name, tensor in state.items():
        state[name] = tensor.cpu()
    save_state(output_dir, state, config)


def save_state(output_dir: Path, state: dict[str, torch.Tensor], config: dict) -> None:
    """Write ``model.pth`` and, last, ``config.yaml``: with it the folder is complete.

    Args:
        state: the weights.
        config: what was trained; ``model_conf`` in it rebuilds the model.
    """
    save_tensors(output_dir / "model.pth", state)
    write_text(output_dir / "config.yaml", yaml.safe_dump(config, sort_keys=False))


def read_model(
    path: str | Path, cls: type, made_by: str, part: str | None = None
) -> tuple[dict, dict[str, torch.Tensor]]:
    """Arguments and weights of a trained model.

    Args:
        path: its folder.
        cls: of the model.
        made_by: program that makes such a folder, for messages.
        part: attribute of what was trained, where that is more than the model.

    Raises:
        FileNotFoundError: ``path`` holds no complete model.
        ValueError: its configuration is that of something else.
        RuntimeError: not a file of tensors.
    """
    config_file = Path(path) / "config.yaml"
    if not config_file.is_file():
        raise FileNotFoundError(f"{config_file} does not exist: {made_by} makes it")
    conf = read_yaml(config_file).get("model_conf")
    if not isinstance(conf, dict):
        raise ValueError(f"{config_file} has no model_conf: {made_by} did not make it")
    if part is None:
        check_conf(f"{config_file}: model_conf", cls, conf)
    files = [Path(path) / name for name in CHECKPOINTS]
    file = next((file for file in files if file.is_file()), files[-1])
    state = load_tensors(file, made_by)
    own = {
        k.removeprefix(f"{part}."): v
        for k, v in state.items()
        if k.startswith(f"{part}.")
    }
    if part is not None and not own:
        check_conf(f"{config_file}: model_conf", cls, conf)
    if own:
        known = inspect.signature(cls).parameters
        conf = {name: value for name, value in conf.items() if name in known}
    return conf, own or state


def load_model(
    path: str, cls: type, made_by: str, device: str, part: str | None = None
) -> torch.nn.Module:
    """Rebuild a trained model, in eval mode; see :func:`read_model`.

    Raises:
        FileNotFoundError: ``path`` holds no complete model.
        RuntimeError: weights that do not fit the configuration.
    """
    conf, state = read_model(path, cls, made_by, part)
    model = cls(**conf)
    load_strictly(model, state, f"{path} is no {cls.__name__}")
    return model.to(device).eval()


def copy_model(
    path: str | Path, folder: Path, cls: type, made_by: str, part: str | None = None
) -> None:
    """Copy a trained model alone, without what else training left there.

    Raises:
        FileNotFoundError, RuntimeError: see :func:`read_model`.
    """
    conf, state = read_model(path, cls, made_by, part)
    save_state(folder, state, {"model_conf": conf})
