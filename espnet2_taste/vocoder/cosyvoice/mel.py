"""The mel spectrogram that the flow predicts and HiFT reads."""

import torch
import torchaudio
from torch import nn

from espnet2_taste.vocoder.cosyvoice.flow import MEL_SIZE
from espnet2_taste.vocoder.cosyvoice.padding import frame_mask, reflect
from espnet2_taste.vocoder.cosyvoice.source import HOP_LENGTH, SAMPLE_RATE

N_FFT = 1024
MAX_HZ = 8000
FLOOR = 1e-5
EDGE = (N_FFT - HOP_LENGTH) // 2  # samples reflected at each end


class TargetMel(nn.Module):
    """Natural log of 80 mel magnitudes, 256 samples a frame at 22 050 Hz.

    Each item is reflected at its own end: a batch gives what single items give.

    Args:
        fs: sampling rate of the input; another than 22 050 is resampled. The mel ends
            at 8 kHz, so 16 000 loses nothing.
    """

    def __init__(self, fs: int = SAMPLE_RATE):
        super().__init__()
        import librosa

        self.fs = fs
        filters = librosa.filters.mel(
            sr=SAMPLE_RATE, n_fft=N_FFT, n_mels=MEL_SIZE, fmax=MAX_HZ
        )
        # Functions of nothing: nothing a checkpoint need carry.
        self.register_buffer("filters", torch.from_numpy(filters), persistent=False)
        self.register_buffer("window", torch.hann_window(N_FFT), persistent=False)

    @torch.no_grad()
    def forward(
        self, speech: torch.Tensor, lengths: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Compute.

        Args:
            speech: (B, N) float waveforms in [-1, 1], zeros in the padding.
            lengths: (B,) int64 samples, each more than 384 at 22 050 Hz.

        Returns:
            (B, 80, T), zeros in the padding, and the frames of each item (B,).

        Raises:
            ValueError: the batch is shorter than 385 samples.
        """
        with torch.autocast(speech.device.type, enabled=False):
            speech = torchaudio.functional.resample(
                speech.float(), self.fs, SAMPLE_RATE
            )
            lengths = -(-lengths * SAMPLE_RATE // self.fs)
            if speech.size(1) <= EDGE:
                raise ValueError(
                    f"{speech.size(1)} samples at {SAMPLE_RATE} Hz are too short for a "
                    f"mel frame: {EDGE + 1} or more are needed"
                )
            spectrum = torch.stft(
                reflect(speech, lengths, EDGE),
                N_FFT,
                HOP_LENGTH,
                window=self.window,
                center=False,
                return_complex=True,
            )
            power = spectrum.real.square() + spectrum.imag.square()
            mel = self.filters @ (power + 1e-9).sqrt()
            frames = lengths // HOP_LENGTH
            log = mel.clamp(min=FLOOR).log()
            return log * frame_mask(frames, log.size(2)), frames
