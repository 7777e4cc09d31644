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
        sampling: how to draw.
        slots: utterances at work at once.
        capacity: positions that an utterance may take: the step is one CUDA graph then,
            and longer ones are refused. None: no graph.
    """

    def __init__(self, sampling: Sampling, slots: int, capacity: int | None = None):
        super().__init__(slots, fixed=capacity is not None)
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

        Among the state are ``x`` (count, 1, D), what the next step reads, and ``alive``
        (count,) bool.
        """

    @property
    @abstractmethod
    def kv(self) -> RaggedKVCache:
        """Keys and values of ``cache``."""

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
        self.kv.keep(index)
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
        self.kv.lengths[row] = 0  # a row that rests reads nothing
        return torch.cat(self.rows[row].made), None

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


class RunningTransformer(RunningUnits):
    """Utterances of a ``unit_transformer``.

    Args:
        decoder: in eval mode.
        sampling, slots, capacity: see :class:`RunningUnits`.
    """

    def __init__(self, decoder, *args):
        super().__init__(*args)
        self.decoder = decoder
        device = decoder.llm_embedding.weight.device
        units = torch.arange(decoder.num_units + 1, device=device)
        self.is_end = units == decoder.num_units

    @property
    def kv(self) -> RaggedKVCache:
        return self.cache.kv

    def encoded(self, cond: Conditioning, item_seeds: list[int]) -> list[Encoded]:
        prompts = self.decoder._prompt(cond)
        lengths = cond.text.lengths + 3
        least, most = self.decoder._limits(lengths)
        items = zip(
            prompts,
            lengths.tolist(),
            least,
            most,
            most.tolist(),
            item_seeds,
            strict=True,
        )
        return [
            # without the last position, the task, which the first step reads
            Encoded(
                {"prompt": prompt[: n - 1], "least": least, "most": most},
                *(n - 1, n + steps, seed),
            )
            for prompt, n, least, most, steps, seed in items
        ]

    def fresh(self, count: int) -> tuple[dict[str, torch.Tensor], Any]:
        like = self.decoder.llm_embedding.weight.detach()
        zeros = torch.zeros(count, dtype=torch.long, device=like.device)
        state = {"least": zeros.clone(), "most": zeros.clone(), "alive": zeros > 0}
        state["x"] = like.new_zeros(count, 1, like.size(1))
        cache = self.decoder.llm.new_ragged_cache(
            count, like, self.capacity or LOOK, self.fixed
        )
        return state, cache

    def logits(self) -> torch.Tensor:
        hidden = self.decoder.llm(self.state["x"], self.cache)
        return self.decoder.llm_decoder(hidden[:, -1]).float()

    def begin(self, rows: torch.Tensor, items: list[Encoded]) -> None:
        llm, state = self.decoder.llm, self.state
        prompts = [item.tensors["prompt"] for item in items]
        lengths = torch.tensor([len(x) for x in prompts], device=rows.device)
        size = max(map(len, prompts))
        x = torch.stack([x.new_zeros(size, x.size(1)) for x in prompts])
        for row, prompt in zip(x, prompts, strict=True):
            row[size - len(prompt) :] = prompt
        read = llm.new_cache(size, size - lengths, x)
        llm(x, read)
        self.kv.write(rows, read.kv.filled(), lengths)
        needed = max(item.positions for item in items) + LOOK
        if not self.fixed and needed > self.cache.positions[0].size(1):
            self.cache.positions = llm.distances(2 * needed, x)
        for name in ("least", "most"):
            state[name][rows] = torch.stack([item.tensors[name] for item in items])
        state["alive"][rows] = state["most"][rows] > 0
        state["x"][rows] = self.decoder.llm_embedding.weight[1]

    def draw(self, logits: torch.Tensor, step: int) -> torch.Tensor:
        state, drawn = self.state, self.sampler.count
        early = (drawn < state["least"])[:, None]
        logits = logits.masked_fill(self.is_end & early, -torch.inf)
        unit = self.sampler(logits, step, state["alive"])
        state["alive"] &= (unit != self.decoder.num_units) & (drawn < state["most"])
        unit = torch.where(state["alive"], unit, 0)
        self.kv.advance(state["alive"])
        state["x"].copy_(self.decoder.speech_embedding(unit)[:, None])
        return unit.masked_fill(~state["alive"], -1)


