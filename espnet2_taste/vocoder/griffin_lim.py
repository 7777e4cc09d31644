"""The `griffin_lim` vocoder: the plain fallback for any kind of units.

A unit sounds like the mean log-mel spectrogram of its occurrences; Griffin-Lim
invents the phases. It knows no speakers: every voice is the training set's average.
"""

from collections.abc import Iterable
from pathlib import Path

import torch
import torchaudio

from espnet2_taste.io.checkpoint import save_tensors
from espnet2_taste.io.model_folder import load_tensors
from espnet2_taste.units.unit_spec import UnitSpec
from espnet2_taste.vocoder.abs_vocoder import AbsVocoder

FILE_NAME = "griffin_lim.pth"
N_FFT = 1024
HOP_LENGTH = 160
NUM_MELS = 80
POWER_FLOOR = 1e-8


class GriffinLimVocoder(AbsVocoder):
    """Mean log-mel frames by unit, then Griffin-Lim.

    Args:
        table: (num_units, frames_per_unit, NUM_MELS) log-mel power, 10 ms frames at
            16 kHz.
        num_iterations: of Griffin-Lim.
    """

    sample_rate = 16000

    def __init__(self, table: torch.Tensor, num_iterations: int = 32):
        self.table = table
        self.samples_per_unit = table.shape[1] * HOP_LENGTH
        self.unit_spec = UnitSpec(len(table), self.sample_rate / self.samples_per_unit)
        self.griffin_lim = torchaudio.transforms.GriffinLim(
            N_FFT, num_iterations, hop_length=HOP_LENGTH, power=2.0, rand_init=False
        ).to(table.device)
        # The least-squares inverse; a solver per utterance gains nothing audible.
        self.mel_to_linear = torch.linalg.pinv(_filterbank().T).to(table.device)

    @classmethod
    def from_pretrained(cls, path: str, device: str = "cpu") -> "GriffinLimVocoder":
        """Load ``griffin_lim.pth``, or the folder that holds it."""
        file = Path(path)
        if file.is_dir():
            file = file / FILE_NAME
        return cls(load_tensors(file, "bin/fit_griffin_lim.py")["table"].to(device))

    @classmethod
    def pack(cls, path: str, folder: Path) -> None:
        cls.from_pretrained(path).save(folder)

    @classmethod
    def fit(
        cls,
        pairs: Iterable[tuple[torch.Tensor, torch.Tensor]],
        num_units: int,
        samples_per_unit: int,
    ) -> "GriffinLimVocoder":
        """Average the log-mel frames of each unit.

        Args:
            pairs: 1-D int64 units and 1-D float waveform (16 kHz) of each utterance.
            num_units: vocabulary size. Units never seen get the mean of all.
            samples_per_unit: at 16 kHz, a multiple of HOP_LENGTH.

        Raises:
            ValueError: a unit length that is not whole frames, or no unit at all.
        """
        frames, rest = divmod(samples_per_unit, HOP_LENGTH)
        if rest:
            raise ValueError(f"{samples_per_unit} samples a unit is no multiple of 160")
        mel_transform = torchaudio.transforms.Spectrogram(N_FFT, hop_length=HOP_LENGTH)
        filterbank = _filterbank()
        total = torch.zeros(num_units, frames, NUM_MELS)
        count = torch.zeros(num_units)
        for units, wav in pairs:
            if len(units) == 0:
                continue
            missing = len(units) * samples_per_unit - len(wav)
            wav = torch.nn.functional.pad(wav, (0, missing))
            mel = mel_transform(wav)[:, : len(units) * frames].T @ filterbank
            mel = mel.clamp(min=POWER_FLOOR).log().reshape(len(units), frames, -1)
            total.index_add_(0, units, mel)
            count.index_add_(0, units, torch.ones(len(units)))
        if count.sum() == 0:
            raise ValueError("no units to fit the Griffin-Lim vocoder to")
        table = total / count.clamp(min=1)[:, None, None]
        table[count == 0] = total.sum(0) / count.sum()
        return cls(table)

    def save(self, output_dir: str | Path) -> None:
        """Write ``griffin_lim.pth`` into a folder."""
        save_tensors(Path(output_dir) / FILE_NAME, {"table": self.table.cpu()})

    @torch.no_grad()
    def __call__(
        self, units: list[torch.Tensor], spk_emb: torch.Tensor | None = None
    ) -> list[torch.Tensor]:
        """See AbsVocoder; ``spk_emb`` is not used."""
        self.check(units, spk_emb)
        wavs = []
        for item in units:
            num_samples = len(item) * self.samples_per_unit
            if num_samples == 0:
                wavs.append(torch.zeros(0))
                continue
            mel = self.table[item.to(self.table.device)].flatten(0, 1).exp()
            power = (mel @ self.mel_to_linear.T).clamp(min=POWER_FLOOR).T
            # One more frame than hops, and room for the transform's reflection.
            power = torch.nn.functional.pad(power, (0, 5), mode="replicate")
            wav = self.griffin_lim(power)[:num_samples]
            wavs.append((wav / wav.abs().max().clamp(min=0.99) * 0.99).cpu())
        return wavs


def _filterbank() -> torch.Tensor:
    """(N_FFT // 2 + 1, NUM_MELS) mel filters."""
    return torchaudio.functional.melscale_fbanks(
        N_FFT // 2 + 1, 0.0, 8000.0, NUM_MELS, GriffinLimVocoder.sample_rate
    )
