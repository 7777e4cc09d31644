"""ESPnet task of the `world_vq` units and their vocoder: WORLD features -> units."""

import argparse

import numpy as np
import torch
from espnet2.utils.get_default_kwargs import get_default_kwargs
from espnet2.utils.nested_dict_action import NestedDictAction

from espnet2_taste.io.arks import first_array, read_arks
from espnet2_taste.io.class_conf import check_conf
from espnet2_taste.io.values import check_numbers
from espnet2_taste.tasks.options import data_files
from espnet2_taste.tasks.part_task import PartTask
from espnet2_taste.units.analysis import FRAMES_PER_UNIT
from espnet2_taste.units.world_vq import WorldVQ

STATISTICS_OF = 5000  # utterances, at most


class UnitsPreprocessor:
    """``(uid, data) -> data``: a random crop of the features.

    Args:
        crop_units: its length; shorter utterances stay whole. None: no crop.
        frames_per_unit: of the features.
    """

    def __init__(self, crop_units: int | None, frames_per_unit: int = FRAMES_PER_UNIT):
        self.crop_units, self.frames_per_unit = crop_units, frames_per_unit

    def __call__(self, uid: str, data: dict) -> dict[str, np.ndarray]:
        """Raises ValueError on features that are no numbers, naming the utterance."""
        for name, array in data.items():
            check_numbers(f"utterance {uid}: {name}", array)
        units = len(data["feats"]) // self.frames_per_unit
        if self.crop_units is None or units <= self.crop_units:
            return data
        start = np.random.randint(units - self.crop_units + 1)
        end = start + self.crop_units
        frames = slice(start * self.frames_per_unit, end * self.frames_per_unit)
        return {**data, "feats": data["feats"][frames]}


class UnitsTask(PartTask):
    """Builds and trains :class:`~espnet2_taste.units.world_vq.WorldVQ`."""

    data_names = ("feats",)
    more_data_names = ("spk_emb",)

    @classmethod
    def add_task_arguments(cls, parser: argparse.ArgumentParser) -> None:
        group = parser.add_argument_group(description="Task related")
        group.add_argument(
            "--model_conf",
            action=NestedDictAction,
            default=get_default_kwargs(WorldVQ),
            help="The keyword arguments for model class; spk_embed_dim is read from "
            "the training data.",
        )
        group.add_argument(
            "--crop_units", type=int, default=32, help="Longest crop in training"
        )

    @classmethod
    def build_preprocess_fn(cls, args: argparse.Namespace, train: bool):
        per_unit = args.model_conf.get("frames_per_unit", FRAMES_PER_UNIT)
        return UnitsPreprocessor(args.crop_units if train else None, per_unit)

    @classmethod
    def new_model(cls, args: argparse.Namespace) -> WorldVQ:
        files = data_files(args)
        width = 0
        if "spk_emb" in files:
            width = len(first_array(files["spk_emb"]))
        args.model_conf["spk_embed_dim"] = width
        check_conf("--model_conf", WorldVQ, args.model_conf)
        model = WorldVQ(**args.model_conf)
        model.set_statistics(*feature_statistics(files["feats"], model.feature_dim))
        return model


def feature_statistics(scp: str, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviation (D,) of WORLD features, of many utterances at most.

    Raises:
        ValueError: features of another width, or none at all.
    """
    table = read_arks(scp)
    keys = sorted(table)
    frames, total, squares = 0, np.zeros(width), np.zeros(width)
    for key in keys[:: -(-len(keys) // STATISTICS_OF) or 1]:
        rows = np.asarray(table[key], dtype=np.float64)
        if rows.ndim != 2 or rows.shape[1] != width:
            raise ValueError(
                f"{scp}: {key} has features of width {rows.shape[-1]}, this model "
                f"takes {width}: run bin.extract_world with the same --config"
            )
        frames += len(rows)
        total += rows.sum(0)
        squares += (rows**2).sum(0)
    if not frames:
        raise ValueError(f"{scp}: no utterance to train units on")
    mean = total / frames
    std = np.sqrt(np.maximum(squares / frames - mean**2, 0))
    return torch.from_numpy(mean), torch.from_numpy(std)
