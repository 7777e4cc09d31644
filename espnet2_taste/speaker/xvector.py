"""A tiny x-vector: convolutions, statistics pooling, one embedding an utterance.

Snyder et al., "X-vectors: robust DNN embeddings for speaker recognition" (ICASSP
2018), at a size that trains in seconds. It stands in for the paper's pretrained
speaker embedding and, unlike a table by speaker, has a vector for any voice.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
import torchaudio
from torch import nn

from espnet2_taste.io.model_folder import copy_model, load_model
from espnet2_taste.nn.segments import length_mask
from espnet2_taste.speaker.abs_speaker_encoder import AbsSpeakerEncoder, at_least

SAMPLE_RATE = 16000
HOP = 160
MADE_BY = "bin/speaker_train.py"
POWER_FLOOR = 1e-5  # hides digital silence and the dither of 16 bits


class XVector(nn.Module):
    """Waveforms -> unit-length speaker embeddings.

    Args:
        embed_dim: width of the embedding.
        hidden_size: channels of the convolutions.
        num_mels: of the log-mel spectrogram (25 ms windows, 10 ms apart), whose mean
            over time is removed.
    """

    def __init__(self, embed_dim: int = 64, hidden_size: int = 96, num_mels: int = 40):
        super().__init__()
        self.embed_dim = embed_dim
        self.mel = torchaudio.transforms.MelSpectrogram(
            SAMPLE_RATE, n_fft=512, win_length=400, hop_length=HOP, n_mels=num_mels
        )
        # (channels in, kernel, dilation): 2 + 4 + 6 frames of context on either side
        sizes = [(num_mels, 5, 1), (hidden_size, 5, 2), (hidden_size, 5, 3)]
        self.convs = nn.ModuleList(
            nn.Conv1d(size, hidden_size, kernel, dilation=dilation)
            for size, kernel, dilation in sizes
        )
        self.norms = nn.ModuleList(nn.LayerNorm(hidden_size) for _ in sizes)
        self.embed = nn.Linear(2 * hidden_size, embed_dim)

    def features(self, wavs: torch.Tensor) -> torch.Tensor:
        """(B, N) waveforms of one length -> (B, T, num_mels), mean removed."""
        mel = self.mel(wavs).clamp(min=POWER_FLOOR).log().transpose(1, 2)
        return mel - mel.mean(1, keepdim=True)

    def forward(self, features: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Pool and embed.

        Args:
            features: (B, T, num_mels), T at least ``min_frames``; zero padding.
            lengths: (B,) int64 frames.

        Returns:
            (B, embed_dim) of length 1.
        """
        hidden = features
        for conv, norm in zip(self.convs, self.norms, strict=True):
            hidden = conv(hidden.transpose(1, 2)).transpose(1, 2)
            hidden = norm(F.relu(hidden))
        # Valid convolutions: frames that saw padding are those at the end.
        lengths = lengths - (features.shape[1] - hidden.shape[1])
        mask = length_mask(lengths, hidden.shape[1]).unsqueeze(-1).to(hidden.dtype)
        count = mask.sum(1)
        mean = (hidden * mask).sum(1) / count
        variance = ((hidden - mean.unsqueeze(1)) ** 2 * mask).sum(1) / count
        pooled = torch.cat([mean, (variance + 1e-5).sqrt()], dim=-1)
        return F.normalize(self.embed(pooled), dim=-1)

    @property
    def min_frames(self) -> int:
        """Frames that the convolutions need for one output frame."""
        return 1 + sum((c.kernel_size[0] - 1) * c.dilation[0] for c in self.convs)


class SpeakerClassifier(nn.Module):
    """Additive-margin softmax over the training speakers (Wang et al., 2018).

    Args:
        num_speakers: of the training set.
        embed_dim: of the x-vector.
        scale, margin: of the softmax.
    """

    def __init__(
        self,
        num_speakers: int,
        embed_dim: int,
        scale: float = 20.0,
        margin: float = 0.2,
    ):
        super().__init__()
        self.scale = scale
        self.margin = margin
        self.weight = nn.Parameter(torch.randn(num_speakers, embed_dim))

    def forward(
        self, embeddings: torch.Tensor, speakers: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, embed_dim) of length 1 and (B,) int64 -> scalar loss and accuracy."""
        cosine = embeddings @ F.normalize(self.weight, dim=-1).T
        accuracy = (cosine.argmax(-1) == speakers).float().mean()
        target = F.one_hot(speakers, cosine.shape[1]).to(cosine.dtype)
        logits = self.scale * (cosine - self.margin * target)
        return F.cross_entropy(logits, speakers), accuracy


class XVectorSpeakerEncoder(AbsSpeakerEncoder):
    """`xvector`: utterance embeddings from a trained XVector.

    Args:
        model: in eval mode.
    """

    sample_rate = SAMPLE_RATE

    def __init__(self, model: XVector):
        self.model = model
        self.embed_dim = model.embed_dim

    @classmethod
    def from_pretrained(cls, path: str, device: str = "cpu") -> "XVectorSpeakerEncoder":
        """Load the folder that bin/speaker_train.py wrote."""
        return cls(load_model(path, XVector, MADE_BY, device, part="xvector"))

    @classmethod
    def pack(cls, path: str, folder: Path) -> None:
        copy_model(path, folder, XVector, MADE_BY, part="xvector")

    @torch.no_grad()
    def __call__(self, wavs: list[torch.Tensor]) -> torch.Tensor:
        """1-D float waveforms -> (B, embed_dim) float32 on the CPU.

        Waveforms shorter than the network's context are repeated; no samples count as
        silence.
        """
        device = self.model.embed.weight.device
        needed = HOP * self.model.min_frames
        features = []
        for wav in wavs:
            wav = at_least(wav, needed).to(device)
            features.append(self.model.features(wav.unsqueeze(0))[0])
        lengths = torch.tensor([len(item) for item in features], device=device)
        padded = nn.utils.rnn.pad_sequence(features, batch_first=True)
        return self.model(padded, lengths).cpu()
