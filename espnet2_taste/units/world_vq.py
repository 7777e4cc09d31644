"""The `world_vq` units: a VQ autoencoder on WORLD features (25 or 50 Hz, one stream).

It stands in for the paper's S3 units (Section 3.1) where no pretrained weights are
wanted. The encoder sees absolute log-F0 and timbre; the decoder is told the speaker
by an embedding, so codes go to what the speaker does not explain: phones and pitch.

With S = 320 ``frames_per_unit`` samples at 16 kHz a unit, an utterance of N samples has
``ceil(N / S)`` units; unit u covers samples [S u, S (u + 1)), the last one padded with
zeros.
"""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from espnet2.torch_utils.device_funcs import force_gatherable
from espnet2.train.abs_espnet_model import AbsESPnetModel
from torch import nn

from espnet2_taste.io.audio import as_speech
from espnet2_taste.io.model_folder import copy_model, load_model
from espnet2_taste.nn.segments import length_mask
from espnet2_taste.nn.vector_quantize import VectorQuantize
from espnet2_taste.units import world
from espnet2_taste.units.abs_unit_extractor import AbsUnitExtractor
from espnet2_taste.units.analysis import (
    FRAMES_PER_UNIT,
    NUM_CEPS,
    world_features,
)


class ResidualConv(nn.Module):
    """x + W(relu(conv(norm(x)))): one block at the unit rate, padding kept at zero."""

    def __init__(self, size: int, kernel_size: int):
        super().__init__()
        self.norm = nn.LayerNorm(size)
        self.conv = nn.Conv1d(size, size, kernel_size, padding=kernel_size // 2)
        self.project = nn.Linear(size, size)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """(B, U, size) and (B, U, 1) bool -> (B, U, size)."""
        hidden = (self.norm(x) * mask).transpose(1, 2)
        hidden = F.relu(self.conv(hidden).transpose(1, 2))
        return x + self.project(hidden)


class WorldVQ(AbsESPnetModel):
    """Conv autoencoder over WORLD features with an EMA codebook.

    With several processes the codebook's start (k-means of the first batch) and its
    moving averages are of all processes' batches.

    Args:
        num_units: codebook size.
        num_ceps: cepstral coefficients of the features, C.
        spk_embed_dim: width of the speaker embedding; 0 for an unconditioned decoder.
        hidden_size: width of the convolutions.
        encoder_blocks, decoder_blocks, kernel_size: depth and context.
        code_dim: width of a codebook vector.
        decay: of the codebook's moving average.
        dead_code_threshold: a code that fewer vectors of a batch take, on average, is
            replaced by one of them; far below the units of a batch over ``num_units``,
            or codes are replaced before they are learnt.
        f0_weight: of the log-F0 error against the cepstral one, in training.
        ceps_exponent: cepstral coefficients are weighted by std ** this: 0 weighs all
            alike, 1 is the log-spectral distance.
        spk_noise: standard deviation of noise on each dimension of the embeddings in
            training, so that unseen speakers are not far from what the decoder knows.
        frames_per_unit: of 20 ms: 2 are 25 units a second, 1 is 50.
        bandwidth: Hz that the cepstrum describes; 4000 for recordings of 8 kHz, whose
            empty upper half would else be what most coefficients are spent on.
    """

    def __init__(
        self,
        num_units: int = 512,
        num_ceps: int = NUM_CEPS,
        spk_embed_dim: int = 64,
        hidden_size: int = 160,
        encoder_blocks: int = 2,
        decoder_blocks: int = 3,
        kernel_size: int = 5,
        code_dim: int = 32,
        decay: float = 0.98,
        dead_code_threshold: float = 0.1,
        f0_weight: float = 4.0,
        ceps_exponent: float = 0.5,
        spk_noise: float = 0.05,
        frames_per_unit: int = FRAMES_PER_UNIT,
        bandwidth: int = world.BANDWIDTH,
    ):
        super().__init__()
        self.f0_weight = f0_weight
        self.ceps_exponent = ceps_exponent
        self.spk_noise = spk_noise
        self.num_units = num_units
        self.num_ceps = num_ceps
        self.spk_embed_dim = spk_embed_dim
        self.feature_dim = world.NUM_PITCH + num_ceps
        self.frames_per_unit, self.bandwidth = frames_per_unit, bandwidth
        unit_dim = frames_per_unit * self.feature_dim
        self.register_buffer("mean", torch.zeros(self.feature_dim))
        self.register_buffer("scale", torch.ones(self.feature_dim))
        self.encoder_in = nn.Linear(unit_dim, hidden_size)
        self.encoder = nn.ModuleList(
            ResidualConv(hidden_size, kernel_size) for _ in range(encoder_blocks)
        )
        self.encoder_out = nn.Sequential(
            nn.LayerNorm(hidden_size), nn.Linear(hidden_size, code_dim)
        )
        self.quantizer = VectorQuantize(
            dim=code_dim,
            codebook_size=num_units,
            decay=decay,
            kmeans_init=True,
            threshold_ema_dead_code=dead_code_threshold,
            commitment_weight=0.25,
            rotation_trick=False,
        )
        self.decoder_in = nn.Linear(code_dim, hidden_size)
        self.speaker = (
            nn.Linear(spk_embed_dim, hidden_size, bias=False) if spk_embed_dim else None
        )
        self.decoder = nn.ModuleList(
            ResidualConv(hidden_size, kernel_size) for _ in range(decoder_blocks)
        )
        self.decoder_out = nn.Sequential(
            nn.LayerNorm(hidden_size), nn.Linear(hidden_size, unit_dim)
        )

    @property
    def reach(self) -> int:
        """Units before and after one that its features depend on."""
        return sum(block.conv.kernel_size[0] // 2 for block in self.decoder)

    def set_statistics(self, mean: torch.Tensor, std: torch.Tensor) -> None:
        """Normalise by these (feature_dim,) statistics; voicing stays 0 or 1."""
        self.mean.copy_(mean)
        self.scale.copy_(std.clamp(min=1e-3))
        voicing = slice(world.F0_PER_FRAME, world.NUM_PITCH)
        self.mean[voicing], self.scale[voicing] = 0.5, 0.5

    def latents(self, features: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Features (B, F U, D) and (B, U, 1) bool -> (B, U, code_dim)."""
        x = (features - self.mean) / self.scale
        x = self.encoder_in(x.reshape(*mask.shape[:2], -1))
        for block in self.encoder:
            x = block(x, mask)
        return self.encoder_out(x)

    def reconstruct(
        self, codes: torch.Tensor, spk_emb: torch.Tensor | None, mask: torch.Tensor
    ) -> torch.Tensor:
        """Code vectors (B, U, code_dim), speakers (B, S), (B, U, 1) bool ->
        normalised features (B, F U, D); the voicing columns are logits."""
        x = self.decoder_in(codes)
        if self.speaker is not None:
            x = x + self.speaker(F.normalize(spk_emb, dim=-1)).unsqueeze(1)
        for block in self.decoder:
            x = block(x, mask)
        x = self.decoder_out(x)
        return x.reshape(len(x), -1, self.feature_dim)

    def forward(
        self,
        feats: torch.Tensor,
        feats_lengths: torch.Tensor,
        spk_emb: torch.Tensor | None = None,
        **kwargs,
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor], torch.Tensor]:
        """Training loss.

        Args:
            feats: (B, F U, D) WORLD features, padded with anything;
                F = ``frames_per_unit``.
            feats_lengths: (B,) int64 frames of each row, F per unit.
            spk_emb: (B, S) speaker embeddings; not needed without conditioning.
            kwargs: ignored (``utt_id``).

        Returns:
            loss, statistics and the batch size.
        """
        lengths = feats_lengths // self.frames_per_unit
        mask = length_mask(lengths, feats.shape[1] // self.frames_per_unit)
        codes, _, commit = self.quantizer(
            self.latents(feats, mask.unsqueeze(-1)), mask=mask
        )
        if self.training and self.speaker is not None:
            spk_emb = spk_emb + self.spk_noise * torch.randn_like(spk_emb)
        output = self.reconstruct(codes, spk_emb, mask.unsqueeze(-1))
        target = (feats - self.mean) / self.scale
        frames = mask.repeat_interleave(self.frames_per_unit, dim=1)
        output, target = output[frames], target[frames]  # (frames, D)

        pitch, voice = world.F0_PER_FRAME, world.NUM_PITCH
        voiced = (target[:, pitch:voice] > 0).to(output.dtype)
        # Interpolated stretches only need to be plausible.
        trust = 0.1 + 0.9 * voiced
        f0 = (trust * (output[:, :pitch] - target[:, :pitch]) ** 2).mean()
        voicing = F.binary_cross_entropy_with_logits(output[:, pitch:voice], voiced)
        # c0 spans silence to speech and would drown the rest in any power of its std.
        weights = self.scale[voice:].clamp(max=2.0) ** (2 * self.ceps_exponent)
        error = (output[:, voice:] - target[:, voice:]) ** 2
        ceps = (error * (weights / weights.mean())).mean()
        loss = ceps + self.f0_weight * f0 + voicing + commit.sum()
        parts = {"ceps": ceps, "f0": f0, "voicing": voicing, "commit": commit.sum()}
        stats = {name: value.detach() for name, value in parts.items()}
        stats["loss"] = loss.detach().clone()  # the trainer scales it in place
        return force_gatherable((loss, stats, len(feats)), loss.device)

    def collect_feats(self, **batch: torch.Tensor) -> dict[str, torch.Tensor]:
        """Nothing needs statistics of ESPnet's."""
        return {}

    @torch.no_grad()
    def encode(self, features: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Features (B, F U, D), (B,) int64 -> (B, U) int64 units; padding is -1."""
        mask = length_mask(lengths, features.shape[1] // self.frames_per_unit)
        latents = self.latents(features, mask.unsqueeze(-1))
        distances = torch.cdist(latents, self.quantizer.codebook.unsqueeze(0))
        return distances.argmin(-1).masked_fill(~mask, -1)

    @torch.no_grad()
    def decode(
        self, units: torch.Tensor, lengths: torch.Tensor, spk_emb: torch.Tensor | None
    ) -> torch.Tensor:
        """Units (B, U) int64 (padding: any), (B,), (B, S) -> features (B, F U, D)
        in WORLD's units, voicing as probabilities."""
        mask = length_mask(lengths, units.shape[1]).unsqueeze(-1)
        codes = self.quantizer.get_codes_from_indices(units.clamp(min=0))
        output = self.reconstruct(codes, spk_emb, mask)
        voicing = slice(world.F0_PER_FRAME, world.NUM_PITCH)
        features = output * self.scale + self.mean
        features[..., voicing] = output[..., voicing].sigmoid()
        return features


class WorldVQUnitExtractor(AbsUnitExtractor):
    """`world_vq`: units from a trained WorldVQ.

    Args:
        model: in eval mode.
    """

    sample_rate = world.SAMPLE_RATE

    def __init__(self, model: WorldVQ):
        self.model = model
        self.unit_rate = world.SAMPLE_RATE / (world.FRAME_SHIFT * model.frames_per_unit)
        self.num_units = model.num_units

    @classmethod
    def from_pretrained(cls, path: str, device: str = "cpu") -> "WorldVQUnitExtractor":
        """Load the folder that bin/units_train.py wrote."""
        return cls(load_model(path, WorldVQ, "bin/units_train.py", device))

    @classmethod
    def pack(cls, path: str, folder: Path) -> None:
        copy_model(path, folder, WorldVQ, "bin/units_train.py")

    def __call__(self, wavs: list[torch.Tensor]) -> list[torch.Tensor]:
        """1-D float waveforms at 16 kHz -> 1-D int64 units, ceil(N / S) each."""
        model = self.model
        conf = model.num_ceps, model.frames_per_unit, model.bandwidth
        features = [world_features(as_speech(wav), *conf) for wav in wavs]
        return self.encode_features(features)

    def encode_features(self, features: list[np.ndarray]) -> list[torch.Tensor]:
        """(F U, D) WORLD features of each utterance -> (U,) int64 units on the CPU."""
        device = self.model.mean.device
        lengths = torch.tensor([len(x) // self.model.frames_per_unit for x in features])
        if lengths.sum() == 0:
            return [torch.zeros(0, dtype=torch.int64) for _ in features]
        padded = nn.utils.rnn.pad_sequence(
            [torch.from_numpy(x) for x in features], batch_first=True
        )
        units = self.model.encode(padded.to(device), lengths.to(device)).cpu()
        return [row[:n] for row, n in zip(units, lengths.tolist(), strict=True)]
