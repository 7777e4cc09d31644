"""Units of utterances that enter and leave a running batch (continuous batching)."""

from abc import abstractmethod
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch.nn.utils.rnn import pad_sequence

from espnet2_taste.nn.kv_cache import RaggedKVCache
from espnet2_taste.nn.running_batch import LOOK, RunningBatch, captured
from espnet2_taste.taste.speech_decoder.abs_speech_decoder import (
    AbsSpeechDecoder,
    Conditioning,
    GeneratedUnits,
    Sampling,
)
from espnet2_taste.taste.speech_decoder.sampling import UnitSampler


@dataclass
class Encoded:
    """An utterance that waits for its turn.

    Attributes:
        tensors: what its steps read, by name.
        read: positions of its prompt.
        positions: what it takes of a cache at most, prompt included.
        seed: of its random stream.
    """

    tensors: dict[str, torch.Tensor]
    read: int
    positions: int
    seed: int


@dataclass
class _Row:
    """An utterance at work: what it has made, on the CPU, and how far it is."""

    read: int = 0
    steps: int = 0
    made: list[torch.Tensor] = field(default_factory=list)


class RunningUnits(RunningBatch):
    """Utterances that a speech decoder decodes, ``slots`` of them at once.

    The units are those that ``generate`` gives each utterance alone, with the same
    sampling and seed. Results are pairs: (U,) int64 units, and (W,) int64 units of each
    word or None, see GeneratedUnits.

    Args:
        decoder: in eval mode.
        sampling: how to draw.
        slots: utterances at work at once.
        capacity: positions that an utterance may take: the step is one CUDA graph then,
            and longer ones are refused. None: no graph.
    """

    def __init__(
        self,
        decoder: AbsSpeechDecoder,
        sampling: Sampling,
        slots: int,
        capacity: int | None = None,
    ):
        super().__init__(slots, fixed=capacity is not None)
        self.decoder = decoder
        self.sampling = sampling
        self.capacity = capacity
        self.rows: list[_Row] = []
        self.state: dict[str, torch.Tensor] = {}

    @torch.inference_mode()
    def add(self, cond: Conditioning, item_seeds: list[int] | None = None) -> list[int]:
        """Encode utterances and let them wait; gives their tickets.

        Args:
            cond: of B utterances.
            item_seeds: B integers, mixed with ``sampling.seed``; default 0 for each.

        Raises:
            ValueError: one that is longer than ``capacity``; none waits then.
        """
        seeds = [0] * len(cond.spk_emb) if item_seeds is None else item_seeds
        items = self.encoded(cond, seeds)
        longest = max((item.positions for item in items), default=0)
        if self.capacity is not None and longest > self.capacity:
            raise ValueError(
                f"an utterance takes up to {longest} positions, the running batch "
                f"holds {self.capacity}"
            )
        return [self.queue(item) for item in items]

    def fix(self) -> None:
        """From now on ``capacity`` is what the longest of those that wait takes; to be
        said before anybody is at work."""
        self.capacity = max(item.positions for _, item in self.waiting)
        self.fixed = True

    @abstractmethod
    def encoded(self, cond: Conditioning, item_seeds: list[int]) -> list[Encoded]:
        """The utterances apart."""

    @abstractmethod
    def fresh(self, count: int) -> tuple[dict[str, torch.Tensor], Any]:
        """State of rows that hold nobody, (count, ...) each, and an empty cache.

        Among the state are ``x`` (count, ..., D), what the next step reads, and
        ``alive`` (count,) bool.
        """

    @property
    @abstractmethod
    def kv(self) -> RaggedKVCache:
        """Keys and values of ``cache``."""

    def cache_rows(self, rows: torch.Tensor) -> torch.Tensor:
        """The rows of :attr:`kv` that belong to (n,) int64 ``rows``."""
        return rows

    @abstractmethod
    def logits(self) -> torch.Tensor:
        """(B, V) of a cached step that reads ``x``; nothing else changes."""

    @abstractmethod
    def begin(self, rows: torch.Tensor, items: list[Encoded]) -> None:
        """State and cache of items that enter (n,) int64 ``rows``."""

    @abstractmethod
    def draw(self, logits: torch.Tensor, step: int) -> torch.Tensor:
        """(B,) tokens, -1 of those that have none; ``step``: of the furthest row.

        Also decides who is still ``alive`` and what the next step reads.
        """

    def arrange(self, rows: list[int]) -> None:
        if rows[0] < 0:
            self.state, self.cache = self.fresh(len(rows))
            device = self.state["x"].device
            self.sampler = UnitSampler(self.sampling, len(rows), device)
            self.rows = [_Row() for _ in rows]
            self.step = captured(self.logits, device) if self.fixed else self.logits
            return
        index = torch.tensor(rows, device=self.state["x"].device)
        self.state = {name: tensor[index] for name, tensor in self.state.items()}
        self.sampler.keep(rows)
        self.kv.keep(self.cache_rows(index))
        self.rows = [self.rows[row] for row in rows]

    def enter(self, rows: list[int], items: list[Encoded]) -> None:
        self.sampler.enter(rows, [item.seed for item in items])
        for row, item in zip(rows, items, strict=True):
            self.rows[row] = _Row(item.read)
        self.begin(torch.tensor(rows, device=self.state["x"].device), items)

    def burst(self) -> list[bool]:
        pairs = zip(self.rows, self.tickets, strict=True)
        at_work = [row for row, ticket in pairs if ticket is not None]
        self.kv.read_up_to(max(row.read + row.steps for row in at_work))
        steps = max(row.steps for row in at_work)
        columns = [self.draw(self.step(), steps + i) for i in range(LOOK)]
        columns.append(self.state["alive"].long())
        *columns, alive = torch.stack(columns).cpu()
        for row, tokens in zip(self.rows, torch.stack(columns, 1), strict=True):
            row.steps += LOOK
            row.made.append(tokens[tokens >= 0])
        return [not goes_on for goes_on in alive.tolist()]

    def take(self, row: int) -> tuple[torch.Tensor, torch.Tensor | None]:
        return torch.cat(self.rows[row].made), None

    def rest(self, row: int) -> None:
        alive = self.state["alive"]
        alive[row] = False
        self.kv.lengths[self.cache_rows(torch.tensor([row], device=alive.device))] = 0

    def put(self, name: str, rows: torch.Tensor, values: list[torch.Tensor]) -> None:
        """Tensors of the items that enter, padded to what the state has room for."""
        state, new = self.state[name], pad_sequence(values, batch_first=True)
        if new.dim() > 1 and (missing := new.size(1) - state.size(1)) > 0:
            more = state.new_zeros(len(state), missing, *state.shape[2:])
            state = self.state[name] = torch.cat([state, more], 1)
        if new.dim() > 1:
            state[rows, : new.size(1)] = new
        else:
            state[rows] = new


def as_batch(found: list[tuple[torch.Tensor, torch.Tensor | None]]) -> GeneratedUnits:
    """Results of a running batch as ``generate`` gives them, on the CPU."""
    pad = partial(pad_sequence, batch_first=True)
    lengths = torch.tensor([len(units) for units, _ in found])
    words = [words for _, words in found]
    durations = None if words[0] is None else pad(words)
    return GeneratedUnits(pad([units for units, _ in found]), lengths, durations)
