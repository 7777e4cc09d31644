"""Excitation of CosyVoice 2's HiFT: a phase for each frame, in between a line."""

import math

import torch
from torch.nn import functional as F

from espnet2_taste.vocoder.cosyvoice.mel_spec import MelSpec
from espnet2_taste.vocoder.cosyvoice.source import NUM_HARMONICS, HarmonicSource


def frame_cycles(
    f0: torch.Tensor, spec: MelSpec, start: torch.Tensor | None = None
) -> torch.Tensor:
    """Phases of all harmonics in the middle of each frame, in cycles over the hop.

    Args:
        f0: (B, T) Hz by frame.
        spec: rate of the samples.
        start: (B, NUM_HARMONICS) float64, of the frame before; None: 0.

    Returns:
        (B, NUM_HARMONICS, T) float64.
    """
    harmonic = torch.arange(1, NUM_HARMONICS + 1, device=f0.device)
    step = (f0[:, None] * harmonic[:, None] / spec.sample_rate).double() % 1
    cycles = step.cumsum(-1)
    return cycles if start is None else cycles + start[..., None]


class FrameSource(HarmonicSource):
    """:class:`HarmonicSource` whose harmonics all start in phase."""

    @staticmethod
    def phase(
        f0: torch.Tensor, spec: MelSpec, start: torch.Tensor | None = None
    ) -> torch.Tensor:
        """(B, T) Hz -> (B, NUM_HARMONICS, hop T) cycles, constant at both ends."""
        cycles = spec.hop * frame_cycles(f0, spec, start)
        return F.interpolate(cycles, scale_factor=spec.hop, mode="linear") % 1

    def forward(
        self,
        f0: torch.Tensor,
        offsets: torch.Tensor | None,
        noise: torch.Tensor,
        start: torch.Tensor | None = None,
        before: int = 0,
    ) -> torch.Tensor:
        """See :meth:`HarmonicSource.forward`.

        Args:
            f0: (B, before + T or more) Hz.
            offsets: not used.
            noise: (B, NUM_HARMONICS, hop T).
            start: (B, NUM_HARMONICS) :func:`frame_cycles` of the frame before.
            before: frames that only tell the phase; so do those after T.
        """
        hop = self.spec.hop
        first, samples = before * hop, noise.size(2)
        cycles = self.phase(f0, self.spec, start)[..., first : first + samples]
        f0 = f0[:, before : before + samples // hop]
        return self.excite(f0, 2 * math.pi * cycles.to(f0.dtype), noise)
