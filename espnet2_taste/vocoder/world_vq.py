"""The `world_vq` vocoder: the decoder of WorldVQ, then WORLD synthesis."""

from pathlib import Path

import torch

from espnet2_taste.io.model_folder import copy_model, load_model
from espnet2_taste.units import world
from espnet2_taste.units.world_vq import WorldVQ, WorldVQUnitExtractor
from espnet2_taste.vocoder.abs_vocoder import AbsVocoder


class WorldVQVocoder(AbsVocoder):
    """Units + speaker embedding -> 16 kHz waveform of 640 samples a 25 Hz unit.

    The network decodes the batch at once; WORLD then synthesises each utterance.

    Args:
        model: in eval mode.
    """

    sample_rate = world.SAMPLE_RATE

    def __init__(self, model: WorldVQ):
        self.model = model
        self.unit_spec = WorldVQUnitExtractor(model).spec
        self.spk_embed_dim = model.spk_embed_dim or None  # 0: not conditioned

    @classmethod
    def from_pretrained(cls, path: str, device: str = "cpu") -> "WorldVQVocoder":
        """Load the folder that bin/units_train.py wrote."""
        return cls(load_model(path, WorldVQ, "bin/units_train.py", device))

    @classmethod
    def pack(cls, path: str, folder: Path) -> None:
        copy_model(path, folder, WorldVQ, "bin/units_train.py")

    def __call__(
        self, units: list[torch.Tensor], spk_emb: torch.Tensor
    ) -> list[torch.Tensor]:
        """See AbsVocoder; no units give no samples."""
        self.check(units, spk_emb)
        lengths = torch.tensor([len(item) for item in units])
        if lengths.sum() == 0:
            return [torch.zeros(0) for _ in units]
        padded = torch.nn.utils.rnn.pad_sequence(units, batch_first=True)
        device = self.model.mean.device
        features = self.model.decode(
            padded.to(device), lengths.to(device), spk_emb.to(device)
        ).cpu()
        frames = (lengths * self.model.frames_per_unit).tolist()
        return [
            torch.from_numpy(world.synthesise(item[:n].numpy(), self.model.bandwidth))
            for item, n in zip(features, frames, strict=True)
        ]
