"""A packed model -> the folder of a published TASTE checkpoint.

Names, shapes and dtypes are those it came with, and so are config.json, tokenizer and
the files of the other parts. Not there again: the weights that the reference never
uses. ``lm_head.weight`` is written even where it was left out, for then the reference
starts with a random one.
"""

import argparse
import logging
import shutil
from pathlib import Path

import torch

from espnet2_taste.bin import run
from espnet2_taste.hub.packed import (
    MANIFEST,
    MODELS,
    PUBLISHED,
    TOKENIZER,
    locate,
    read_parts,
)
from espnet2_taste.io.atomic import new_folder
from espnet2_taste.io.checkpoint import load_state, read_arguments

BASES = {
    "taste": ("encoder_conf", "model", "--whisper"),
    "taslm": ("lm_conf", "model", "--base_lm"),
}


def get_parser() -> argparse.ArgumentParser:
    """Command-line options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "packed", type=Path, help="folder or zip made by from_published"
    )
    parser.add_argument("output", type=Path, help="new folder")
    parser.add_argument(
        "--config", type=Path, help="config.json, for a model packed without one"
    )
    return parser


def main(cmd: list[str] | None = None) -> None:
    """Entry point; ``cmd`` defaults to ``sys.argv[1:]``."""
    args = get_parser().parse_args(cmd)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    from safetensors.torch import save_file

    from espnet2_taste.hub.conversion_source import SAFETENSORS
    from espnet2_taste.hub.published import CONFIG, COSYVOICE, FILES
    from espnet2_taste.hub.published import TOKENIZER as LLAMA_TOKENIZER

    args.packed = locate(args.packed)
    parts = read_parts(args.packed)
    models = [part for part in MODELS if part in parts]
    if not models:
        raise ValueError(f"{args.packed} is no packed model ({MANIFEST}) of {MODELS}")
    config_file = args.config or args.packed / PUBLISHED / CONFIG
    if not config_file.is_file():
        raise FileNotFoundError(f"{config_file} does not exist: give --config")
    tensors = published_tensors(args.packed, models, config_file)
    with new_folder(args.output) as folder:
        for file in (args.packed / PUBLISHED).glob("*"):
            shutil.copyfile(file, folder / file.name)
        shutil.copyfile(config_file, folder / CONFIG)
        if (args.packed / "taslm" / TOKENIZER).is_dir():
            shutil.copytree(args.packed / "taslm" / TOKENIZER, folder / LLAMA_TOKENIZER)
        for part in {p for p, choice, _ in FILES if parts.get(p) == choice}:
            shutil.copytree(args.packed / part, folder / COSYVOICE, dirs_exist_ok=True)
        save_file(tensors, folder / SAFETENSORS, metadata={"format": "pt"})
        shutil.copymode(folder / CONFIG, folder / SAFETENSORS)  # not the owner's only
    logging.info("%s: %d tensors", args.output, len(tensors))


def published_tensors(
    packed: Path, models: list[str], config_file: Path
) -> dict[str, torch.Tensor]:
    """The models' tensors under published names, checked against ``config.json``.

    Raises:
        ValueError: weights were left out, parts contradict each other, or something
            does not fit.
    """
    from espnet2_taste.hub import published_names as names
    from espnet2_taste.hub.conversion_plan import make_plan
    from espnet2_taste.hub.conversion_source import TensorInfo, read_json

    tables = {"taste": names.TASTE, "taslm": names.TASLM}
    tensors: dict[str, torch.Tensor] = {}
    for part in models:
        section, key, option = BASES[part]
        conf = getattr(read_arguments(packed / part / "config.yaml"), section)
        if conf.get(key):
            raise ValueError(
                f"{packed / part} leaves out {conf[key]}: convert without {option}"
            )
        for ours, tensor in load_state(packed / part / "model.pth").items():
            name = names.to_published(tables[part], ours)
            if name is None:
                raise ValueError(f"{packed / part}: {ours} has no published name")
            tensor = tensor.reshape(names.published_shape(ours, tensor.shape))
            if name in tensors and not torch.equal(tensors[name], tensor):
                raise ValueError(f"{packed}: the parts have different {name}")
            tensors[name] = tensor
    info = {k: TensorInfo(tuple(v.shape), v.dtype) for k, v in tensors.items()}
    make_plan(read_json(config_file), info, str(packed))
    if names.LM_HEAD in tensors:  # safetensors do not share memory
        tensors[names.LM_HEAD] = tensors[names.LM_HEAD].clone()
    return {name: tensor.contiguous() for name, tensor in tensors.items()}


if __name__ == "__main__":
    run(main)
