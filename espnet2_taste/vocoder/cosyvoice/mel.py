"""The mel spectrogram that the flow predicts and HiFT reads."""

import torch
from torch import nn

from espnet2_taste.nn.padding import frame_mask, reflect
from espnet2_taste.vocoder.cosyvoice.mel_spec import MelSpec

FLOOR = 1e-5


class TargetMel(nn.Module):
    """Natural log of mel magnitudes.

    Each item is reflected at its own end: a batch gives what single items give.

    Args:
        spec: sizes and rates.
    """

    def __init__(self, spec: MelSpec | None = None):
        super().__init__()
        import librosa

        self.spec = spec = spec or MelSpec()
        self.edge = (spec.n_fft - spec.hop) // 2  # samples reflected at each end
        filters = librosa.filters.mel(
            sr=spec.sample_rate,
            n_fft=spec.n_fft,
            n_mels=spec.num_mels,
            fmin=spec.fmin,
            fmax=spec.fmax,
        )
        # Functions of nothing: nothing a checkpoint need carry.
        self.register_buffer("filters", torch.from_numpy(filters), persistent=False)
        window = torch.hann_window(spec.win)
        self.register_buffer("window", window, persistent=False)

    def forward(
        self, speech: torch.Tensor, lengths: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Compute the mel of a batch.

        Args:
            speech: (B, N) float waveforms in [-1, 1], zeros in the padding.
            lengths: (B,) int64 samples, each ``hop`` or more.

        Returns:
            (B, num_mels, T), zeros in the padding, and the frames of each item (B,).

        Raises:
            ValueError: the batch is shorter than that.
        """
        with torch.autocast(speech.device.type, enabled=False):
            speech, spec = speech.float(), self.spec
            if speech.size(1) < spec.hop:
                raise ValueError(
                    f"{speech.size(1)} samples at {spec.sample_rate} Hz are too short "
                    f"for a mel frame: {spec.hop} or more are needed"
                )
            spectrum = torch.stft(
                reflect(speech, lengths, self.edge, self.edge),
                spec.n_fft,
                spec.hop,
                spec.win,
                window=self.window,
                center=False,
                return_complex=True,
            )
            power = spectrum.real.square() + spectrum.imag.square()
            mel = self.filters @ (power + 1e-9).sqrt()
            frames = lengths // spec.hop
            log = mel.clamp(min=FLOOR).log()
            return log * frame_mask(frames, log.size(2)), frames
