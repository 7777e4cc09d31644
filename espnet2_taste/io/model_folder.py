"""Saving and loading a small model: a folder with ``config.yaml`` and ``model.pth``.

Units, vocoders and speaker encoders that a recipe trains without ESPnet's trainer.
"""

from pathlib import Path

import torch
import yaml

from espnet2_taste.io.atomic import replacing, write_text
from espnet2_taste.io.checkpoint import load_state

#: of a training configuration
SECTIONS = ("model_conf", "train_conf", "griffin_lim_conf")


def read_config(path: Path) -> dict:
    """A training configuration, with empty sections where it has none.

    Raises:
        ValueError: a section that no trainer knows; the message names it.
    """
    config = yaml.safe_load(Path(path).read_text(encoding="utf-8")) or {}
    unknown = sorted(set(config) - set(SECTIONS))
    if unknown:
        raise ValueError(f"{path}: unknown section {unknown[0]}; known: {SECTIONS}")
    return {name: config.get(name) or {} for name in SECTIONS}


def save_tensors(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    """``torch.save`` by rename; parents are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        torch.save(tensors, temporary)


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


def load_model(path: str, cls: type, made_by: str, device: str) -> torch.nn.Module:
    """Rebuild ``cls(**config["model_conf"])`` with its weights, in eval mode.

    Raises:
        FileNotFoundError: ``path`` holds no complete model.
        RuntimeError: weights that do not fit the configuration.
    """
    config_file = Path(path) / "config.yaml"
    if not config_file.is_file():
        raise FileNotFoundError(f"{config_file} does not exist: {made_by} makes it")
    config = yaml.safe_load(config_file.read_text(encoding="utf-8"))
    model = cls(**config["model_conf"])
    model.load_state_dict(load_tensors(Path(path) / "model.pth", made_by))
    return model.to(device).eval()


def copy_model(path: str | Path, folder: Path, made_by: str) -> None:
    """Copy a trained model alone, without what else training left there.

    Raises:
        FileNotFoundError, RuntimeError: see :func:`load_tensors`.
    """
    path = Path(path)
    state = load_tensors(path / "model.pth", made_by)
    save_state(folder, state, read_config(path / "config.yaml"))
