"""Training of CosyVoice 2's flow and HiFT with ESPnet."""

import torch

from espnet2_taste.nn.segments import length_mask
from espnet2_taste.vocoder.cosyvoice.espnet_model import FlowModel
from espnet2_taste.vocoder.cosyvoice.hift_model import HiFTModel
from espnet2_taste.vocoder.cosyvoice2.encoder import RATE
from espnet2_taste.vocoder.cosyvoice2.flow import MEL, CausalFlow
from espnet2_taste.vocoder.cosyvoice2.generator import HiFT24


class CausalFlowModel(FlowModel):
    """:class:`FlowModel` of a flow that learns to see all frames, or chunks alone.

    Args:
        flow_conf: arguments of :class:`CausalFlow`; default: the published sizes.
        chunk_rate: part of the batches whose frames see no later chunk than theirs.
        prompt_rate, max_prompt, extract_feats_in_collect_stats: see
            :class:`FlowModel`.
    """

    flow_class = CausalFlow
    defaults = {"unit_rate": 25.0, "mel_spec": MEL}

    def __init__(
        self,
        flow_conf: dict | None = None,
        chunk_rate: float = 0.5,
        prompt_rate: float = 0.5,
        max_prompt: float = 0.3,
        extract_feats_in_collect_stats: bool = False,
    ):
        super().__init__(
            flow_conf, prompt_rate, max_prompt, extract_feats_in_collect_stats
        )
        if not 0 <= chunk_rate <= 1:
            raise ValueError(f"chunk_rate is a part of 1, not {chunk_rate}")
        self.chunk_rate = chunk_rate

    def _fit(self, units, units_lengths, mel, frames) -> tuple[torch.Tensor, ...]:
        """Two frames a unit: what one has more than the other is cut off."""
        lengths = torch.minimum(units_lengths, frames // RATE)
        frames, longest = RATE * lengths, min(units.size(1), mel.size(2) // RATE)
        mel = mel[..., : RATE * longest]
        mel = mel * length_mask(frames, mel.size(2))[:, None]
        return units[:, :longest], lengths, mel, frames

    def _losses(self, *batch) -> dict[str, torch.Tensor]:
        """Of one kind of mask in training; validation looks at both."""
        if self.training:
            chunked = bool(torch.rand((), device="cpu") < self.chunk_rate)
            chunk = self.flow.chunk if chunked else None
            return {"loss": self.flow.loss(*batch, chunk)}
        full = self.flow.loss(*batch)
        chunked = self.flow.loss(*batch, self.flow.chunk)
        mean = torch.lerp(full, chunked, self.chunk_rate)
        return {"loss": mean, "loss_full": full, "loss_chunked": chunked}


class HiFT24Model(HiFTModel):
    """:class:`HiFTModel` of HiFT at 24 kHz."""

    hift_class = HiFT24
    mel_defaults = MEL
