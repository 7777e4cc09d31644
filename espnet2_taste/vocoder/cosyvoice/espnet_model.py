"""Training of the flow with ESPnet."""

import torch
from espnet2.torch_utils.device_funcs import force_gatherable
from espnet2.train.abs_espnet_model import AbsESPnetModel

from espnet2_taste.nn.segments import length_mask
from espnet2_taste.vocoder.cosyvoice.cfm import FlowDraws
from espnet2_taste.vocoder.cosyvoice.flow import Flow
from espnet2_taste.vocoder.cosyvoice.mel import TargetMel
from espnet2_taste.vocoder.cosyvoice.mel_spec import MelSpec


class FlowModel(AbsESPnetModel):
    """Speech, its units and its speaker -> flow matching loss.

    Parameters have the published names (``flow.*``): a checkpoint is loaded as a
    vocoder, and ``--init_param flow.pt::flow`` starts from CosyVoice's.

    Args:
        flow_conf: arguments of :class:`Flow`; default: the published sizes.
        prompt_rate: part of the utterances that are told the start of their mel, so
            that prompts work. The reference, with 0, never does; CosyVoice: 0.5.
        max_prompt: longest start, a part of the mel.
        extract_feats_in_collect_stats: read by ESPnet before the model exists.

    Attributes:
        unit_spec: of the units it takes.
        spk_embed_dim: width of the speaker embeddings it takes.
    """

    flow_class: type[Flow] = Flow
    defaults: dict = {"unit_rate": 50.0, "mel_spec": {}}  # of flow_conf

    def __init__(
        self,
        flow_conf: dict | None = None,
        prompt_rate: float = 0.0,
        max_prompt: float = 0.3,
        extract_feats_in_collect_stats: bool = False,
    ):
        super().__init__()
        self.flow = self.flow_class(**(flow_conf or {}))
        if not (0 <= prompt_rate <= 1 and 0 <= max_prompt < 1):
            raise ValueError("prompt_rate and max_prompt are parts of 1")
        self.mel = TargetMel(self.flow.mel_spec)
        self.unit_spec = self.flow.unit_spec
        self.spk_embed_dim = self.flow.spk_embed_dim
        self.prompt_rate = prompt_rate
        self.max_prompt = max_prompt
        self.extract_feats_in_collect_stats = extract_feats_in_collect_stats

    @classmethod
    def rates(cls, flow_conf: dict | None = None, **others) -> tuple[int, float]:
        """Hz of the speech and units a second, of the arguments of the constructor."""
        conf = cls.defaults | (flow_conf or {})
        spec = MelSpec(**cls.defaults["mel_spec"] | (conf["mel_spec"] or {}))
        return spec.sample_rate, conf["unit_rate"]

    def forward(
        self,
        speech: torch.Tensor,
        speech_lengths: torch.Tensor,
        units: torch.Tensor,
        units_lengths: torch.Tensor,
        spk_emb: torch.Tensor,
        spk_emb_lengths: torch.Tensor | None = None,
        **kwargs,
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor], torch.Tensor]:
        """Loss of a batch; validation draws the same numbers every time.

        Args:
            speech: (B, N) float waveforms at the mel's sample rate.
            speech_lengths: (B,) int64 samples.
            units: (B, U) int64, any padding.
            units_lengths: (B,) int64, at least 1.
            spk_emb: (B, spk_embed_dim) float.
            spk_emb_lengths: not used.
            kwargs: ignored (``utt_id``).

        Returns:
            loss, statistics and the batch size.
        """
        generator = None
        if not self.training:
            generator = torch.Generator(speech.device).manual_seed(0)
        mel, frames = self.mel(speech, speech_lengths)
        units = units.masked_fill(~length_mask(units_lengths, units.size(1)), 0)
        pairs = self._fit(units, units_lengths, mel, frames)
        mel, frames = pairs[2:]
        draws = FlowDraws.like(mel, generator)
        cond = self._prompt(mel, frames, generator)
        losses = self._losses(*pairs, spk_emb, cond, draws)
        # the trainer scales the loss in place
        stats = {name: value.detach().clone() for name, value in losses.items()}
        loss = losses["loss"]
        return force_gatherable((loss, stats, len(units)), loss.device)

    def _fit(self, units, units_lengths, mel, frames) -> tuple[torch.Tensor, ...]:
        """Units and mel of each other's length, if the flow needs that."""
        return units, units_lengths, mel, frames

    def _losses(self, *batch) -> dict[str, torch.Tensor]:
        """``loss`` and other statistics, of the arguments of :meth:`Flow.loss`."""
        return {"loss": self.flow.loss(*batch)}

    def _prompt(
        self,
        mel: torch.Tensor,
        frames: torch.Tensor,
        generator: torch.Generator | None,
    ) -> torch.Tensor:
        """Mel frames that the model is given as a prompt, zeros elsewhere.

        Returns:
            (B, mel_size, T).
        """
        if self.prompt_rate == 0:
            return torch.zeros_like(mel)
        told, part = torch.rand(
            2, len(mel), device=mel.device, generator=generator
        ).unbind()
        size = (part * self.max_prompt * frames).long() * (told < self.prompt_rate)
        return mel * length_mask(size, mel.size(2))[:, None]

    def collect_feats(self, **batch: torch.Tensor) -> dict[str, torch.Tensor]:
        """Nothing needs statistics."""
        return {}
