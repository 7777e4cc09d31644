"""Flow and HiFT together: the published ``voice_generator.pth``."""

from dataclasses import asdict, dataclass

import torch

from espnet2_taste.nn.light_linears import lighten_convolutions, lighten_linears
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

    def lighten(self, weights: str) -> None:
        """Compute with lighter weights from now on, on a CPU.

        Lighter are, in the flow, the encoder's linear maps and the U-Net's transformer
        blocks; with ``bfloat16`` also the convolutions of the U-Net and of HiFT. Noise
        and the state of the ODE, sums, norms, f0, the excitation and the last
        convolution, whose outputs are logarithms and phases, stay float32.

        Args:
            weights: see :func:`~espnet2_taste.nn.light_linears.lighten_linears`.

        Raises:
            ValueError: as there.
        """
        unet, hift = self.flow.decoder.estimator, self.hift
        blocks = [block for stage in unet.stages() for block in stage[1]]
        for part in (self.flow.encoder, *blocks):
            lighten_linears(part, weights)
        within = (*unet.stages(), unet.final_block, hift.conv_pre, hift.ups)
        for part in (*within, hift.source_resblocks, hift.resblocks):
            lighten_convolutions(part, weights)


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
