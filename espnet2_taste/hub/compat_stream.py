"""CosyVoice 2's published streaming loop, fault by fault, for the parity tests.

Each chunk computes everything before it again; later chunks are longer; neighbours are
faded into each other by a window whose halves add up to 1.08, on an excitation that is
replaced; the last chunk sees the whole utterance, which those before it did not.
"""

from collections.abc import Callable

import numpy as np
import torch

from espnet2_taste.vocoder.cosyvoice.vocoder import Prompt
from espnet2_taste.vocoder.cosyvoice2.flow import RATE
from espnet2_taste.vocoder.cosyvoice2.generator import VoiceGenerator2

MEL_CACHE = 8  # frames


class PublishedLoop:
    """One utterance through the published loop.

    Args:
        model: in eval mode.
        spk_emb: (1, spk_embed_dim).
        noise: (mel_size, T or more) that the flow starts from.
        source_noise: samples of HiFT's next call -> (NUM_HARMONICS, samples).
        prompt: speech that the utterance continues.
        hop, max_hop: units of the first chunk and at most of a later one.
    """

    def __init__(
        self,
        model: VoiceGenerator2,
        spk_emb: torch.Tensor,
        noise: torch.Tensor,
        source_noise: Callable[[int], torch.Tensor],
        prompt: Prompt | None = None,
        hop: int = 25,
        max_hop: int = 100,
    ):
        self.model, self.spk_emb, self.noise = model, spk_emb, noise
        self.source_noise = source_noise
        empty = Prompt(torch.zeros(0, dtype=torch.long), noise.new_zeros(0, len(noise)))
        self.prompt = prompt or empty
        self.hop, self.max_hop = hop, max_hop
        self.cache: tuple[torch.Tensor, ...] | None = None  # mel, source, waveform
        self.overlap = MEL_CACHE * model.flow.mel_spec.hop
        window = torch.from_numpy(np.hamming(2 * self.overlap)).float()
        self.window = window.to(noise.device)

    def speak(self, units: torch.Tensor, streaming: bool = True) -> list[torch.Tensor]:
        """Waveforms (1, samples) of the chunks of (n,) units."""
        ahead, chunks, offset = self.model.flow.look_ahead, [], 0
        padding = -len(self.prompt.units) % self.hop
        hop = self.hop + padding
        while streaming and len(units) - offset >= hop + ahead:
            mel = self._mel(units[: offset + hop + ahead], final=False)
            chunks.append(self._vocode(mel[..., RATE * offset :], last=False))
            offset += hop
            self.hop = min(self.max_hop, 2 * self.hop)
            hop = self.hop
        mel = self._mel(units, final=True)
        chunks.append(self._vocode(mel[..., RATE * offset :], last=True))
        return chunks

    def _mel(self, units: torch.Tensor, final: bool) -> torch.Tensor:
        """(1, mel_size, frames) of all units so far."""
        flow, known = self.model.flow, len(self.prompt.mel)
        units, ahead, chunk = torch.cat([self.prompt.units, units])[None], None, None
        if not final:
            size = units.size(1) - flow.look_ahead
            units, ahead, chunk = units[:, :size], units[:, size:], flow.chunk
        noise = self.noise[None, :, : RATE * units.size(1)]
        cond = torch.zeros_like(noise)
        cond[..., :known] = self.prompt.mel.T
        mel = flow(units, self.spk_emb, noise, cond=cond, chunk=chunk, ahead=ahead)
        return mel[..., known:]

    def _vocode(self, mel: torch.Tensor, last: bool) -> torch.Tensor:
        hift, size = self.model.hift, self.overlap
        if self.cache is not None:
            mel = torch.cat([self.cache[0], mel], -1)
        f0 = hift.f0_predictor(mel)
        noise = self.source_noise(mel.size(-1) * hift.mel_spec.hop)
        source = hift.m_source(f0, None, noise[None])
        if self.cache is not None:
            source[:, :size] = self.cache[1]
        wav = hift.decode(mel, source)
        if self.cache is not None:
            fading = self.cache[2] * self.window[size:]
            wav[:, :size] = wav[:, :size] * self.window[:size] + fading
        if last:
            return wav
        self.cache = mel[..., -MEL_CACHE:], source[:, -size:], wav[:, -size:]
        return wav[:, :-size]
