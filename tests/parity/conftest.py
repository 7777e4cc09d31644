"""Fixtures computed with the public TASTE reference (not part of this repository)."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from espnet2_taste.taste.quantizer.rvq import ResidualVQQuantizer

DEFAULT = Path(__file__).resolve().parents[3] / "shared" / "parity"


@dataclass
class Parity:
    """The reference's weights and its results.

    Attributes:
        folder: where the fixtures lie.
        config: config.json, the reference model's configuration.
        index: index.json: notes and metadata of every fixture.
        model: the reference model's state dict, float32.
    """

    folder: Path
    config: dict
    index: dict
    model: dict[str, torch.Tensor]

    def load(self, name: str) -> dict[str, torch.Tensor]:
        """Tensors of ``<name>.safetensors``; float16 becomes float32."""
        tensors = load_file(self.folder / f"{name}.safetensors")
        return {
            k: v.float() if v.is_floating_point() else v for k, v in tensors.items()
        }

    def weights(self, prefix: str) -> dict[str, torch.Tensor]:
        """Part of the model's state dict, ``prefix`` removed."""
        return {
            k.removeprefix(prefix): v.clone()
            for k, v in self.model.items()
            if k.startswith(prefix)
        }


@pytest.fixture(scope="session")
def parity() -> Parity:
    """The fixtures in TASTE_PARITY_DIR or ../shared/parity beside the repository."""
    folder = Path(os.environ.get("TASTE_PARITY_DIR", DEFAULT))
    if not (folder / "config.json").is_file():
        pytest.skip(f"no parity fixtures in {folder} (set TASTE_PARITY_DIR)")
    config, index = (
        json.loads((folder / name).read_text(encoding="utf-8"))
        for name in ("config.json", "index.json")
    )
    result = Parity(folder, config, index, {})
    result.model = result.load("model")
    return result


@pytest.fixture
def reference_rvq(parity) -> ResidualVQQuantizer:
    """Our quantizer with the reference's sizes and weights."""
    config = parity.config["audio_tower_config"]["kwargs_for_quantizer"]
    quantizer = ResidualVQQuantizer(
        dim=config["dim"],
        codebook_dim=config["codebook_dim"],
        num_codebooks=config["num_quantizers"],
        codebook_size=config["codebook_size"],
        decay=config["decay"],
        kmeans_iters=config["kmeans_iters"],
    )
    weights = parity.weights("audio_tower.vq.")
    # mlps: dead weights of the reference
    weights = {k: v for k, v in weights.items() if not k.startswith("rvq.mlps.")}
    project = "rvq.project_"
    quantizer.load_state_dict(
        {k.replace(project, "project_"): v for k, v in weights.items()}
    )
    return quantizer
