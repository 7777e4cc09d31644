"""What the reference implementation does differently from the paper or by mistake.

Our models do not repeat it. The converter names :class:`RoundedRopeBackbone` in the
configuration of a converted TASLM, because its adapters were trained on the rounded
frequencies. Everything else is for the parity tests alone, which switch it on in a
model that is already built.
"""

from contextlib import contextmanager

import torch

from espnet2_taste.nn.backbone import HFCausalBackbone
from espnet2_taste.nn.padding import Padding, frame_mask, masked
from espnet2_taste.taslm.espnet_model import TaslmModel
from espnet2_taste.taste.speech_decoder.interleaved_lm import InterleavedLMDecoder
from espnet2_taste.taste.speech_decoder.interleaved_streams import InterleavedStreams
from espnet2_taste.vocoder.cosyvoice.flow import Flow
from espnet2_taste.vocoder.cosyvoice.hift import HiFT
from espnet2_taste.vocoder.cosyvoice.mel_spec import MelSpec
from espnet2_taste.vocoder.cosyvoice.regulator import LengthRegulator
from espnet2_taste.vocoder.cosyvoice.source import HarmonicSource, running_cycles
from espnet2_taste.vocoder.cosyvoice.unet import UNet
from espnet2_taste.vocoder.cosyvoice2.encoder import UpsamplingEncoder
from espnet2_taste.vocoder.cosyvoice2.flow import CausalFlow
from espnet2_taste.vocoder.cosyvoice2.source import FrameSource


class RoundedRopeBackbone(HFCausalBackbone):
    """A backbone whose rotary frequencies are rounded to bfloat16.

    The reference casts them together with its LM. The copy of the LM that it computes
    the KL with keeps them exact, and so does :meth:`base_hidden`.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._rotaries = [m for m in self.lm.modules() if hasattr(m, "inv_freq")]
        for module in self._rotaries:
            module.register_buffer("other_inv_freq", module.inv_freq, persistent=False)
            module.inv_freq = module.inv_freq.bfloat16().float()

    @contextmanager
    def _without_adapters(self):
        self._exchange()
        try:
            with super()._without_adapters():
                yield
        finally:
            self._exchange()

    def _exchange(self) -> None:
        for m in self._rotaries:
            m.inv_freq, m.other_inv_freq = m.other_inv_freq, m.inv_freq


def label_padding(model: TaslmModel) -> TaslmModel:
    """Let texts shorter than the longest of their batch predict id 0 after their end.

    For models with ``end_symbol: false``.
    """

    def hook(assembler, _, inputs):
        size = inputs.mask.size(1) - assembler.delay - (assembler.delay > 0)
        labels = inputs.text_labels[:, :size]
        labels.masked_fill_(inputs.mask[:, :size] & (labels < 0), 0)

    model.inputs.register_forward_hook(hook)
    return model


@contextmanager
def unread_last_token(model: TaslmModel, max_tokens: int):
    """Let ``max_tokens`` end a continuation as in TASTE2, within the context: the last
    token is not read, so its latent comes from the state before it.

    For one prompt whose continuation the limit ends.
    """
    forward, calls, output = model.lm.forward, 0, None

    def read(*args, **options):
        nonlocal calls, output
        if calls != max_tokens:
            output = forward(*args, **options)
        calls += 1
        return output

    model.lm.forward = read
    try:
        yield
    finally:
        del model.lm.forward


class _ReferenceRegulator(LengthRegulator):
    def forward(self, x, size, lengths=None, frames=None):
        return masked(super().forward(x, size), frame_mask(frames, size))


class _ReferenceUNet(UNet):
    @staticmethod
    def padding(mask: torch.Tensor | None) -> Padding:
        if mask is None:
            return Padding()
        return Padding(mask, None, (mask.transpose(1, 2) * mask)[:, None])


class _ReferenceSource(HarmonicSource):
    @staticmethod
    def phase(f0: torch.Tensor, spec: MelSpec) -> torch.Tensor:
        return running_cycles(f0, spec).float().double() % 1


class _ReferenceFrameSource(FrameSource):
    @staticmethod
    def phase(f0, spec, start=None):
        harmonic = torch.arange(1, 10, device=f0.device)[:, None]
        step = (f0[:, None] * harmonic / spec.sample_rate) % 1
        radians = step.transpose(1, 2).cumsum(1).transpose(1, 2) * 2 * torch.pi
        options = {"scale_factor": spec.hop, "mode": "linear"}
        radians = torch.nn.functional.interpolate(radians * spec.hop, **options)
        return radians.double() / (2 * torch.pi) % 1


class _ReferenceUpsamplingEncoder(UpsamplingEncoder):
    @staticmethod
    def _cut(x, lengths):
        return x


def count_padding(flow: Flow) -> Flow:
    """Let an item depend on what it is batched with.

    CosyVoice 1: padded units are stretched to padded frames, group norms count the
    padding, and attention prefers valid frames only by a logit of 1. CosyVoice 2: the
    last units of an item look ahead into the padding.
    """
    if isinstance(flow, CausalFlow):
        flow.encoder.__class__ = _ReferenceUpsamplingEncoder
        return flow
    flow.length_regulator.__class__ = _ReferenceRegulator
    flow.decoder.estimator.__class__ = _ReferenceUNet
    return flow


def round_phases(hift: HiFT) -> HiFT:
    """Round the running phase to float32 before whole cycles are taken off it."""
    frames = isinstance(hift.m_source, FrameSource)
    hift.m_source.__class__ = _ReferenceFrameSource if frames else _ReferenceSource
    return hift


class _PublishedStreams(InterleavedStreams):
    steps_at_once = 1

    def _due(self, prompt: int, more: int) -> int:
        units = self.decoder.mix_ratio[1]
        return 0 if more else units - prompt % units

    def _unread(self, row: int) -> torch.Tensor:
        last, stream = super()._unread(row), self.streams[row]
        if not (self.in_blocks and stream.tail and stream.made):
            return last
        again = self.decoder.speech_embedding(self.unit[row : row + 1])
        return torch.cat([last, again])

    def _allowed(self, logits: torch.Tensor) -> torch.Tensor:
        end, fill = self.decoder.end, self.decoder.fill
        logits = logits.clone()
        logits[self.sampler.count < self.least, end] = -torch.inf
        if self.in_blocks:
            logits[:, end + 1] = -torch.inf
            logits[[stream.tail for stream in self.streams], fill] = -torch.inf
        return logits

    def _ends(self, unit: torch.Tensor) -> torch.Tensor:
        return unit == self.decoder.end if self.in_blocks else super()._ends(unit)

    def _looks(self, active: list[bool]) -> bool:
        return any(active)

    def _look(self, active: list[bool], unit: torch.Tensor) -> None:
        super()._look(active, unit)
        fills = (unit == self.decoder.fill).tolist()
        for stream, drew, fill in zip(self.streams, active, fills, strict=True):
            if drew and fill and not stream.tail:
                stream.made -= stream.left + 1
                stream.left, stream.pending = 0, False


def published_fills(decoder: InterleavedLMDecoder) -> InterleavedLMDecoder:
    """Generate as CosyVoice 2 does.

    The LM may end a block early by a fill of its own, a prompt of whole blocks is
    followed by one more block of units from the same text, the last unit before the end
    of a text is read twice, and with the whole text known any id beyond the units ends
    an utterance.
    """
    decoder.streams_class = _PublishedStreams
    return decoder
