"""What the mel between flow and HiFT is; defaults are CosyVoice 1's."""

from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True)
class MelSpec:
    """The contract between target mel, flow and HiFT.

    Attributes:
        sample_rate: of the waveform, Hz.
        n_fft: size of the Fourier transform, samples.
        hop: samples between frames.
        win: size of the window, samples.
        num_mels: bins.
        fmin, fmax: lowest and highest frequency of the bins, Hz.
    """

    sample_rate: int = 22050
    n_fft: int = 1024
    hop: int = 256
    win: int = 1024
    num_mels: int = 80
    fmin: float = 0.0
    fmax: float = 8000.0

    def count_frames(self, units, unit_rate: float = 50.0):
        """Frames of a number of units: trunc(n / unit_rate * sample_rate / hop).

        Args:
            units: int or int64 tensor.
            unit_rate: units a second.
        """
        per_unit = Fraction(self.sample_rate, self.hop) / Fraction(unit_rate)
        return units * per_unit.numerator // per_unit.denominator
