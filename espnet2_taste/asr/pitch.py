"""Fundamental frequency of a batch of waveforms, without loops."""

import math

import torch

from espnet2_taste.nn.segments import length_mask

#: An utterance's F0 lies within .75 of its first and 1.5 of its third quartile (Hirst
#: 2011); what does not is an octave error.
RANGE = (0.75, 1.5)


class PitchExtractor(torch.nn.Module):
    r"""F0 and voicing from the normalised cross-correlation function (RAPT's).

    The waveform is low-passed and decimated to about 8 kHz, enough for the periods
    searched. A window of W samples around each frame, mean removed, is compared with
    itself delayed by tau, over the n = W - tau_max samples that every delay has:

    .. math:: \phi(\tau) = \frac{\sum_i x_i x_{i+\tau}}
              {\sqrt{\sum_i x_i^2 \sum_i x_{i+\tau}^2}}

    All delays come from one FFT product and one cumulative sum. A periodic signal has
    :math:`\phi = 1` at every multiple of its period; a small cost per octave prefers
    the shortest, and a second pass prefers delays near the median of the voiced
    neighbourhood, within the range of the whole utterance's quartiles (:data:`RANGE`),
    which removes what octave errors are left. The chosen peak is refined by a parabola.

    Args:
        fs: sampling rate in Hz.
        hop_length: samples between frames.
        f0_min, f0_max: search range in Hz.
        window_ms: analysis window; two periods of ``f0_min`` at least.
        octave_cost: subtracted from phi per octave of delay.
        jump_cost: subtracted from phi per octave away from the local median.
        median_frames: neighbourhood of that median (odd).
        voicing_range: phi at which voicing degree leaves 0 and reaches 1.
        noise_floor: energy, relative to the loudest frame of the utterance, that is
            added to the denominator: what is 40 dB below speech is not voiced.
    """

    def __init__(
        self,
        fs: int = 16000,
        hop_length: int = 160,
        f0_min: float = 60.0,
        f0_max: float = 420.0,
        window_ms: float = 40.0,
        octave_cost: float = 0.05,
        jump_cost: float = 0.2,
        median_frames: int = 11,
        voicing_range: tuple[float, float] = (0.4, 0.7),
        noise_floor: float = 1e-4,
    ):
        super().__init__()
        if not 0 < f0_min < f0_max <= fs / 8:
            raise ValueError(
                f"pitch: need 0 < f0_min < f0_max <= fs/8, got {f0_min}, {f0_max}, {fs}"
            )
        self.step = math.gcd(hop_length, max(1, fs // 8000))
        self.hop_length = hop_length // self.step
        fs = fs / self.step
        self.fs = fs
        self.min_lag = math.floor(fs / f0_max)
        self.max_lag = math.ceil(fs / f0_min)
        self.window = 2 * round(window_ms * fs / 2000)
        self.span = self.window - self.max_lag - 1
        if self.window < 2 * self.max_lag:
            raise ValueError(
                f"pitch: window_ms {window_ms:g} is shorter than two periods of "
                f"f0_min {f0_min:g} Hz ({2000 / f0_min:.0f} ms)"
            )
        self.octave_cost = octave_cost
        self.jump_cost = jump_cost
        self.median_frames = median_frames
        self.voicing_range = voicing_range
        self.noise_floor = noise_floor
        lags = torch.arange(self.min_lag, self.max_lag + 1)
        octaves = torch.log2(lags / self.min_lag)
        self.register_buffer("octaves", octaves, persistent=False)
        taps = torch.hann_window(8 * self.step + 1, periodic=False)
        self.register_buffer("low_pass", taps / taps.sum(), persistent=False)

    def forward(
        self,
        wav: torch.Tensor,
        lengths: torch.Tensor,
        num_frames: int,
        first_centre: int = 0,
        frame_lengths: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Track pitch; an item's frames depend on no frame after its last one.

        Args:
            wav: (B, N) float waveforms.
            lengths: (B,) int64 samples.
            num_frames: T; frame t is centred at ``first_centre + t * hop_length``.
            first_centre: sample at the centre of frame 0.
            frame_lengths: (B,) int64 frames of each item; None: all have T.

        Returns:
            F0 (B, T) in Hz (a guess where unvoiced) and voicing degree (B, T) in
            [0, 1], float32.
        """
        with torch.autocast(wav.device.type, enabled=False):
            frames = self._frames(wav, lengths, num_frames, first_centre)
            if frame_lengths is not None:
                own = length_mask(frame_lengths, num_frames)
                frames = frames * own[..., None]
            phi = self._correlate(frames)
        inner = phi[..., 1:-1]
        peak = inner >= torch.maximum(phi[..., :-2], phi[..., 2:])
        score = torch.where(peak, inner, inner - 2.0) - self.octave_cost * self.octaves
        best = score.argmax(dim=-1, keepdim=True)
        octaves = self._voiced_octaves(best, inner.gather(-1, best))
        distance = self.octaves - self._local_median(octaves)
        score = score - self.jump_cost * distance.abs().nan_to_num()  # nan: unvoiced
        score = score - 2.0 * self._out_of_range(octaves)
        best = score.argmax(dim=-1, keepdim=True)
        left, top, right = (phi.gather(-1, best + k) for k in range(3))
        curve = (left - 2 * top + right).clamp(max=-1e-6)
        shift = (0.5 * (left - right) / curve).clamp(-0.5, 0.5)
        f0 = self.fs / (best + self.min_lag + shift).squeeze(-1)
        low, high = self.voicing_range
        voicing = ((top.squeeze(-1) - low) / (high - low)).clamp(0.0, 1.0)
        return f0, voicing

    def _frames(self, wav, lengths, num_frames, first_centre):
        """(B, T, W) windows, zeros outside the utterance."""
        wav = wav.float() * length_mask(lengths, wav.size(1))
        wav = torch.nn.functional.pad(wav, (4 * self.step, 4 * self.step))
        wav = wav.unfold(1, len(self.low_pass), self.step) @ self.low_pass
        # the filter rings on after the end; alone, an item has no room for that
        wav = wav * length_mask((lengths - 1) // self.step + 1, wav.size(1))
        start = self.window // 2 - first_centre // self.step
        needed = (num_frames - 1) * self.hop_length + self.window
        wav = torch.nn.functional.pad(wav, (start, needed - start - wav.size(1)))
        return wav.unfold(1, self.window, self.hop_length)

    def _correlate(self, frames: torch.Tensor) -> torch.Tensor:
        """(B, T, W) -> phi (B, T, lags + 2): min_lag - 1 ... max_lag + 1."""
        frames = frames - frames.mean(dim=-1, keepdim=True)
        size = self.window
        head = torch.fft.rfft(frames[..., : self.span], n=size)
        cross = torch.fft.irfft(head.conj() * torch.fft.rfft(frames, n=size), n=size)
        power = torch.nn.functional.pad(frames.square().cumsum(dim=-1), (1, 0))
        energy = power[..., self.span :] - power[..., : size - self.span + 1]
        lags = slice(self.min_lag - 1, self.max_lag + 2)
        start, delayed = energy[..., :1].clamp(min=0), energy[..., lags].clamp(min=0)
        floor = self.noise_floor * energy[..., :1].amax(dim=1, keepdim=True) + 1e-8
        return cross[..., lags] * ((start + floor) * (delayed + floor)).rsqrt()

    def _voiced_octaves(self, best: torch.Tensor, phi: torch.Tensor) -> torch.Tensor:
        """(B, T, 1) delays of frames and their phi -> (B, T) octaves; nan: unvoiced."""
        voiced = phi > sum(self.voicing_range) / 2
        return torch.where(voiced, self.octaves[best], torch.nan).squeeze(-1)

    def _local_median(self, octaves: torch.Tensor) -> torch.Tensor:
        """(B, T) -> (B, T, 1): median over voiced neighbours, nan if there are none."""
        half = self.median_frames // 2
        padded = torch.nn.functional.pad(octaves, (half, half), value=torch.nan)
        neighbours = padded.unfold(1, self.median_frames, 1)
        return neighbours.nanmedian(dim=-1, keepdim=True).values

    def _out_of_range(self, octaves: torch.Tensor) -> torch.Tensor:
        """(B, T) -> (B, 1, lags) bool: no delay of this utterance; all False: unvoiced.

        The longest delay is the lowest F0, so the quartiles change places.
        """
        high, low = octaves.nanquantile(octaves.new_tensor([0.25, 0.75]), dim=1)
        lowest, highest = (math.log2(factor) for factor in RANGE)
        above = self.octaves < high[:, None, None] - highest
        return above | (self.octaves > low[:, None, None] - lowest)
