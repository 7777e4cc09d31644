"""HiFT on mels that arrive in pieces: the samples of the whole mel, none twice.

A sample depends on the mel and the excitation of ``HiFT.reach`` frames around it, the
excitation on f0 of its frame and the next one, f0 on five frames around it. Whatever
is not decided yet waits (about 22 frames at the published sizes, 0.44 s of speech that
playback has ahead of it); what has been used up is forgotten.
"""

from dataclasses import dataclass

import torch

from espnet2_taste.vocoder.cosyvoice2.generator import HiFT24, Noise2
from espnet2_taste.vocoder.cosyvoice2.source import frame_cycles

F0_REACH = 5  # frames to either side that f0 depends on: five convolutions of 3


@dataclass
class _Stream:
    """One mel; frames are counted from the first that is remembered.

    Attributes:
        mel: (mel_size, n).
        f0: (k,) Hz, of the first k <= n frames.
        source: (hop m,) excitation, of the first m <= k frames.
        start: (NUM_HARMONICS,) float64 cycles of the frame before frame m - 1.
        given: frames whose samples were given.
        whole: nothing has been forgotten yet.
    """

    mel: torch.Tensor
    f0: torch.Tensor
    source: torch.Tensor
    start: torch.Tensor
    given: int = 0
    whole: bool = True


class HiFTStreams:
    """HiFT of B streams; those that are equally far are computed together.

    Args:
        hift: in eval mode.
        noises: of each stream.
        no_mel: (mel_size, 0) on HiFT's device.
    """

    def __init__(self, hift: HiFT24, noises: list[Noise2], no_mel: torch.Tensor):
        self.hift, self.noises = hift, noises
        self.hop = hift.mel_spec.hop
        none = no_mel.new_zeros(0)
        start = no_mel.new_zeros(hift.m_source.l_linear.in_features).double()
        self.streams = [_Stream(no_mel, none, none, start) for _ in noises]

    def push(
        self, mels: list[list[torch.Tensor]], ends: list[bool]
    ) -> list[torch.Tensor]:
        """Take new frames of each stream, give the samples that are decided by them.

        Args:
            mels: for each stream parts (mel_size, n).
            ends: whether a stream ends with them.

        Returns:
            (samples,) float32 on the CPU.
        """
        wavs = [torch.zeros(0) for _ in mels]
        groups: dict[tuple, list[int]] = {}
        for row, (parts, end) in enumerate(zip(mels, ends, strict=True)):
            stream = self.streams[row]
            if parts:
                stream.mel = torch.cat([stream.mel, *parts], 1)
            if (parts or end) and stream.mel.size(1):
                key = (
                    end,
                    stream.mel.size(1),
                    len(stream.f0),
                    len(stream.source),
                    stream.given,
                    stream.whole,
                )
                groups.setdefault(key, []).append(row)
        for (end, *_), rows in groups.items():
            made = self._advance(rows, end)
            for row, wav in zip(rows, made.cpu(), strict=True):
                wavs[row] = wav
        return wavs

    def _advance(self, rows: list[int], end: bool) -> torch.Tensor:
        """(b, samples) of streams that are equally far."""
        streams, hop, reach = [self.streams[r] for r in rows], self.hop, self.hift.reach
        one = streams[0]
        frames = one.mel.size(1)
        mel = torch.stack([stream.mel for stream in streams])
        self._predict_f0(streams, mel, frames if end else frames - F0_REACH)
        self._excite(rows, frames if end else len(one.f0) - 1, end)
        decided = len(one.source) // hop
        ready = decided if end else decided - reach
        if ready <= one.given:
            return mel.new_zeros(len(rows), 0)
        source = torch.stack([stream.source for stream in streams])
        wav = self.hift.decode(mel[..., :decided], source)
        wav = wav[:, hop * one.given : hop * ready]
        forget = max(0, ready - reach - 1)  # the first frame is at the window's edge
        for stream in streams:
            stream.given = ready - forget
            stream.mel = stream.mel[:, forget:].clone()
            stream.f0 = stream.f0[forget:].clone()
            stream.source = stream.source[hop * forget :].clone()
            stream.whole &= forget == 0
        return wav

    def _predict_f0(self, streams: list[_Stream], mel: torch.Tensor, size: int) -> None:
        """f0 of the first ``size`` frames."""
        known = len(streams[0].f0)
        if size <= known:
            return
        first = max(0, known - F0_REACH)
        f0 = self.hift.f0_predictor(mel[..., first:])[:, known - first : size - first]
        for stream, new in zip(streams, f0, strict=True):
            stream.f0 = torch.cat([stream.f0, new])

    def _excite(self, rows: list[int], size: int, end: bool) -> None:
        """Excitation of the first ``size`` frames; f0 of the next one is known, too."""
        streams, hop = [self.streams[row] for row in rows], self.hop
        done = len(streams[0].source) // hop
        if size <= done:
            return
        before = min(done, 1)
        f0 = torch.stack([stream.f0 for stream in streams])[:, done - before :]
        start = torch.stack([stream.start for stream in streams])
        noise = [self.noises[row].source(size - done) for row in rows]
        source = self.hift.m_source(
            f0, None, torch.stack(noise).to(f0.device), start, before
        )
        cycles = frame_cycles(f0, self.hift.mel_spec, start)
        kept = before + size - done - 2  # the frame before the last that is excited
        for i, stream in enumerate(streams):
            stream.source = torch.cat([stream.source, source[i]])
            if kept >= 0:
                stream.start = cycles[i, :, kept]
