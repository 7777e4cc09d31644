"""Generation of :mod:`.interleaved_lm`: many streams, whole texts or text as it comes.

A stream waits for N tokens, reads them, makes the M units of their block and waits
again; after its last token it reads ``task`` and goes on to the end of speech. What one
stream waits for, the others do not: streams share steps, and a stream that does nothing
in a step leaves a hole in the key-value cache that its mask hides.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from espnet2_taste.taste.speech_decoder.abs_speech_decoder import Sampling
from espnet2_taste.taste.speech_decoder.sampling import UnitSampler
from espnet2_taste.taste.speech_decoder.shared_steps import SharedSteps
from espnet2_taste.taste.speech_decoder.streams import (
    DecoderStreams,
    Piece,
    SpokenPrompt,
)

if TYPE_CHECKING:
    from espnet2_taste.taste.speech_decoder.interleaved_lm import InterleavedLMDecoder

#: steps between two looks at whether a stream has ended (a host sync)
_CHECK_EVERY = 8
#: units that nobody makes
_NEVER = 2**40


@dataclass
class _Stream:
    """What the host knows of a stream.

    Attributes:
        text: (l, size) vectors that have not been read.
        prompt: (p,) units of the prompt that have not been read.
        num_text: tokens that came, without those of the prompt.
        made: units of its blocks.
        left: units until its block is full, or until its limit.
        last: no more text comes.
        tail: the end of the text has been read.
        pending: its last unit has not been read.
    """

    text: torch.Tensor
    prompt: torch.Tensor
    num_text: int = 0
    made: int = 0
    left: int = 0
    last: bool = False
    tail: bool = False
    pending: bool = False


class InterleavedStreams(DecoderStreams):
    """Streams of an :class:`InterleavedLMDecoder`.

    A fill is never sampled: it is due after the M units of a block, as in training.
    Nor is the end before all text has been read. Within a block, which steps a stream
    takes is known to the host beforehand, and nothing waits for the device.

    Args:
        decoder: in eval mode.
        count: B.
        sampling: how to draw.
        item_seeds: B integers; default 0 for every item.
        prompts: per stream what was said before it, or None.
        in_blocks: bi-stream generation; False: a whole text, then its units.

    Raises:
        ValueError: a prompt with ids that the decoder has not.
    """

    #: most steps between two looks
    steps_at_once = _CHECK_EVERY

    def __init__(
        self,
        decoder: "InterleavedLMDecoder",
        count: int,
        sampling: Sampling,
        item_seeds: list[int] | None = None,
        prompts: Sequence[SpokenPrompt | None] | None = None,
        in_blocks: bool = True,
    ):
        super().__init__(count)
        self.decoder, self.in_blocks = decoder, in_blocks
        self.like = like = decoder.speech_embedding.weight.detach()
        sampling = decoder.configured(sampling)
        self.sampler = UnitSampler(sampling, count, like.device, item_seeds)
        self.calls = 0  # of the sampler
        rows = torch.zeros(count, dtype=torch.long, device=like.device)
        self.unit = rows  # the last one of each stream
        self.steps = SharedSteps(decoder.llm, like.new_zeros(count, like.size(1)))
        self.least = rows + _NEVER  # no end before a stream has drawn so many units
        self.alive = rows == 0
        ids = torch.arange(decoder.num_units + 3, device=like.device)
        self.is_end, self.is_symbol = ids == decoder.end, ids > decoder.end
        prompts = [None] * count if prompts is None else list(prompts)
        if len(prompts) != count:
            raise ValueError(f"{len(prompts)} prompts for {count} streams")
        said, _ = self.check_push([p and p.piece for p in prompts], None)
        texts = self._fused(said)
        units = [rows[:0] if p is None else self._checked(p.units) for p in prompts]
        self.streams = [_Stream(*both) for both in zip(texts, units, strict=True)]
        self._warn_of_short_prompts()

    def _warn_of_short_prompts(self) -> None:
        texts, units = self.decoder.mix_ratio
        for row, stream in enumerate(self.streams):
            held = len(stream.text) // texts * units
            if self.in_blocks and len(stream.prompt) < held:
                logging.warning(
                    "stream %d: a prompt of %d units for %d tokens, whose blocks hold "
                    "%d: what is generated says the rest of its text first",
                    *(row, len(stream.prompt), len(stream.text), held),
                )

    @property
    def done(self) -> list[bool]:
        # all that was made has been pulled
        return [stream.tail and not stream.left for stream in self.streams]

    def feed(
        self, pieces: Sequence[Piece | None], last: Sequence[bool] | None = None
    ) -> None:
        """See the base class.

        Raises:
            ValueError: also for ids or embeddings that do not fit; no stream has taken
                anything then.
        """
        pieces, last = self.check_push(pieces, last)
        self.take(self._fused(pieces), last)

    def take(self, text: Sequence[torch.Tensor], last: Sequence[bool]) -> None:
        """:meth:`feed` of (l, size) vectors that are fused already."""
        for i, (stream, new) in enumerate(zip(self.streams, text, strict=True)):
            if len(new):
                stream.text = torch.cat([stream.text, new])
                stream.num_text += len(new)
            stream.last = self.ended[i] = self.ended[i] or last[i]

    @torch.no_grad()
    def pull(self, most: int | None = 25) -> list[torch.Tensor]:
        """See the base class; ``most`` None: all that can be told by now."""
        columns: list[tuple[torch.Tensor, torch.Tensor]] = []
        while most is None or len(columns) < most:
            self._read()
            active = [stream.left > 0 for stream in self.streams]
            if not any(active):
                break
            steps = min(stream.left for stream in self.streams if stream.left)
            if self._looks(active):
                steps = min(steps, self.steps_at_once)
            if most is not None:
                steps = min(steps, most - len(columns))
            columns += self._make(active, steps)
            if self._looks(active):
                self._look(active, columns[-1][0])
        if not columns:
            return [torch.zeros(0, dtype=torch.long) for _ in self.streams]
        units, emitted = (torch.stack(c, 1).cpu() for c in zip(*columns, strict=True))
        return [row[where] for row, where in zip(units, emitted, strict=True)]

    def _read(self) -> None:
        """Every stream that can go on reads what comes before its next unit."""
        while True:
            inputs = [self._next(i) for i in range(self.count)]
            sizes = [len(x) for x in inputs]
            most = max(sizes)
            if not most:
                return
            x = self.like.new_zeros(self.count, most, self.like.size(1))
            for row, new in zip(x, inputs, strict=True):
                row[most - len(new) :] = new
            first = torch.tensor([most - size for size in sizes], device=x.device)
            here = torch.arange(most, device=x.device) >= first[:, None]
            self.steps.read(x, here, [size > 0 for size in sizes], min(sizes) < most)
            for stream, size in zip(self.streams, sizes, strict=True):
                stream.pending &= size == 0
            least = [s.num_text * self.decoder.min_ratio for s in self.streams]
            least = [
                (0 if self.in_blocks else int(least)) if stream.tail else _NEVER
                for stream, least in zip(self.streams, least, strict=True)
            ]
            self.least = torch.tensor(least, device=x.device)

    def _next(self, row: int) -> torch.Tensor:
        """(l, size) what a stream reads now; nothing while it makes units or waits."""
        stream, decoder = self.streams[row], self.decoder
        if stream.left or stream.tail:
            return self.like[:0]
        texts, units = decoder.mix_ratio
        sos, task = decoder.llm_embedding.weight.detach().split(1)
        if self.in_blocks and len(stream.text) >= texts:
            now, stream.text = stream.text.tensor_split([texts])
            prompt, stream.prompt = stream.prompt.tensor_split([units])
            stream.left = self._due(len(prompt), len(stream.prompt))
            stream.made += stream.left
            parts = [now, decoder.speech_embedding(prompt)]
        elif stream.last:
            stream.tail = True
            limit = int(decoder.max_ratio * stream.num_text) - stream.made
            stream.left = max(limit, 0)
            if not stream.left:
                return self.like[:0]
            parts = [stream.text, task, decoder.speech_embedding(stream.prompt)]
        else:
            return self.like[:0]
        before = self._unread(row) if self.steps.started[row] else sos
        return torch.cat([before, *parts])

    def _due(self, prompt: int, more: int) -> int:
        """Units to be made in a block that begins with so many of the prompt, of which
        more follow."""
        return 0 if more else self.decoder.mix_ratio[1] - prompt

    def _unread(self, row: int) -> torch.Tensor:
        """(0 or 1, size) the last unit of a stream's block."""
        pending = self.streams[row].pending
        return self.decoder.speech_embedding(self.unit[row : row + int(pending)])

    def _make(
        self, active: list[bool], steps: int
    ) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Units of ``steps`` steps and whether they count, (B,) each."""
        now, columns = self.steps.flag(active), []
        for _ in range(steps):
            reads = [a and s.pending for a, s in zip(active, self.streams, strict=True)]
            if any(reads):
                x = self.decoder.speech_embedding(self.unit)[:, None]
                self.steps.read(
                    x, self.steps.flag(reads)[:, None], reads, not all(reads)
                )
            logits = self._allowed(self.decoder.unit_logits(self.steps.hidden).float())
            unit = self.sampler(logits, self.calls, now)
            self.calls += 1
            self.alive = self.alive & ~(now & self._ends(unit))
            emitted = now & self.alive & (unit < self.decoder.num_units)
            self.unit = torch.where(emitted, unit, self.unit)
            columns.append((unit, emitted))
            for stream, is_active in zip(self.streams, active, strict=True):
                stream.pending |= is_active
        filled = []
        for stream, is_active in zip(self.streams, active, strict=True):
            stream.left -= steps * is_active
            filled.append(is_active and not stream.tail and not stream.left)
        if any(filled):
            fill = torch.full_like(self.unit, self.decoder.fill)
            self.sampler.note(fill, self.steps.flag(filled))
        return columns

    def _allowed(self, logits: torch.Tensor) -> torch.Tensor:
        """-inf where a (B, V + 3) symbol may not be sampled now."""
        early = (self.sampler.count < self.least)[:, None]
        return logits.masked_fill(self.is_symbol | (self.is_end & early), -torch.inf)

    def _ends(self, unit: torch.Tensor) -> torch.Tensor:
        """(B,) bool: a stream ends with this symbol."""
        return unit >= self.decoder.num_units

    def _looks(self, active: list[bool]) -> bool:
        """Whether the host must look at what was sampled to know what comes next."""
        return any(a and s.tail for a, s in zip(active, self.streams, strict=True))

    def _look(self, active: list[bool], unit: torch.Tensor) -> None:
        """What the host learns after a step in which the active streams drew (B,)."""
        for stream, alive in zip(self.streams, self.alive.tolist(), strict=True):
            if not alive:
                stream.left = 0

    def _fused(self, pieces: Sequence[Piece | None]) -> list[torch.Tensor]:
        """(l, size) vectors of each piece, made together."""
        given = [piece for piece in pieces if piece is not None and len(piece)]
        if not given:
            return [self.like[:0]] * len(pieces)
        for piece in given:
            wanted = (len(piece), self.decoder.audio_size)
            if piece.audio is not None and piece.audio.shape != wanted:
                raise ValueError(
                    f"TASTE vectors {tuple(piece.audio.shape)} of {len(piece)} tokens: "
                    f"expected {wanted}"
                )
        ids = torch.cat([piece.ids for piece in given]).to(self.like.device)
        self._check_ids("text ids", ids, self.decoder.text_size)
        audio = None
        if given[0].audio is not None:
            audio = torch.cat([piece.audio for piece in given]).to(self.like.device)
        with torch.no_grad():
            fused = self.decoder.fused_text(ids, audio)
        return list(fused.split([0 if p is None else len(p) for p in pieces]))

    def _checked(self, units: torch.Tensor) -> torch.Tensor:
        units = units.to(self.like.device).long()
        self._check_ids("prompt units", units, self.decoder.num_units)
        return units

    @staticmethod
    def _check_ids(what: str, ids: torch.Tensor, size: int) -> None:
        if len(ids) and not 0 <= int(ids.min()) <= int(ids.max()) < size:
            raise ValueError(
                f"{what} from {int(ids.min())} to {int(ids.max())}: the decoder's are "
                f"0 to {size - 1}"
            )
