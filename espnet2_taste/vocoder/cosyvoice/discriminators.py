"""What HiFT is trained against: discriminators of waveforms and what they make it lose.

As CosyVoice 2's recipe has them: HiFi-GAN's multi-period discriminator (ESPnet's; its
last convolution has 2 taps where HiFi-GAN's has 3) and a spectrogram discriminator at
three resolutions.
"""

import torch
from espnet2.gan_tts.hifigan.hifigan import HiFiGANMultiPeriodDiscriminator
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

#: size of the Fourier transform, hop and window of each spectrogram, samples
RESOLUTIONS = ((1024, 120, 600), (2048, 240, 1200), (512, 50, 240))
#: waveforms must be longer: the spectrograms reflect so many samples
SHORTEST = max(n_fft for n_fft, _, _ in RESOLUTIONS) // 2
SLOPE = 0.1


class SpectrumDiscriminator(nn.Module):
    """Looks at magnitudes of one spectrogram.

    Args:
        n_fft, hop, win: of the spectrogram, samples.
        size: channels.
    """

    def __init__(self, n_fft: int, hop: int, win: int, size: int):
        super().__init__()
        self.n_fft, self.hop, self.win = n_fft, hop, win
        wide = {"kernel_size": (3, 9), "padding": (1, 4)}
        layers = [nn.Conv2d(1, size, **wide)]
        layers += [nn.Conv2d(size, size, stride=(1, 2), **wide) for _ in range(3)]
        layers += [nn.Conv2d(size, size, 3, padding=1)]
        self.layers = nn.ModuleList(weight_norm(layer) for layer in layers)
        self.last = weight_norm(nn.Conv2d(size, 1, 3, padding=1))

    def forward(self, wav: torch.Tensor) -> list[torch.Tensor]:
        """(B, N) -> what each layer makes of it, (B, channels, frames, bins)."""
        window = torch.hann_window(self.win, device=wav.device)
        sizes = (self.n_fft, self.hop, self.win)
        spectrum = torch.stft(wav, *sizes, window=window, return_complex=True)
        x, made = spectrum.abs().transpose(1, 2)[:, None], []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), SLOPE)
            made.append(x)
        return [*made, self.last(x)]


class Discriminators(nn.Module):
    """Five that look at periods of the waveform, three that look at its spectrograms.

    Args:
        period_size: first channels of the former, which grow to 32 times as many.
        spectrum_size: channels of the latter.
    """

    def __init__(self, period_size: int = 32, spectrum_size: int = 32):
        super().__init__()
        sizes = {"channels": period_size, "max_downsample_channels": 32 * period_size}
        self.periods = HiFiGANMultiPeriodDiscriminator(discriminator_params=sizes)
        self.spectra = nn.ModuleList(
            SpectrumDiscriminator(*sizes, spectrum_size) for sizes in RESOLUTIONS
        )

    def forward(self, wav: torch.Tensor) -> list[list[torch.Tensor]]:
        """(B, N) -> of each discriminator, its layers' tensors; the last are scores."""
        return self.periods(wav[:, None]) + [look(wav) for look in self.spectra]


def relativistic_loss(
    real: list[list[torch.Tensor]], fake: list[list[torch.Tensor]], tau: float
) -> torch.Tensor:
    """Truncated pointwise relativistic loss, a scalar.

    Zhao et al., "Improve GAN-based neural vocoder using truncated pointwise
    relativistic least square GAN" (2022). Of each discriminator, the points count whose
    real score is not above the fake one by the median difference, up to ``tau`` in all.

    Args:
        real, fake: what the discriminators made of speech and of what was generated.
        tau: most of one discriminator's loss.
    """
    loss = real[0][-1].new_zeros(())
    for speech, made in zip(real, fake, strict=True):
        ahead = (speech[-1] - made[-1]).float()
        ahead = ahead - ahead.median()
        behind = ahead < 0
        # without an index by them, which would wait for their number
        mean = (ahead.square() * behind).sum() / behind.sum().clamp(min=1)
        loss = loss + tau - F.relu(tau - mean)
    return loss
