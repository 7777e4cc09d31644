"""Writing a packed model as the folder of a published TASTE or TASTE2 checkpoint, or
a decoder that came from CosyVoice as its ``llm.pt``.

``lm_head.weight`` is written even where it was left out, for then the reference starts
with a random one.
"""

import argparse
import logging
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file

from espnet2_taste.hub import published_names as names
from espnet2_taste.hub import taste2, taste2_arguments
from espnet2_taste.hub.conversion_plan import make_plan
from espnet2_taste.hub.conversion_source import SAFETENSORS, read_json
from espnet2_taste.hub.pack import BACKBONES
from espnet2_taste.hub.published import CONFIG, COSYVOICE, FILES
from espnet2_taste.hub.published import TOKENIZER as LLAMA_TOKENIZER
from espnet2_taste.hub.published_llm import decoder_tensors
from espnet2_taste.io.atomic import new_folder
from espnet2_taste.io.checkpoint import load_state, save_tensors
from espnet2_taste.io.config import read_arguments
from espnet2_taste.io.models import MANIFEST, MODELS, PUBLISHED, TOKENIZER, read_parts
from espnet2_taste.vocoder.cosyvoice.checkpoint import cosyvoice_files

#: The option of bin.convert that left out a model's backbone.
OPTIONS = {"taste": "--whisper", "taslm": "--base_lm"}


def write_published(packed: Path, output: Path, config: Path | None = None) -> None:
    """Write the folder.

    Args:
        packed: folder of the packed model.
        output: new folder.
        config: ``config.json``, for a model that was packed without one.

    Raises:
        FileNotFoundError: no ``config.json``.
        ValueError: see :func:`published_tensors`.
    """
    parts = read_parts(packed)
    models = [part for part in MODELS if part in parts]
    if not models and parts.keys() & {"speech_decoder", "vocoder"}:
        _write_cosyvoice(packed, parts, output)
        return
    if not models:
        raise ValueError(f"{packed} is no packed model ({MANIFEST}) of {MODELS}")
    if "taste" in parts and taste2.makes_taste2(_arguments(packed, "taste")):
        _write_taste2(packed, models, output)
        return
    config = config or packed / PUBLISHED / CONFIG
    if not config.is_file():
        raise FileNotFoundError(f"{config} does not exist: give --config")
    tensors = published_tensors(packed, models, names.TASTE, names.TASLM)
    make_plan(read_json(config), tensors, str(packed))
    if names.LM_HEAD in tensors:  # safetensors do not share memory
        tensors[names.LM_HEAD] = tensors[names.LM_HEAD].clone()
    with new_folder(output) as folder:
        for file in (packed / PUBLISHED).glob("*"):
            shutil.copyfile(file, folder / file.name)
        shutil.copyfile(config, folder / CONFIG)
        if (packed / "taslm" / TOKENIZER).is_dir():
            shutil.copytree(packed / "taslm" / TOKENIZER, folder / LLAMA_TOKENIZER)
        _copy_files(packed, parts, folder / COSYVOICE)
        save_file(tensors, folder / SAFETENSORS, metadata={"format": "pt"})
        shutil.copymode(folder / CONFIG, folder / SAFETENSORS)  # not the owner's only
    logging.info("%s: %d tensors", output, len(tensors))


def _copy_files(packed: Path, parts: dict[str, str], folder: Path) -> None:
    """The parts that are kept as they were published."""
    for part in {p for p, choice, _ in FILES if parts.get(p) == choice}:
        shutil.copytree(packed / part, folder, dirs_exist_ok=True)


def _write_cosyvoice(packed: Path, parts: dict[str, str], output: Path) -> None:
    """A CosyVoice folder: ``llm.pt`` and what was kept of it."""
    with new_folder(output) as folder:
        own = packed / "vocoder" / "model.pth"  # of bin.pack, e.g. a trained flow
        kept = dict(parts)
        if own.is_file():
            del kept["vocoder"]
            for name, tensors in cosyvoice_files(load_state(own)).items():
                save_tensors(folder / name, tensors)
        _copy_files(packed, kept, folder)
        if "speech_decoder" in parts:
            save_tensors(folder / "llm.pt", decoder_tensors(packed / "speech_decoder"))
        if not any(folder.iterdir()):
            raise ValueError(f"{packed} holds nothing that CosyVoice publishes")


def _write_taste2(packed: Path, models: list[str], output: Path) -> None:
    """``llm.pt`` or ``slm.pt``, and the LM's tokenizer."""
    stage2 = "taslm" in models
    table = taste2.stage1_table(stage2)
    tensors = published_tensors(packed, models, table, taste2_arguments.TASLM)
    lm = _arguments(packed, "taslm").lm_conf["config"] if stage2 else None
    taste2.plan_taste2(tensors, str(packed), lm)
    with new_folder(output) as folder:
        save_tensors(folder / taste2.FILES[models[-1]], tensors)
        if (packed / models[-1] / TOKENIZER).is_dir():
            shutil.copytree(packed / models[-1] / TOKENIZER, folder / TOKENIZER)
    logging.info("%s: %d tensors", output, len(tensors))


def _arguments(packed: Path, part: str) -> argparse.Namespace:
    return read_arguments(packed / part / "config.yaml")


def published_tensors(
    packed: Path, models: list[str], taste: names.Table, taslm: names.Table
) -> dict[str, torch.Tensor]:
    """The models' tensors under published names.

    Raises:
        ValueError: weights were left out, parts contradict each other, or something
            has no name.
    """
    tables = {"taste": taste, "taslm": taslm}
    tensors: dict[str, torch.Tensor] = {}
    for part in models:
        args = _arguments(packed, part)
        left_out = getattr(args, BACKBONES[part]).get("model")
        if left_out:
            raise ValueError(
                f"{packed / part} leaves out {left_out}: convert without "
                f"{OPTIONS[part]}"
            )
        for ours, tensor in load_state(packed / part / "model.pth").items():
            name = names.to_published(tables[part], ours)
            if name is None:
                raise ValueError(f"{packed / part}: {ours} has no published name")
            tensor = tensor.reshape(names.published_shape(ours, tensor.shape))
            if name in tensors and not torch.equal(tensors[name], tensor):
                raise ValueError(f"{packed}: the parts have different {name}")
            tensors[name] = tensor
    return {name: tensor.contiguous() for name, tensor in tensors.items()}
