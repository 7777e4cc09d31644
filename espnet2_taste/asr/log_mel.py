"""ESPnet's log-mel features: the same in a batch as alone, and at any level."""

import math

import torch

from espnet2_taste.io.late_import import compiler_left_out
from espnet2_taste.nn.padding import reflect
from espnet2_taste.nn.segments import length_mask

with compiler_left_out():
    from espnet2.asr.frontend.default import DefaultFrontend

LEVEL = 0.08  # RMS of evened speech, -22 dB
QUIETEST = 1e-4  # RMS below which nothing is raised further, -80 dB
POWER_FLOOR = 2e-5  # of the mel bins of evened speech


class LogMelFrontend(DefaultFrontend):
    """ESPnet's ``default`` frontend, on one channel, without its fault in a batch.

    ESPnet reflects the *padded* batch at its end, so that the last frames of a shorter
    item meet zeros and not the item's reflection. Here each item is reflected at its
    own end; one that is shorter than half a window is reflected to and fro.

    Args:
        even_level: remove each utterance's DC offset, bring it to one level, and hide
            what lies far below it (noise, the last bit): features then do not depend
            on how loud it was recorded. Old configurations have not the option and
            keep their meaning; parts that share features must agree on it.
        conf: see :class:`DefaultFrontend`.
    """

    def __init__(self, even_level: bool = False, **conf):
        super().__init__(**conf)
        self.even_level = even_level

    @property
    def reach(self) -> int | None:
        """See :class:`~espnet2_taste.asr.feature_stream.FeatureStream`."""
        local = self.stft.center and not self.even_level
        return self.stft.n_fft // 2 if local else None

    def forward(
        self, input: torch.Tensor, input_lengths: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, N) waveforms, (B,) int64 samples -> (B, T, n_mels) float32 features, 0 in
        the padding, and (B,) frames: N // hop_length + 1, or with ``center: false``
        those that lie inside (at least 1)."""
        if self.even_level:
            input = at_level(input, input_lengths)
        size, hop = self.stft.n_fft, self.stft.hop_length
        if self.stft.center:
            frames = input.size(1) // hop + 1
            input = reflect(input, input_lengths, 0, size // 2)
        else:
            input = input * length_mask(input_lengths, input.size(1))
            input = torch.nn.functional.pad(input, (0, max(size - input.size(1), 0)))
            input_lengths = input_lengths.clamp(min=size)
            frames = (input.size(1) - size) // hop + 1
        feats, lengths = super().forward(input, input_lengths)
        feats = feats[:, :frames]
        if self.even_level:
            feats = torch.logaddexp(feats, feats.new_tensor(math.log(POWER_FLOOR)))
            feats = feats * length_mask(lengths, frames)[..., None]
        return feats, lengths


def at_level(wav: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """(B, N) waveforms of (B,) samples -> the same without DC, of RMS ``LEVEL``; zeros
    in the padding."""
    own = length_mask(lengths, wav.size(1))
    # in double precision: the sum of a batch's row is that of the item alone
    wav, count = wav.double() * own, lengths[:, None]
    wav = (wav - wav.sum(1, keepdim=True) / count) * own
    rms = (wav.square().sum(1, keepdim=True) / count).sqrt()
    return (wav * (LEVEL / rms.clamp(min=QUIETEST))).float()
