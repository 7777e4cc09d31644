"""HiFT generator: mel -> waveform through a short inverse STFT.

Names of parameters are those of the published checkpoints (``hift.*``), with weight
norm folded: ``weight`` instead of ``weight_g`` and ``weight_v``.

No masks: items of other lengths are run apart. Masking each of its 60 convolutions
costs more than a batch saves (on a CPU twice the time of single runs).
"""

import math

import torch
from torch import nn
from torch.nn import functional as F

from espnet2_taste.nn.channels_last import ChannelsLastConv, channels_last
from espnet2_taste.vocoder.cosyvoice.mel_spec import MelSpec
from espnet2_taste.vocoder.cosyvoice.source import HarmonicSource

N_FFT = 16
STFT_HOP = 4
BINS = N_FFT // 2 + 1
KERNELS = (3, 7, 11)
DILATIONS = (1, 3, 5)
MAX_MAGNITUDE = 100.0
AUDIO_LIMIT = 0.99


class F0Predictor(nn.Module):
    """Mel -> f0 in Hz by frame."""

    def __init__(self, mel_size: int, size: int):
        super().__init__()
        layers: list[nn.Module] = []
        for in_size in [mel_size] + 4 * [size]:
            layers += [nn.Conv1d(in_size, size, 3, padding=1), nn.ELU()]
        self.condnet = nn.Sequential(*layers)
        self.classifier = nn.Linear(size, 1)

    def forward(self, mel: torch.Tensor) -> torch.Tensor:
        """(B, mel_size, T) -> (B, T)."""
        hidden = self.condnet(mel).transpose(1, 2)
        return self.classifier(hidden).squeeze(2).abs()


class Snake(nn.Module):
    """x + sin(alpha x)^2 / alpha."""

    def __init__(self, size: int):
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(size))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        alpha = self.alpha[:, None]
        # in place: a CPU takes longer to find memory than for the arithmetic
        return (alpha * x).sin_().square_().mul_(1 / (alpha + 1e-9)).add_(x)


