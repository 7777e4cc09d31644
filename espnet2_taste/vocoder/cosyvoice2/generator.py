"""CosyVoice 2's flow and HiFT together, and the noise they start from."""

import functools

import torch

from espnet2_taste.nn.random_streams import item_generator
from espnet2_taste.vocoder.cosyvoice.generator import VoiceGenerator
from espnet2_taste.vocoder.cosyvoice.hift import HiFT
from espnet2_taste.vocoder.cosyvoice.source import NUM_HARMONICS
from espnet2_taste.vocoder.cosyvoice2.flow import MEL, CausalFlow
from espnet2_taste.vocoder.cosyvoice2.source import FrameSource

FIXED_FRAMES = 15000  # of the noise that is equal for all utterances
BLOCK = 50  # frames drawn at once


class HiFT24(HiFT):
    """:class:`HiFT` at 24 kHz; defaults are CosyVoice 2's."""

    source_class = FrameSource

    def __init__(
        self,
        mel_size: int = 80,
        base_size: int = 512,
        f0_size: int = 512,
        mel_spec: dict | None = None,
        upsample_rates: tuple[int, ...] = (8, 5, 3),
        upsample_kernels: tuple[int, ...] = (16, 11, 7),
        source_kernels: tuple[int, ...] = (7, 7, 11),
    ):
        mel_spec = MEL | (mel_spec or {})
        levels = (upsample_rates, upsample_kernels, source_kernels)
        super().__init__(mel_size, base_size, f0_size, mel_spec, *levels)


class VoiceGenerator2(VoiceGenerator):
    """The two networks of the `cosyvoice2` vocoder.

    Args:
        flow_conf: arguments of :class:`CausalFlow`; None: the published sizes.
        hift_conf: arguments of :class:`HiFT24`; None: the published sizes.
    """

    name = "cosyvoice2"
    flow_class, hift_class = CausalFlow, HiFT24


@functools.cache
def _fixed_noise(mel_size: int, block: int) -> torch.Tensor:
    """(mel_size, FIXED_FRAMES): the published noise, and what its stream goes on with.

    CosyVoice 2 seeds all of PyTorch with 0 for it; here the stream is of its own.
    """
    generator = torch.Generator("cpu").manual_seed(0)
    for _ in range(block + 1):
        noise = torch.randn(mel_size, FIXED_FRAMES, generator=generator, device="cpu")
    return noise


class Noise2:
    """Random numbers of one utterance, in the order in which it needs them.

    What it gives does not depend on how much is asked for at a time.

    Args:
        mel_size: bins of the mel.
        hop: samples of a frame.
        seed, item_seed: of the utterance's stream.
        fixed: start the flow of every utterance from the same noise, as published.
    """

    def __init__(
        self, mel_size: int, hop: int, seed: int, item_seed: int, fixed: bool = True
    ):
        self.mel_size, self.hop, self.fixed = mel_size, hop, fixed
        self._frames = 0
        # another stream than the excitation's
        self._flow = _Draws(item_generator(seed, -1 - item_seed), mel_size, BLOCK)
        samples = BLOCK * hop
        self._source = _Draws(item_generator(seed, item_seed), NUM_HARMONICS, samples)

    def flow(self, frames: int) -> torch.Tensor:
        """The next (mel_size, frames), of a prompt's frames, too."""
        if not self.fixed:
            return self._flow.take(frames)
        parts = []
        while frames > 0:
            block, first = divmod(self._frames, FIXED_FRAMES)
            part = _fixed_noise(self.mel_size, block)[:, first : first + frames]
            parts.append(part)
            frames -= part.size(1)
            self._frames += part.size(1)
        return torch.cat([torch.zeros(self.mel_size, 0, device="cpu"), *parts], 1)

    def source(self, frames: int) -> torch.Tensor:
        """The next (NUM_HARMONICS, hop frames), a prompt has none."""
        return self._source.take(frames * self.hop)


class _Draws:
    """(rows, n) normal numbers, drawn ``block`` columns at a time."""

    def __init__(self, generator: torch.Generator, rows: int, block: int):
        self.generator, self.block = generator, block
        self.rest = torch.zeros(rows, 0, device="cpu")

    def take(self, size: int) -> torch.Tensor:
        parts, missing = [self.rest], size - self.rest.size(1)
        while missing > 0:
            shape = (len(self.rest), self.block)
            on_cpu = {"generator": self.generator, "device": "cpu"}
            parts.append(torch.randn(shape, **on_cpu))
            missing -= self.block
        joined = torch.cat(parts, 1)
        self.rest = joined[:, size:].clone()
        return joined[:, :size]
