"""Flow and HiFT together: the published ``voice_generator.pth``."""

from dataclasses import dataclass

import torch

from espnet2_taste.nn.random_streams import item_generator
from espnet2_taste.vocoder.cosyvoice.flow import Flow
from espnet2_taste.vocoder.cosyvoice.hift import HiFT
from espnet2_taste.vocoder.cosyvoice.source import HOP_LENGTH, NUM_HARMONICS


class VoiceGenerator(torch.nn.Module):
    """What has weights; :class:`CosyVoiceVocoder` runs it.

    Args:
        flow_conf: arguments of :class:`Flow`; None: the published sizes.
        hift_conf: arguments of :class:`HiFT`, likewise.
    """

    def __init__(self, flow_conf: dict | None = None, hift_conf: dict | None = None):
        super().__init__()
        self.flow = Flow(**(flow_conf or {}))
        self.hift = HiFT(**(hift_conf or {}))
        if self.flow.mel_size != self.hift.mel_size:
            raise ValueError(
                f"the flow makes {self.flow.mel_size} mel bins, HiFT takes "
                f"{self.hift.mel_size}: they do not belong together"
            )


@dataclass
class Noise:
    """Random numbers of one utterance.

    Attributes:
        flow: (mel_size, T) normal, T with the frames of a prompt.
        offsets: (NUM_HARMONICS,) uniform in [-pi, pi).
        source: (NUM_HARMONICS, HOP_LENGTH T') normal, T' without the prompt.
    """

    flow: torch.Tensor
    offsets: torch.Tensor
    source: torch.Tensor

    @classmethod
    def draw(
        cls, mel_size: int, frames: int, prompt_frames: int, seed: int, item_seed: int
    ) -> "Noise":
        """Draw from the stream of (seed, item_seed), on the CPU on every machine."""
        generator = item_generator(seed, item_seed)
        on_cpu = {"generator": generator, "device": "cpu"}
        flow = torch.randn(mel_size, frames, **on_cpu)
        uniform = torch.rand(NUM_HARMONICS, **on_cpu)
        samples = HOP_LENGTH * (frames - prompt_frames)
        source = torch.randn(NUM_HARMONICS, samples, **on_cpu)
        return cls(flow, (2 * uniform - 1) * torch.pi, source)