class ResBlock(nn.Module):
    """Three residual pairs of convolutions, the first of each pair dilated."""

    def __init__(self, size: int, kernel_size: int):
        super().__init__()

        def conv(dilation: int) -> nn.Conv1d:
            sizes = {"padding": dilation * (kernel_size // 2), "dilation": dilation}
            return ChannelsLastConv(size, size, kernel_size, **sizes)

        self.convs1 = nn.ModuleList(conv(dilation) for dilation in DILATIONS)
        self.convs2 = nn.ModuleList(conv(1) for _ in DILATIONS)
        self.activations1 = nn.ModuleList(Snake(size) for _ in DILATIONS)
        self.activations2 = nn.ModuleList(Snake(size) for _ in DILATIONS)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, size, N) -> (B, size, N)."""
        layers = (self.activations1, self.convs1, self.activations2, self.convs2)
        for snake1, conv1, snake2, conv2 in zip(*layers, strict=True):
            x = x + conv2(snake2(conv1(snake1(x))))
        return x


class HiFT(nn.Module):
    """CosyVoice's mel-to-waveform model; defaults are the first one's.

    Args:
        mel_size: bins of the mel, unless ``mel_spec`` says.
        base_size: channels before the up-sampling, halved by each level.
        f0_size: channels of the f0 predictor.
        mel_spec: fields of :class:`MelSpec` that are not CosyVoice 1's.
        upsample_rates: of each level; with the STFT's hop of 4 they make the mel's hop.
        upsample_kernels: sizes of the convolutions that do it.
        source_kernels: of each level's residual block for the excitation.

    Attributes:
        reach: frames around one that its samples depend on, given the excitation.

    Raises:
        ValueError: rates that do not make the mel's hop.
    """

    source_class = HarmonicSource

    def __init__(
        self,
        mel_size: int = 80,
        base_size: int = 512,
        f0_size: int = 512,
        mel_spec: dict | None = None,
        upsample_rates: tuple[int, ...] = (8, 8),
        upsample_kernels: tuple[int, ...] = (16, 16),
        source_kernels: tuple[int, ...] = (7, 11),
    ):
        super().__init__()
        self.mel_spec = MelSpec(**{"num_mels": mel_size} | (mel_spec or {}))
        hop = math.prod(upsample_rates) * STFT_HOP
        if hop != self.mel_spec.hop:
            raise ValueError(
                f"HiFT: upsample_rates {list(upsample_rates)} and the STFT's hop of "
                f"{STFT_HOP} make {hop} samples a frame, not {self.mel_spec.hop}"
            )
        mel_size = self.mel_size = self.mel_spec.num_mels
        self.f0_predictor = F0Predictor(mel_size, f0_size)
        self.m_source = self.source_class(self.mel_spec)
        self.conv_pre = nn.Conv1d(mel_size, base_size, 7, padding=3)
        sizes = [base_size >> level for level in range(1, len(upsample_rates) + 1)]
        self.ups = nn.ModuleList(
            nn.ConvTranspose1d(
                2 * size, size, kernel, rate, padding=(kernel - rate) // 2
            )
            for size, kernel, rate in zip(
                sizes, upsample_kernels, upsample_rates, strict=True
            )
        )
        # The excitation comes at the last level's rate and is brought to each one's.
        self.source_downs = nn.ModuleList(
            nn.Conv1d(
                2 * BINS, size, 2 * rate if rate > 1 else 1, rate, padding=rate // 2
            )
            for size, rate in zip(sizes, _down_rates(upsample_rates), strict=True)
        )
        self.source_resblocks = nn.ModuleList(
            ResBlock(size, kernel)
            for size, kernel in zip(sizes, source_kernels, strict=True)
        )
        self.resblocks = nn.ModuleList(
            ResBlock(size, kernel) for size in sizes for kernel in KERNELS
        )
        self.conv_post = nn.Conv1d(sizes[-1], 2 * BINS, 7, padding=3)
        self.reach = _reach(upsample_rates, upsample_kernels, source_kernels)

    def forward(
        self,
        mel: torch.Tensor,
        offsets: torch.Tensor,
        noise: torch.Tensor,
        f0: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Synthesise.

        Args:
            mel: (B, mel_size, T) natural log mel.
            offsets, noise: random numbers of :class:`HarmonicSource`.
            f0: (B, T) Hz; None: predicted.

        Returns:
            (B, hop T) in [-0.99, 0.99].
        """
        source = self.m_source(
            self.f0_predictor(mel) if f0 is None else f0, offsets, noise
        )
        return self.decode(mel, source)

    def decode(self, mel: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
        """Waveform (B, hop T) of a mel and its excitation (B, hop T)."""
        source = source.to(mel.dtype)
        spectrum = torch.stft(source, **self._stft(mel), return_complex=True)
        spectrum = torch.cat([spectrum.real, spectrum.imag], 1)
        x = self.conv_pre(mel)
        for level, up in enumerate(self.ups):
            x = up(F.leaky_relu(x, 0.1))
            if level == len(self.ups) - 1:
                # a centred STFT has one frame more than hops
                x = F.pad(x, (1, 0), mode="reflect")
            # else each sum below would bring one layout to the other
            x, injected = map(channels_last, (x, self.source_downs[level](spectrum)))
            x = x + self.source_resblocks[level](injected)
            first = level * len(KERNELS)
            blocks = self.resblocks[first : first + len(KERNELS)]
            x = sum(block(x) for block in blocks) / len(KERNELS)
        # slope 0.01 here, as published; autocast makes no spectrum of half precision
        x = self.conv_post(F.leaky_relu(x)).to(mel.dtype)
        magnitude = x[:, :BINS].exp().clamp(max=MAX_MAGNITUDE)
        spectrum = torch.polar(magnitude, x[:, BINS:].sin())
        wav = torch.istft(spectrum, **self._stft(mel))
        return wav.clamp(-AUDIO_LIMIT, AUDIO_LIMIT)

    @staticmethod
    def _stft(like: torch.Tensor) -> dict:
        """Arguments of torch's STFT and its inverse: periodic Hann, centred."""
        window = torch.hann_window(N_FFT, dtype=like.dtype, device=like.device)
        return {"n_fft": N_FFT, "hop_length": STFT_HOP, "window": window}


def _down_rates(rates: tuple[int, ...]) -> list[int]:
    """How much slower each level is than the last one: (8, 5, 3) -> [15, 3, 1]."""
    return [math.prod(rates[level + 1 :]) for level in range(len(rates))]


def _reach(rates, kernels, source_kernels) -> int:
    """Frames to either side that the generator looks at, mel and excitation."""
    outer, longest = N_FFT / STFT_HOP + 4, 0.0  # inverse STFT and conv_post
    total = math.prod(rates)
    reach = outer / total
    for level in reversed(range(len(rates))):
        rate = math.prod(rates[: level + 1])  # samples a frame
        reach += (_block_reach(max(KERNELS)) + 1) / rate
        source = _block_reach(source_kernels[level]) + 2
        longest = max(longest, reach + source / rate + N_FFT / STFT_HOP / total)
        reach += (kernels[level] / 2 + 1) / rate
    return math.ceil(max(longest, reach + 3))  # conv_pre


def _block_reach(kernel: int) -> int:
    """Samples to either side that a :class:`ResBlock` looks at."""
    return sum(dilation + 1 for dilation in DILATIONS) * (kernel - 1) // 2
