"""Units + speaker embedding -> mel: encoder, length regulator, flow matching."""

import torch
from torch import nn
from torch.nn import functional as F

from espnet2_taste.nn.padding import frame_mask
from espnet2_taste.nn.rel_pos_encoder import RelPosEncoder
from espnet2_taste.nn.segments import length_mask
from espnet2_taste.units.unit_spec import UnitSpec
from espnet2_taste.vocoder.cosyvoice.cfm import ConditionalFlowMatching, FlowDraws
from espnet2_taste.vocoder.cosyvoice.mel_spec import MelSpec
from espnet2_taste.vocoder.cosyvoice.regulator import LengthRegulator
from espnet2_taste.vocoder.cosyvoice.unet import UNet


class Flow(nn.Module):
    """CosyVoice 1's token-to-mel model.

    Names of parameters are those of the published checkpoints (``flow.*``). Defaults
    are the published sizes.

    Args:
        num_units: unit vocabulary.
        spk_embed_dim: width of the speaker embeddings.
        mel_size: bins of the mel, unless ``mel_spec`` says.
        mel_spec: fields of :class:`MelSpec` that are not CosyVoice 1's.
        unit_rate: units a second.
        embed_size: width of the unit embeddings.
        encoder_size, encoder_heads, encoder_ffn_size, encoder_blocks: of the encoder.
        dropout: of the encoder, attention weights included.
        unet_size, unet_heads, unet_head_size: of the U-Net.
        unet_blocks: transformer blocks of each of its stages.
        unet_mid_stages: its stages between down and up.
        num_steps, guidance, drop_rate, sigma, t_scheduler, solver: see
            :class:`ConditionalFlowMatching`.
    """

    unet_class = UNet

    def __init__(
        self,
        num_units: int = 4096,
        spk_embed_dim: int = 192,
        mel_size: int = 80,
        mel_spec: dict | None = None,
        unit_rate: float = 50.0,
        embed_size: int = 512,
        encoder_size: int = 512,
        encoder_heads: int = 8,
        encoder_ffn_size: int = 2048,
        encoder_blocks: int = 6,
        dropout: float = 0.1,
        unet_size: int = 256,
        unet_heads: int = 8,
        unet_head_size: int = 64,
        unet_blocks: int = 4,
        unet_mid_stages: int = 12,
        num_steps: int = 10,
        guidance: float = 0.7,
        drop_rate: float = 0.2,
        sigma: float = 1e-6,
        t_scheduler: str = "cosine",
        solver: str = "euler",
    ):
        super().__init__()
        self.num_units = num_units
        self.unit_spec = UnitSpec(num_units, unit_rate)
        self.mel_spec = MelSpec(**{"num_mels": mel_size} | (mel_spec or {}))
        self.spk_embed_dim = spk_embed_dim
        mel_size = self.mel_size = self.mel_spec.num_mels
        self.input_embedding = nn.Embedding(num_units, embed_size)
        self.spk_embed_affine_layer = nn.Linear(spk_embed_dim, mel_size)
        self.encoder = self.make_encoder(
            embed_size,
            encoder_size,
            encoder_heads,
            encoder_ffn_size,
            encoder_blocks,
            dropout,
        )
        self.encoder_proj = nn.Linear(encoder_size, mel_size)
        self.length_regulator = self.make_regulator()
        self.decoder = ConditionalFlowMatching(
            self.unet_class(
                mel_size,
                unet_size,
                unet_heads,
                unet_head_size,
                unet_blocks,
                unet_mid_stages,
            ),
            num_steps,
            guidance,
            drop_rate,
            sigma,
            t_scheduler,
            solver,
        )

    def make_encoder(self, *sizes) -> nn.Module:
        """Of input size, size, heads, feed-forward size, blocks and dropout."""
        dropout = sizes[-1]
        return RelPosEncoder(
            *sizes, "conformer", causal=False, attention_dropout=dropout
        )

    def make_regulator(self) -> nn.Module | None:
        """What brings units to frames; None: the encoder does."""
        return LengthRegulator(self.mel_size)

    def count_frames(self, units):
        """Mel frames of a number of units, see :meth:`MelSpec.count_frames`."""
        return self.mel_spec.count_frames(units, self.unit_spec.unit_rate)

    def encode(
        self, units: torch.Tensor, lengths: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Contextual vectors of units.

        Args:
            units: (B, n) int64; negative ids count as 0, as in the reference.
            lengths: (B,) int64, at least 1; None: no padding.

        Returns:
            (B, n, encoder_size).
        """
        x = self.input_embedding(units.clamp(min=0))
        if lengths is not None:
            x = x * length_mask(lengths, units.size(1))[..., None]
        return self.encoder(x, lengths=lengths)

    def prior(
        self,
        units: torch.Tensor,
        size: int,
        lengths: torch.Tensor | None = None,
        frames: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Mean mu of the mel: (B, mel_size, size).

        Args:
            units, lengths: as in :meth:`encode`.
            size: T, the largest of ``frames``.
            frames: (B,) int64 mel frames; None if ``lengths`` is.
        """
        hidden = self.encoder_proj(self.encode(units, lengths))
        return self.length_regulator(hidden, size, lengths, frames)

    def speaker(self, spk_emb: torch.Tensor) -> torch.Tensor:
        """(B, spk_embed_dim) embeddings of any length -> (B, mel_size)."""
        return self.spk_embed_affine_layer(F.normalize(spk_emb, dim=-1))

    def forward(
        self,
        units: torch.Tensor,
        spk_emb: torch.Tensor,
        noise: torch.Tensor,
        lengths: torch.Tensor | None = None,
        cond: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Mel of a batch; with a prompt, its units lead and its mel is in ``cond``.

        Args:
            units: (B, n) int64.
            spk_emb: (B, spk_embed_dim).
            noise: (B, mel_size, T), normal, T the largest of the items' frames.
            lengths: (B,) int64 units, at least 1; None: no padding.
            cond: (B, mel_size, T) known frames of the mel, zeros elsewhere.

        Returns:
            (B, mel_size, T), prompts included; see :meth:`count_frames`.
        """
        size = noise.size(2)
        frames = None if lengths is None else self.count_frames(lengths)
        mu = self.prior(units, size, lengths, frames)
        cond = torch.zeros_like(mu) if cond is None else cond
        mask = frame_mask(frames, size)
        return self.decoder(mu, self.speaker(spk_emb), cond, noise, mask)

    def loss(
        self,
        units: torch.Tensor,
        lengths: torch.Tensor,
        mel: torch.Tensor,
        frames: torch.Tensor,
        spk_emb: torch.Tensor,
        cond: torch.Tensor,
        draws: FlowDraws,
        chunk: int | None = None,
    ) -> torch.Tensor:
        """Flow matching loss (a scalar) of a padded batch.

        Args:
            units: (B, n) int64.
            lengths: (B,) int64 units.
            mel: (B, mel_size, T) targets.
            frames: (B,) int64 frames of the targets.
            spk_emb: (B, spk_embed_dim).
            cond: (B, mel_size, T) frames that are told, zeros elsewhere.
            draws: random numbers.
            chunk: units of a chunk, of a flow that is causal by chunks; None: every
                frame sees all others.
        """
        size = mel.size(2)
        mu = self.training_prior(units, size, lengths, frames, chunk)
        mask, speaker = frame_mask(frames, size), self.speaker(spk_emb)
        chunk = chunk and self.count_frames(chunk)
        return self.decoder.loss(mel, mask, mu, speaker, cond, draws, chunk)

    def training_prior(
        self, units, size, lengths, frames, chunk: int | None
    ) -> torch.Tensor:
        """:meth:`prior` of a batch of :meth:`loss`."""
        return self.prior(units, size, lengths, frames)