class RunningWords(RunningUnits):
    """Utterances of a ``word_synchronous`` decoder; arguments as above."""

    def __init__(self, decoder, *args):
        super().__init__(*args)
        self.decoder = decoder

    @property
    def kv(self) -> RaggedKVCache:
        return self.cache

    def encoded(self, cond: Conditioning, item_seeds: list[int]) -> list[Encoded]:
        context, expected, words = self.decoder._words(cond)
        room = self.decoder.max_units_per_word + 1
        counts = words.tolist()
        items = zip(context, expected, words, counts, item_seeds, strict=True)
        return [
            Encoded(
                {"context": c[:n], "expected": e[:n], "words": word},
                *(0, n * room, seed),
            )
            for c, e, word, n, seed in items
        ]

    def fresh(self, count: int) -> tuple[dict[str, torch.Tensor], Any]:
        like = self.decoder.head.weight.detach()
        zeros = torch.zeros(count, dtype=torch.long, device=like.device)
        state = {n: zeros.clone() for n in ("words", "word", "step", "token")}
        state["alive"] = zeros > 0
        state["context"] = like.new_zeros(count, 1, like.size(1))
        state["expected"] = like.new_zeros(count, 1)
        state["x"] = like.new_zeros(count, 1, like.size(1))
        options = {"capacity": self.capacity, "fixed": True} if self.fixed else {}
        transformer = self.decoder.transformer
        return state, transformer.new_ragged_cache(count, like, **options)

    def logits(self) -> torch.Tensor:
        hidden = self.decoder.transformer(self.state["x"], self.cache)
        return self.decoder.head(hidden[:, 0]).float()

    def begin(self, rows: torch.Tensor, items: list[Encoded]) -> None:
        state = self.state
        for name in ("context", "expected"):
            self.put(name, rows, [item.tensors[name] for item in items])
        words = torch.stack([item.tensors["words"] for item in items])
        state["words"][rows] = words
        state["alive"][rows] = words > 0
        for name in ("word", "step"):
            state[name][rows] = 0
        state["token"][rows] = self.decoder.num_units + 1  # START
        self.kv.lengths[rows] = 0
        self._read()

    def _read(self) -> None:
        """What the next step reads."""
        state = self.state
        spot = state["word"].clamp(max=state["context"].size(1) - 1)[:, None]
        context = state["context"].gather(
            1, spot[..., None].expand(-1, -1, state["context"].size(2))
        )
        left = state["expected"].gather(1, spot).squeeze(1) - state["step"]
        x = self.decoder._embed(state["token"], state["step"], left)
        state["x"].copy_(x[:, None] + context)

    def draw(self, logits: torch.Tensor, step: int) -> torch.Tensor:
        state, decoder = self.state, self.decoder
        going = state["alive"].clone()
        token = self.sampler(decoder._allowed(logits, state["step"]), step, going)
        advance = going & (token == decoder.num_units)
        state["word"] += advance
        state["step"] = (state["step"] + going).masked_fill(advance, 0)
        state["token"] = torch.where(going, token, state["token"])
        state["alive"] &= state["word"] < state["words"]
        self.kv.advance(state["alive"])
        self._read()
        return token.masked_fill(~going, -1)

    def take(self, row: int) -> tuple[torch.Tensor, torch.Tensor]:
        tokens, _ = super().take(row)
        is_unit = tokens < self.decoder.num_units
        ends = is_unit.long().cumsum(0)[~is_unit]  # units before each ADVANCE
        return tokens[is_unit], ends.diff(prepend=ends.new_zeros(1))


def as_batch(found: list[tuple[torch.Tensor, torch.Tensor | None]]) -> GeneratedUnits:
    """Results of a running batch as ``generate`` gives them, on the CPU."""
    pad = partial(pad_sequence, batch_first=True)
    lengths = torch.tensor([len(units) for units, _ in found])
    words = [words for _, words in found]
    durations = None if words[0] is None else pad(words)
    return GeneratedUnits(pad([units for units, _ in found]), lengths, durations)
