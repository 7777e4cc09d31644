"""What of an experiment folder travels: options, files they name, weights.

Options are chosen by name: what builds the model, and how it was trained. So nothing of
the machine goes along that somebody forgot to leave out: data paths, output folders,
distributed settings. What ``taste/config.yaml`` names beside itself starts with ``./``.
"""

import argparse
import filecmp
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from espnet2.train.class_choices import ClassChoices

from espnet2_taste.hub.packed import TOKENIZER
from espnet2_taste.io.checkpoint import (
    build_model_from_file,
    load_state,
    read_arguments,
)
from espnet2_taste.io.model_folder import save_state
from espnet2_taste.text.tokenizers import build_text_tokenizer

COMMON = ("token_type", "token_model", "vocab_size", "model_conf")
#: The rest of the training that a reader of the configuration may want to know.
TRAINING = (
    *("version", "seed", "max_epoch", "patience", "best_model_criterion"),
    *("optim", "optim_conf", "scheduler", "scheduler_conf", "accum_grad", "grad_clip"),
    *("batch_type", "batch_size", "batch_bins", "train_dtype", "use_amp"),
)
#: where a pretrained network is named (``model``) or described (``config``)
BACKBONES = {"taste": "encoder_conf", "taslm": "lm_conf"}
#: of a transformers configuration: where it came from, not what it is
_ORIGIN = ("transformers_version", "architectures", "dtype", "torch_dtype")


def option_names(part: str) -> list[str]:
    """Names of the options that build a part."""
    if part == "taste":
        from espnet2_taste.taste import build

        names = [*COMMON, "unit_spec", "num_units", "spk_embed_dim"]
    else:
        from espnet2_taste.taslm import build

        names = [*COMMON, "quantizer", "quantizer_conf", "quantizer_dim"]
    return list(dict.fromkeys([*names, *axis_names(vars(build).values())]))


def axis_names(choices: Iterable) -> list[str]:
    """The two options of each of ESPnet's ClassChoices, whatever else there is."""
    axes = [c.name for c in choices if isinstance(c, ClassChoices)]
    return [*axes, *(f"{axis}_conf" for axis in axes)]


def builder(part: str) -> Callable[[argparse.Namespace], torch.nn.Module]:
    """Options -> model."""
    if part == "taste":
        from espnet2_taste.taste.build import build_taste_model

        return build_taste_model
    from espnet2_taste.taslm.build import build_taslm_model

    return build_taslm_model


def pack_model(
    part: str, checkpoint: Path, folder: Path, include_backbones: bool = False
) -> None:
    """Write ``config.yaml``, ``model.pth`` and the text tokenizer of a trained model.

    A pretrained network in a local folder goes into ``model.pth``; one with a hub id
    stays there.

    Args:
        part: ``taste`` or ``taslm``.
        checkpoint: beside its ``config.yaml``.
        folder: to fill.
        include_backbones: take in those with a hub id as well, and their tokenizer.

    Raises:
        ValueError: an option names a folder or file that cannot travel.
        FileNotFoundError: one that is not there.
    """
    given = vars(read_arguments(checkpoint.parent / "config.yaml"))
    carrier = Carrier(checkpoint.parent, folder)
    names = [*option_names(part), *TRAINING]
    config = {name: given[name] for name in names if name in given}
    conf = config.get(BACKBONES[part]) or {}
    conf.pop("asr_model", None)  # resolved by training: the checkpoint has its weights
    if config.get("token_type") == "hf":
        config["token_model"] = carrier.tokenizer(
            config["token_model"], include_backbones
        )
    backbone = carrier.find(str(conf.pop("model"))) if conf.get("model") else None
    config = {name: carrier.carry(name, value) for name, value in config.items()}
    if backbone is not None:
        config[BACKBONES[part]]["model"] = str(backbone)
    save_state(folder, load_state(checkpoint), config)
    if backbone is not None and (backbone.is_dir() or include_backbones):
        _take_in(part, folder, config)


class Carrier:
    """Copies what options name into a folder.

    Args:
        experiment: whose options they are; relative paths start at the working
            directory, or at a parent of this.
        folder: to copy to.
    """

    def __init__(self, experiment: Path, folder: Path):
        self.bases = [Path.cwd(), *experiment.resolve().parents]
        self.folder = folder

    def find(self, name: str) -> Path:
        """The path called ``name``; as it is if there is nothing, like a hub id."""
        found = (base / name for base in self.bases if (base / name).exists())
        return next(found, Path(name))

    def carry(self, option: str, value):
        """An option's value with ``./name`` for every file, which is copied."""
        if isinstance(value, dict):
            return {k: self.carry(f"{option}.{k}", v) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return [self.carry(option, v) for v in value]
        if not isinstance(value, str) or value.startswith("./") and self._own(value):
            return value
        path = self.find(value)
        is_path = "/" in value or option == "token_model"
        if is_path and path.is_file():
            return self.copy(path)
        if value.startswith(("/", "~", "./", "../")) or is_path and path.is_dir():
            problem = "a folder" if path.is_dir() else "not there"
            raise ValueError(
                f"{option}: {value} is {problem} and cannot be packed: pack in the "
                "recipe's folder, or name a file or hub id"
            )
        return value

    def _own(self, value: str) -> bool:
        return (self.folder / value).exists()

    def copy(self, path: Path) -> str:
        """Copy a file; its name in the folder, another if there is another such."""
        name, number = path.name, 1
        while (self.folder / name).exists():
            if filecmp.cmp(path, self.folder / name, shallow=False):
                return f"./{name}"
            number += 1
            name = f"{path.stem}_{number}{path.suffix}"
        shutil.copyfile(path, self.folder / name)
        return f"./{name}"

    def tokenizer(self, model: str, include: bool) -> str:
        """The value of ``token_model`` for a transformers tokenizer."""
        path = self.find(model)
        if not path.is_dir() and not include:
            return model
        made = build_text_tokenizer("hf", str(path)).tokenizer
        made.init_kwargs.pop("name_or_path", None)
        made.name_or_path = ""
        made.save_pretrained(self.folder / TOKENIZER)
        return f"./{TOKENIZER}"


def _take_in(part: str, folder: Path, config: dict) -> None:
    """Put the weights of the network that ``model`` names into ``model.pth``."""
    model, _ = build_model_from_file(
        builder(part), folder / "config.yaml", folder / "model.pth"
    )
    network = model.encoder.encoder if part == "taste" else model.lm.causal_lm
    described = {
        k: v
        for k, v in network.config.to_dict().items()
        if k not in _ORIGIN and not k.startswith("_")
    }
    section = config[BACKBONES[part]]
    config[BACKBONES[part]] = {"config": described} | {
        k: v for k, v in section.items() if k != "model"
    }
    tensors = dict(model.named_parameters(remove_duplicate=False))
    tensors |= dict(model.named_buffers(remove_duplicate=False))
    save_state(folder, {}, config)
    with torch.device("meta"):
        wanted = builder(part)(read_arguments(folder / "config.yaml")).state_dict()
    save_state(folder, {name: tensors[name].detach() for name in wanted}, config)


def pack_espnet_model(
    checkpoint: Path, config: Path, folder: Path, names: list[str]
) -> None:
    """``config.yaml`` and ``model.pth`` of any model that ESPnet trained.

    Args:
        checkpoint: its weights.
        config: its training options.
        folder: to fill.
        names: of those that build it.
    """
    given = read_arguments(config)
    carrier = Carrier(config.parent, folder)
    options = {
        name: carrier.carry(name, getattr(given, name))
        for name in names
        if hasattr(given, name)
    }
    save_state(folder, load_state(checkpoint), options)
