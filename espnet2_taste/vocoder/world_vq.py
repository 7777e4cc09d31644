"""The `world_vq` vocoder: the decoder of WorldVQ, then WORLD synthesis."""

from pathlib import Path

import torch

from espnet2_taste.io.model_folder import copy_model, load_model
from espnet2_taste.units import world
from espnet2_taste.units.world_stream import WorldStream
from espnet2_taste.units.world_vq import WorldVQ, WorldVQUnitExtractor
from espnet2_taste.vocoder.abs_vocoder import AbsVocoder, AbsVocoderStreams


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
        band = self.model.bandwidth
        return [
            torch.from_numpy(world.synthesise(item.numpy(), band))
            for item in self.features(units, spk_emb)
        ]

    def features(
        self, units: list[torch.Tensor], spk_emb: torch.Tensor
    ) -> list[torch.Tensor]:
        """(F, D) WORLD features of each utterance, on the CPU; one batch."""
        lengths = torch.tensor([len(item) for item in units])
        if lengths.sum() == 0:
            return [torch.zeros(0, self.model.feature_dim) for _ in units]
        padded = torch.nn.utils.rnn.pad_sequence(units, batch_first=True)
        device = self.model.mean.device
        features = self.model.decode(
            padded.to(device), lengths.to(device), spk_emb.to(device)
        ).cpu()
        counts = (lengths * self.model.frames_per_unit).tolist()
        return [item[:count] for item, count in zip(features, counts, strict=True)]

    def open_streams(self, spk_emb: torch.Tensor, **options) -> "WorldVQStreams":
        """See AbsVocoder and :class:`WorldVQStreams`."""
        return WorldVQStreams(self, spk_emb)


class WorldVQStreams(AbsVocoderStreams):
    """Utterances that sound a few units behind those that have come.

    The network sees ``decoder_blocks * (kernel_size // 2)`` units each way; it computes
    each unit with those around it, exactly as in the whole utterance. WORLD's noise and
    what it does about clipping differ, see
    :mod:`~espnet2_taste.units.world_stream`.
    """

    def __init__(self, vocoder: WorldVQVocoder, spk_emb: torch.Tensor):
        super().__init__(vocoder, spk_emb)
        self.reach = vocoder.model.reach
        self.held = [self.nothing] * self.count  # units still to be looked at
        self.past = [0] * self.count  # of these, how many have been decoded
        self.world = [WorldStream(vocoder.model.bandwidth) for _ in range(self.count)]

    def speak(self, units: list[torch.Tensor], ends: list[bool]) -> list[torch.Tensor]:
        wavs = [torch.zeros(0) for _ in units]
        rows, windows = [], []
        for row, item in enumerate(units):
            held = self.held[row] = torch.cat([self.held[row], item])
            known = len(held) if ends[row] else len(held) - self.reach
            if known > self.past[row]:
                rows.append(row)
                windows.append(slice(self.past[row], known))
            elif ends[row]:
                wavs[row] = self._sound(row, torch.zeros(0, 0), True)
        if rows:
            held = [self.held[row] for row in rows]
            features = self.vocoder.features(held, self.spk_emb[rows])
            for row, window, item in zip(rows, windows, features, strict=True):
                size = self.vocoder.model.frames_per_unit
                item = item.unflatten(0, (-1, size))[window].flatten(0, 1)
                wavs[row] = self._sound(row, item, ends[row])
                kept = max(window.stop - self.reach, 0)
                self.held[row] = self.held[row][kept:]
                self.past[row] = window.stop - kept
        return wavs

    def _sound(self, row: int, features: torch.Tensor, last: bool) -> torch.Tensor:
        width = self.vocoder.model.feature_dim
        features = features.reshape(-1, width).numpy()
        return torch.from_numpy(self.world[row].push(features, last))
