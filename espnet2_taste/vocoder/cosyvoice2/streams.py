"""Utterances spoken while their units arrive.

The flow computes whole chunks of units as soon as the ``look_ahead`` units after them
are there, from the keys, values and frames that its layers remember; HiFT computes the
samples that no later frame changes. The result is that of a single chunk-masked pass
over the utterance (the vocoder with ``chunked``), up to rounding: there are no seams,
and a chunk costs what the one before it did, but for attention's look at the past (of
all of it, as published, unless the flow has ``left_chunks``).
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch.nn.utils.rnn import pad_sequence

from espnet2_taste.io.values import check_numbers
from espnet2_taste.nn.stream_memory import Step
from espnet2_taste.vocoder.abs_vocoder import AbsVocoderStreams
from espnet2_taste.vocoder.cosyvoice.vocoder import Prompt
from espnet2_taste.vocoder.cosyvoice2.flow import RATE
from espnet2_taste.vocoder.cosyvoice2.generator import Noise2
from espnet2_taste.vocoder.cosyvoice2.hift_streams import HiFTStreams

if TYPE_CHECKING:
    from espnet2_taste.vocoder.cosyvoice2.vocoder import CosyVoice2Vocoder


class _Utterance:
    """One stream: its units, and how many of them the flow has had."""

    def __init__(self, prompt: Prompt, noise: Noise2, no_mel: torch.Tensor):
        self.units = prompt.units
        self.prompt_units = len(prompt.units)
        self.known = torch.cat([no_mel, prompt.mel.T.to(no_mel)], 1)
        self.noise = noise
        self.done = 0
        self.ended = False

    def ready(self, chunk: int, look_ahead: int) -> int:
        """Whole chunks that can be computed."""
        return max(0, (len(self.units) - self.done - look_ahead) // chunk)

    def rest(self) -> int:
        """Units left at the end; none if the utterance is nothing but its prompt."""
        if not self.ended or len(self.units) == self.prompt_units:
            return 0
        return len(self.units) - self.done


class CosyVoice2Streams(AbsVocoderStreams):
    """See :class:`AbsVocoderStreams`; all that a stream gives is ``chunked``'s sound.

    The first sound comes with the first chunk's look-ahead, 28 units at the published
    sizes.

    Args:
        vocoder: whose model and noise are used.
        spk_emb: (B, spk_embed_dim).
        item_seeds: B integers; default 0 for each.
        prompts: speech that each utterance continues.

    Raises:
        ValueError: what does not fit.
    """

    def __init__(
        self,
        vocoder: "CosyVoice2Vocoder",
        spk_emb: torch.Tensor,
        item_seeds: Sequence[int] | None = None,
        prompts: Sequence[Prompt] | None = None,
    ):
        super().__init__(vocoder, spk_emb)
        for name, given in (("item_seeds", item_seeds), ("prompts", prompts)):
            if given is not None and len(given) != self.count:
                raise ValueError(f"{len(given)} {name} for {self.count} streams")
        self.flow, self.chunk = vocoder.model.flow, vocoder.model.flow.chunk
        self.device = self.flow.encoder_proj.weight.device
        no_mel = torch.zeros(self.flow.mel_size, 0, device=self.device)
        self.utterances = []
        for row in range(self.count):
            prompt = Prompt(self.nothing, no_mel.T)
            if prompts is not None and prompts[row] is not None:
                prompt = self._check_prompt(prompts[row])
            noise = vocoder.new_noise(item_seeds[row] if item_seeds else 0)
            self.utterances.append(_Utterance(prompt, noise, no_mel))
        self.memory = self.flow.new_memory(self.count)
        self.speaker = None
        noises = [item.noise for item in self.utterances]
        self.hift = HiFTStreams(vocoder.model.hift, noises, no_mel)

    def _check_prompt(self, prompt: Prompt) -> Prompt:
        self.vocoder.check_units([prompt.units])
        check_numbers("a prompt's mel", prompt.mel)
        if prompt.mel.ndim != 2 or prompt.mel.size(1) != self.flow.mel_size:
            raise ValueError(
                f"a prompt's mel must be (frames, {self.flow.mel_size}), not "
                f"{tuple(prompt.mel.shape)}"
            )
        return self.vocoder.fit(prompt)

    @torch.inference_mode()
    def speak(self, units: list[torch.Tensor], ends: list[bool]) -> list[torch.Tensor]:
        self.vocoder.model.eval()
        if self.speaker is None:
            self.speaker = self.flow.speaker(self.spk_emb.to(self.device).float())
        for item, new, end in zip(self.utterances, units, ends, strict=True):
            item.units = torch.cat([item.units, new.cpu().long()])
            item.ended |= end
        mels: list[list[torch.Tensor]] = [[] for _ in units]
        while self._chunks(mels):
            pass
        self._rests(mels)
        return self.hift.push(mels, ends)

    def _chunks(self, mels: list[list[torch.Tensor]]) -> bool:
        """Compute as many chunks of all streams that have some; False: none has."""
        look_ahead = self.flow.look_ahead
        ready = [item.ready(self.chunk, look_ahead) for item in self.utterances]
        rows = [row for row, count in enumerate(ready) if count]
        if not rows:
            return False
        size = self.chunk * min(ready[row] for row in rows)
        self._step(rows, [size] * len(rows), look_ahead, mels)
        return True

    def _rests(self, mels: list[list[torch.Tensor]]) -> None:
        """Compute what is left of the streams that have ended."""
        sizes = [item.rest() for item in self.utterances]
        rows = [row for row, size in enumerate(sizes) if size]
        if rows:
            self._step(rows, [sizes[row] for row in rows], 0, mels)

    def _step(
        self,
        rows: list[int],
        sizes: list[int],
        look_ahead: int,
        mels: list[list[torch.Tensor]],
    ) -> None:
        """Run the flow on the next units of some streams; their mel goes to ``mels``.

        Args:
            rows: the streams.
            sizes: units of each, all the same but at the end.
            look_ahead: units after them that are looked at; 0: there are none.
            mels: by stream, appended to.
        """
        items, size = [self.utterances[row] for row in rows], max(sizes)
        starts = [item.done for item in items]
        ends = [start + n for start, n in zip(starts, sizes, strict=True)]
        sizes_of_step = (size, self.chunk, self.flow.left_chunks)
        self.memory.begin(Step(tuple(rows), tuple(starts), tuple(ends), *sizes_of_step))
        units = pad_sequence(
            [
                item.units[start : end + look_ahead]
                for item, start, end in zip(items, starts, ends, strict=True)
            ],
            batch_first=True,
        ).to(self.device)
        noise = [
            item.noise.flow(RATE * n) for item, n in zip(items, sizes, strict=True)
        ]
        cond = [
            item.known[:, RATE * start : RATE * end]
            for item, start, end in zip(items, starts, ends, strict=True)
        ]
        mel = self.flow.stream(
            units[:, :size],
            self.speaker[rows],
            self._stack(noise, RATE * size),
            self._stack(cond, RATE * size),
            units[:, size:] if look_ahead else None,
            self.memory,
        )
        for i, (row, item) in enumerate(zip(rows, items, strict=True)):
            first = max(0, RATE * (item.prompt_units - item.done))
            mels[row].append(mel[i, :, first : RATE * sizes[i]])
            item.done = ends[i]

    def _stack(self, parts: list[torch.Tensor], size: int) -> torch.Tensor:
        """(mel_size, up to size) each -> (b, mel_size, size), zeros at the end."""
        padded = [
            torch.nn.functional.pad(part, (0, size - part.size(1))) for part in parts
        ]
        return torch.stack(padded).to(self.device)
