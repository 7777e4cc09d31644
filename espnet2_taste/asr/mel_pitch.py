"""ESPnet's log-mel features with pitch appended."""

import math

import torch
from espnet2.asr.frontend.abs_frontend import AbsFrontend

from espnet2_taste.asr.log_mel import LogMelFrontend, at_level
from espnet2_taste.asr.pitch import PitchExtractor
from espnet2_taste.nn.segments import length_mask


class MelPitchFrontend(AbsFrontend):
    """ESPnet's ``default`` frontend, then log-F0 and voicing.

    The first ``n_mels`` dimensions are those of an ESPnet ASR model trained with
    ``frontend: default`` and the same ``frontend_conf``; a recogniser's encoder is
    fed with them alone. The last two are (log F0 - centre) / spread times the voicing
    degree, and the voicing degree itself: log-mel bins do not resolve pitch.

    Args:
        fs: sampling rate in Hz, a number or ESPnet's "16k".
        n_fft: FFT size of the mel part.
        hop_length: samples between frames.
        n_mels: mel bins.
        f0_min: lowest F0 searched, in Hz.
        f0_max: highest F0 searched, in Hz.
        pitch_window_ms: analysis window of the pitch tracker.
        mel_conf: further arguments of :class:`LogMelFrontend`, such as ``even_level``,
            which is of the pitch, too.
    """

    def __init__(
        self,
        fs: int | str = 16000,
        n_fft: int = 512,
        hop_length: int = 128,
        n_mels: int = 80,
        f0_min: float = 60.0,
        f0_max: float = 420.0,
        pitch_window_ms: float = 40.0,
        **mel_conf,
    ):
        super().__init__()
        self.mel = LogMelFrontend(
            fs=fs, n_fft=n_fft, hop_length=hop_length, n_mels=n_mels, **mel_conf
        )
        self.even_level = self.mel.even_level
        self.hop_length = hop_length
        self.pitch = PitchExtractor(
            fs=int(self.mel.logmel.mel_options["sr"]),
            hop_length=hop_length,
            f0_min=f0_min,
            f0_max=f0_max,
            window_ms=pitch_window_ms,
        )
        self.first_centre = 0 if self.mel.stft.center else n_fft // 2
        self.centre = 0.5 * (math.log(f0_min) + math.log(f0_max))
        self.spread = 0.25 * (math.log(f0_max) - math.log(f0_min))

    def output_size(self) -> int:
        """Mel bins and two."""
        return self.mel.output_size() + 2

    def forward(
        self, input: torch.Tensor, input_lengths: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Compute features.

        Args:
            input: (B, N) float waveforms in [-1, 1].
            input_lengths: (B,) int64 samples.

        Returns:
            feats (B, T, n_mels + 2) float32, 0 in the padding, and lengths (B,).
        """
        if self.even_level:
            input = at_level(input, input_lengths)
        mel, lengths = self.mel(input, input_lengths)
        f0, voicing = self.pitch(
            input, input_lengths, mel.size(1), self.first_centre, lengths
        )
        log_f0 = (f0.log() - self.centre) / self.spread
        pitch = torch.stack((log_f0 * voicing, voicing), dim=-1)
        mask = length_mask(lengths, mel.size(1))
        return torch.cat((mel, (pitch * mask[..., None]).to(mel)), dim=-1), lengths
