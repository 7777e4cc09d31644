"""CosyVoice 2's flow: units + speaker embedding -> mel, whole or by chunks.

Du et al., "CosyVoice 2: scalable streaming speech synthesis with large language
models" (2024), section 2.4. Chunk-masked, the mel of a chunk depends on nothing
after it but the ``look_ahead`` units: a stream gives the mel of one such pass.
"""

import torch
from torch.nn import functional as F

from espnet2_taste.nn.padding import frame_mask
from espnet2_taste.nn.segments import length_mask
from espnet2_taste.nn.stream_memory import Step, StreamMemory
from espnet2_taste.vocoder.cosyvoice.flow import Flow
from espnet2_taste.vocoder.cosyvoice2.encoder import (
    RATE,
    EncoderMemory,
    UpsamplingEncoder,
)
from espnet2_taste.vocoder.cosyvoice2.unet import CausalUNet

#: fields of MelSpec that are not CosyVoice 1's
MEL = {"sample_rate": 24000, "n_fft": 1920, "hop": 480, "win": 1920}


class FlowMemory:
    """What a :class:`CausalFlow` remembers of B streams.

    Attributes:
        step: what is computed next, in units.
    """

    def __init__(self, count: int, evaluations: int, guided: bool):
        self.count = count
        self.guided = guided
        self.encoder = EncoderMemory(count)
        rows = 2 * count if guided else count
        self.pasts = [StreamMemory(rows) for _ in range(evaluations)]

    def begin(self, step: Step) -> None:
        """Set the step of every memory."""
        step = self.step = step.forgetful()
        self.encoder.begin(step)
        frames = step.scaled(RATE)
        if self.guided:
            frames = frames.twice(self.count)
        for past in self.pasts:
            past.begin(frames)


class CausalFlow(Flow):
    """CosyVoice 2's token-to-mel model; two mel frames a unit.

    Names of parameters are those of the published ``flow.pt``, and defaults its sizes.

    Args:
        num_units, unit_rate, mel_spec, others: see :class:`Flow`.
        up_blocks: blocks of the encoder at the rate of the mel.
        chunk: units of a chunk.
        look_ahead: units that a chunk sees beyond itself.
        left_chunks: chunks before the own one that a chunk sees. Published weights
            have learnt to see all (None); with fewer, a stream's cost and memory are
            bounded.

    Raises:
        ValueError: an argument out of range, or rates of units and mel that do not make
            two frames a unit.
    """

    unet_class = CausalUNet

    def __init__(
        self,
        num_units: int = 6561,
        unit_rate: float = 25.0,
        mel_spec: dict | None = None,
        up_blocks: int = 4,
        chunk: int = 25,
        look_ahead: int = 3,
        left_chunks: int | None = None,
        **others,
    ):
        self.up_blocks, self.look_ahead = up_blocks, look_ahead
        self.left_chunks = left_chunks
        super().__init__(
            num_units, unit_rate=unit_rate, mel_spec=MEL | (mel_spec or {}), **others
        )
        if chunk < 1:
            raise ValueError(f"chunk must be at least 1 unit, got {chunk}")
        if left_chunks is not None and left_chunks < 0:
            raise ValueError(f"left_chunks must be 0, more or None, got {left_chunks}")
        if self.count_frames(1000) != 1000 * RATE:
            raise ValueError(
                f"{unit_rate:g} units a second and mel frames of {self.mel_spec.hop} "
                f"samples at {self.mel_spec.sample_rate} Hz do not make {RATE} frames "
                "a unit"
            )
        self.chunk = chunk
        self.decoder.estimator.left_chunks = left_chunks

    def make_encoder(self, *sizes) -> UpsamplingEncoder:
        more = (self.up_blocks, self.look_ahead, self.left_chunks)
        return UpsamplingEncoder(*sizes, *more)

    def make_regulator(self) -> None:
        return None

    def encode(
        self,
        units: torch.Tensor,
        lengths: torch.Tensor | None = None,
        chunk: int | None = None,
        ahead: torch.Tensor | None = None,
        past: EncoderMemory | None = None,
    ) -> torch.Tensor:
        """Contextual vectors of units, see :meth:`UpsamplingEncoder.forward`.

        Args:
            units: (B, n) int64; negative ids count as 0, as in the reference.
            ahead: (B, look_ahead) int64, the next units; None: they are the end.

        Returns:
            (B, 2 n, encoder_size).
        """
        x = self.input_embedding(units.clamp(min=0))
        if lengths is not None:
            x = x * length_mask(lengths, units.size(1))[..., None]
        if ahead is not None:
            ahead = self.input_embedding(ahead.clamp(min=0))
        return self.encoder(x, lengths, chunk, ahead, past)

    def prior(self, units: torch.Tensor, *context) -> torch.Tensor:
        """Mean mu of the mel, (B, mel_size, 2 n); arguments of :meth:`encode`."""
        return self.encoder_proj(self.encode(units, *context)).transpose(1, 2)

    def forward(
        self,
        units: torch.Tensor,
        spk_emb: torch.Tensor,
        noise: torch.Tensor,
        lengths: torch.Tensor | None = None,
        cond: torch.Tensor | None = None,
        chunk: int | None = None,
        ahead: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Mel of a batch, see :meth:`Flow.forward`.

        Args:
            chunk: units of a chunk; None: every frame sees all others.
            ahead: (B, look_ahead) the next units, of which no mel is made.

        Returns:
            (B, mel_size, 2 n), prompts included.
        """
        mu = self.prior(units, lengths, chunk, ahead)
        cond = torch.zeros_like(mu) if cond is None else cond
        frames = None if lengths is None else RATE * lengths
        mask = frame_mask(frames, mu.size(2))
        return self.decoder(
            mu, self.speaker(spk_emb), cond, noise, mask, chunk and RATE * chunk
        )

    def new_memory(self, count: int) -> FlowMemory:
        """For B streams that have had nothing yet."""
        return FlowMemory(count, self.decoder.evaluations, self.decoder.guidance != 0)

    def stream(
        self,
        units: torch.Tensor,
        speaker: torch.Tensor,
        noise: torch.Tensor,
        cond: torch.Tensor,
        ahead: torch.Tensor | None,
        memory: FlowMemory,
    ) -> torch.Tensor:
        """Mel of the next S units of some streams, whole chunks but at the end.

        Args:
            units: (b, S) int64.
            speaker: (b, mel_size) of :meth:`speaker`.
            noise, cond: (b, mel_size, 2 S), of these frames.
            ahead: (b, look_ahead) int64, the units after them; None: the streams end.
            memory: whose ``begin`` has been told the step; updated in place.

        Returns:
            (b, mel_size, 2 S); frames after the end of a stream are of no use.
        """
        step, lengths = memory.step, None
        if ahead is None:
            sizes = [e - s for s, e in zip(step.starts, step.ends, strict=True)]
            lengths = torch.tensor(sizes, device=units.device)
        mu = self.prior(units, lengths, step.chunk, ahead, memory.encoder)
        chunk = RATE * step.chunk
        return self.decoder(mu, speaker, cond, noise, None, chunk, memory.pasts)

    def training_prior(
        self, units, size, lengths, frames, chunk: int | None
    ) -> torch.Tensor:
        mu = self.prior(units, lengths, chunk)
        return F.pad(mu, (0, size - mu.size(2)))
