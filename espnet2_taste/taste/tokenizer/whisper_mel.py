"""Whisper's log-mel spectrogram as an ESPnet frontend."""

import torch
from espnet2.asr.frontend.abs_frontend import AbsFrontend

from espnet2_taste.nn.segments import length_mask

SAMPLE_RATE = 16000
N_FFT = 400
HOP_LENGTH = 160
MAX_SECONDS = 30


class WhisperMelFrontend(AbsFrontend):
    """log10-mel, 100 frames a second, floored 80 dB below the utterance's maximum.

    A shorter utterance sees zeros after its end whatever it is batched with, and the
    maximum is its own, so a batch gives what single utterances give, and
    ``pad_to_30s: false`` gives the first frames of ``pad_to_30s: true``.

    Args:
        n_mels: 80 (Whisper up to large-v2) or 128 (large-v3).
        pad_to_30s: always return 3000 frames, as Whisper was trained; the padding
            is the utterance's floor, not 0. False: as many frames as the longest
            utterance has, 0 in the padding.
        fs: sampling rate of the input; Whisper knows 16000 only.
        floor: 80 dB below the utterance's maximum. False: none, for an encoder that
            floors each of its windows (``window_s``); a frame then depends on the 25 ms
            around it alone.
    """

    hop_length = HOP_LENGTH

    def __init__(
        self,
        n_mels: int = 80,
        pad_to_30s: bool = True,
        fs: int = 16000,
        floor: bool = True,
    ):
        super().__init__()
        if fs != SAMPLE_RATE:
            raise ValueError(f"whisper_mel: fs must be {SAMPLE_RATE}, not {fs}")
        import librosa

        self.n_mels = n_mels
        self.pad_to_30s = pad_to_30s
        self.floor = floor
        filters = librosa.filters.mel(sr=fs, n_fft=N_FFT, n_mels=n_mels)
        # Functions of the configuration: nothing a checkpoint need carry.
        self.register_buffer("filters", torch.from_numpy(filters), persistent=False)
        self.register_buffer("window", torch.hann_window(N_FFT), persistent=False)

    def output_size(self) -> int:
        """Mel bins."""
        return self.n_mels

    @property
    def reach(self) -> int | None:
        """See :class:`~espnet2_taste.asr.feature_stream.FeatureStream`."""
        return None if self.floor or self.pad_to_30s else N_FFT // 2

    def forward(
        self, input: torch.Tensor, input_lengths: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Compute features.

        Args:
            input: (B, N) float waveforms in [-1, 1], 16 kHz.
            input_lengths: (B,) int64 samples.

        Returns:
            feats (B, T, n_mels) float32 and their lengths (B,) in frames
            (samples // 160, at least 1).

        Raises:
            ValueError: audio longer than 30 s with ``pad_to_30s``.
        """
        samples = input.size(1)
        limit = MAX_SECONDS * SAMPLE_RATE
        if self.pad_to_30s and samples > limit:
            raise ValueError(
                f"whisper_mel: {samples / SAMPLE_RATE:.1f} s of audio, over the limit "
                f"of {MAX_SECONDS} s: filter or split the data, or pad_to_30s: false"
            )
        frames = max(1, samples // HOP_LENGTH)
        # N_FFT zeros keep every frame that touches audio, so that the maximum does
        # not depend on the padding.
        target = limit if self.pad_to_30s else (frames * HOP_LENGTH + N_FFT)
        # In float32 every FFT library has errors of its own, of 1e-5 in a silent bin.
        wav = input.double() * length_mask(input_lengths, samples)
        wav = torch.nn.functional.pad(wav, (0, max(0, target - samples)))
        window = self.window.double()
        with torch.autocast(input.device.type, enabled=False):
            spectrum = torch.stft(
                wav, N_FFT, HOP_LENGTH, window=window, return_complex=True
            )
            mel = self.filters @ spectrum[..., :-1].abs().square().float()
        log = mel.clamp(min=1e-10).log10()
        if self.floor:
            log = torch.maximum(log, log.amax(dim=(1, 2), keepdim=True) - 8.0)
        feats = ((log + 4.0) / 4.0).transpose(1, 2)
        lengths = (input_lengths // HOP_LENGTH).clamp(min=1)
        if not self.pad_to_30s:
            mask = length_mask(lengths, frames)
            feats = feats[:, :frames] * mask[..., None]
        return feats, lengths
