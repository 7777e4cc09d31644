"""Flow and HiFT together: the published ``voice_generator.pth``."""

from dataclasses import asdict, dataclass

import torch

from espnet2_taste.nn.random_streams import item_generator
from espnet2_taste.vocoder.cosyvoice.flow import Flow
from espnet2_taste.vocoder.cosyvoice.hift import HiFT
from espnet2_taste.vocoder.cosyvoice.mel_spec import MelSpec
from espnet2_taste.vocoder.cosyvoice.source import NUM_HARMONICS


class VoiceGenerator(torch.nn.Module):
    """The two networks of the vocoder; :class:`CosyVoiceVocoder` runs them.

    Args:
        flow_conf: arguments of :class:`Flow`; None: the published sizes.
        hift_conf: arguments of :class:`HiFT`; None: the published sizes.
    """

    name = "cosyvoice"  # the choice
    flow_class, hift_class = Flow, HiFT

    def __init__(self, flow_conf: dict | None = None, hift_conf: dict | None = None):
        super().__init__()
        self.flow = self.flow_class(**(flow_conf or {}))
        self.hift = self.hift_class(**(hift_conf or {}))
        flow, hift = asdict(self.flow.mel_spec), asdict(self.hift.mel_spec)
        other = [f"{k} {v} and {hift[k]}" for k, v in flow.items() if v != hift[k]]
        if other:
            raise ValueError(
                f"flow and HiFT are of other mels ({', '.join(other)}): they do not "
                "belong together"
            )


@dataclass
class Noise:
    """Random numbers of one utterance.

    Attributes:
        flow: (mel_size, T) normal, T with the frames of a prompt.
        offsets: (NUM_HARMONICS,) uniform in [-pi, pi).
        source: (NUM_HARMONICS, hop T') normal, T' without the prompt.
    """

    flow: torch.Tensor
    offsets: torch.Tensor
    source: torch.Tensor

    @classmethod
    def draw(
        cls, spec: MelSpec, frames: int, prompt_frames: int, seed: int, item_seed: int
    ) -> "Noise":
        """Draw from the stream of (seed, item_seed), on the CPU on every machine."""
        generator = item_generator(seed, item_seed)
        on_cpu = {"generator": generator, "device": "cpu"}
        flow = torch.randn(spec.num_mels, frames, **on_cpu)
        uniform = torch.rand(NUM_HARMONICS, **on_cpu)
        samples = spec.hop * (frames - prompt_frames)
        source = torch.randn(NUM_HARMONICS, samples, **on_cpu)
        return cls(flow, (2 * uniform - 1) * torch.pi, source)
