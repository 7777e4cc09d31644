"""Excitation of the HiFT generator: harmonics of f0 where voiced, noise elsewhere."""

import math

import torch

from espnet2_taste.vocoder.cosyvoice.mel_spec import MelSpec

NUM_HARMONICS = 9  # the fundamental and 8 overtones
VOICED_HZ = 10.0
SINE_GAIN = 0.1
VOICED_NOISE = 0.003
UNVOICED_NOISE = SINE_GAIN / 3


def running_cycles(f0: torch.Tensor, spec: MelSpec) -> torch.Tensor:
    """Phases of all harmonics at every sample, in cycles since the start.

    f0 is constant within a frame, so the running sum (which includes the first sample)
    is affine there. It is formed in double precision: in float32 a phase of ten
    thousand cycles, ten seconds of the top harmonic, would be good to 1e-3 cycles only.

    Args:
        f0: (B, T) Hz by frame.
        spec: its hop is the samples of a frame.

    Returns:
        (B, NUM_HARMONICS, hop T) float64.
    """
    harmonic = torch.arange(1, NUM_HARMONICS + 1, device=f0.device)
    step = (f0[:, None] * harmonic[:, None] / spec.sample_rate).double()
    start = spec.hop * (step.cumsum(-1) - step)
    sample = torch.arange(1, spec.hop + 1, device=f0.device)
    return (start[..., None] + step[..., None] * sample).flatten(2)


def running_phase(f0: torch.Tensor, spec: MelSpec) -> torch.Tensor:
    """:func:`running_cycles` modulo 1."""
    return running_cycles(f0, spec) % 1


class HarmonicSource(torch.nn.Module):
    """e_h = voiced 0.1 sin(phase_h + offset_h) + noise_h; source = tanh(W e).

    Args:
        spec: rate of the samples, and how many a frame has.
    """

    phase = staticmethod(running_phase)

    def __init__(self, spec: MelSpec):
        super().__init__()
        self.spec = spec
        self.l_linear = torch.nn.Linear(NUM_HARMONICS, 1)

    def forward(
        self, f0: torch.Tensor, offsets: torch.Tensor, noise: torch.Tensor
    ) -> torch.Tensor:
        """Make the excitation signal.

        Args:
            f0: (B, T) Hz by frame.
            offsets: (B, NUM_HARMONICS) radians; the fundamental's counts as 0.
            noise: (B, NUM_HARMONICS, hop T), normal.

        Returns:
            (B, hop T).
        """
        fundamental = torch.arange(NUM_HARMONICS, device=f0.device) == 0
        offsets = offsets.masked_fill(fundamental, 0.0)
        cycles = self.phase(f0, self.spec).to(f0.dtype)
        return self.excite(f0, 2 * math.pi * cycles + offsets[..., None], noise)

    def excite(
        self, f0: torch.Tensor, phase: torch.Tensor, noise: torch.Tensor
    ) -> torch.Tensor:
        """Signal of known phases, (B, NUM_HARMONICS, hop T) radians."""
        voiced = (
            (f0 > VOICED_HZ).to(f0.dtype).repeat_interleave(self.spec.hop, 1)[:, None]
        )
        level = VOICED_NOISE * voiced + UNVOICED_NOISE * (1 - voiced)
        excitation = SINE_GAIN * phase.sin() * voiced + level * noise
        return torch.tanh(self.l_linear(excitation.transpose(1, 2)).squeeze(2))
