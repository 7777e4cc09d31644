"""Continuations that enter and leave a running batch (continuous batching)."""

from dataclasses import dataclass, field

import torch

from espnet2_taste.nn.hf_cache import filled
from espnet2_taste.nn.packed_linears import packed_linears
from espnet2_taste.nn.running_batch import LOOK, RunningBatch, captured
from espnet2_taste.taslm.decisions import Decisions
from espnet2_taste.taslm.espnet_model import TaslmModel
from espnet2_taste.taslm.generated import Generated
from espnet2_taste.taslm.generation import Prompt, prompt_embeddings, seen_tokens
from espnet2_taste.taslm.sampler import random_streams
from espnet2_taste.taslm.sampling_options import SamplingOptions
from espnet2_taste.taslm.vocabulary import Vocabulary


@dataclass
class _Waiting:
    """A prompt: (P, size) vectors, (V,) tokens seen, (delay, projected_size) what is
    still to be read or None, and (steps, draws) uniforms."""

    embeds: torch.Tensor
    seen: torch.Tensor
    pending: torch.Tensor | None
    uniforms: torch.Tensor


@dataclass
class _Row:
    """A continuation at work: positions read, and its steps so far, on the CPU."""

    read: int = 0
    steps: int = 0
    made: list[torch.Tensor] = field(default_factory=list)


class RunningContinuations(RunningBatch):
    """Prompts that are continued, ``slots`` of them at once.

    Results are :class:`Generated` of one item each, with the words and codes that
    ``generate`` gives the prompt alone with the same options and seed.

    Args:
        model: in eval mode; its LM must have a ragged cache.
        vocabulary: of its text.
        options: how to draw, where to stop; of all prompts.
        slots: continuations at work at once.
        capacity: positions that a prompt and its continuation may take: the step of the
            LM is one CUDA graph then, and longer ones are refused. None: no graph.
    """

    def __init__(
        self,
        model: TaslmModel,
        vocabulary: Vocabulary,
        options: SamplingOptions,
        slots: int,
        capacity: int | None = None,
    ):
        super().__init__(slots, fixed=capacity is not None)
        self.model, self.capacity = model, capacity
        self.vocabulary, self.options = vocabulary, options
        self.rows: list[_Row] = []
        none = torch.zeros(0, model.lm.vocab_size, dtype=torch.bool)
        self.most = self._decisions(none.to(model.inputs.padding.device)).steps

    def _decisions(self, seen: torch.Tensor) -> Decisions:
        return Decisions(self.model, self.vocabulary, self.options, seen, None)

    @torch.inference_mode()
    def add(self, prompt: Prompt, item_seeds: list[int] | None = None) -> list[int]:
        """Let a batch of prompts wait; gives their tickets.

        Raises:
            ValueError: one that is longer than ``capacity``; none waits then.
        """
        embeds, mask, pending = prompt_embeddings(self.model, prompt)
        seeds = [0] * len(embeds) if item_seeds is None else item_seeds
        sizes = mask.sum(1).tolist()
        longest = max(sizes, default=0) + self.most
        if self.capacity is not None and longest > self.capacity:
            raise ValueError(
                f"a prompt and its continuation take up to {longest} positions, the "
                f"running batch holds {self.capacity}"
            )
        seen = seen_tokens(prompt, self.model.lm.vocab_size)
        draws = 1 + self.model.speech_head.num_draws
        tickets = []
        for i, (size, seed) in enumerate(zip(sizes, seeds, strict=True)):
            uniforms = random_streams(self.options.seed, [seed], self.most, draws)[0]
            rest = None if pending is None else pending[i]
            item = _Waiting(embeds[i, -size:], seen[i], rest, uniforms)
            tickets.append(self.queue(item))
        return tickets

    def fix(self) -> None:
        """From now on ``capacity`` is what the longest of those that wait takes; to be
        said before anybody is at work."""
        sizes = (len(item.embeds) for _, item in self.waiting)
        self.capacity = max(sizes) + self.most
        self.fixed = True

    def arrange(self, rows: list[int]) -> None:
        lm, padding = self.model.lm, self.model.inputs.padding
        if rows[0] < 0:
            count = len(rows)
            seen = padding.new_zeros(count, lm.vocab_size, dtype=torch.bool)
            self.decide = self._decisions(seen)
            options = {"capacity": self.capacity, "fixed": True} if self.fixed else {}
            self.cache = lm.new_ragged_cache(count, **options)
            self.x = next(lm.parameters()).new_zeros(count, 1, lm.size)
            draws = 1 + self.model.speech_head.num_draws
            self.uniforms = torch.zeros(count, self.most, draws, device=padding.device)
            self.rows = [_Row() for _ in rows]
            fixed = self.fixed
            self.step = captured(self.read, padding.device) if fixed else self.read
            return
        index = torch.tensor(rows, device=padding.device)
        self.decide.arrange(index)
        self.cache.kv.keep(index)
        self.x, self.uniforms = self.x[index], self.uniforms[index]
        self.rows = [self.rows[row] for row in rows]

    def read(self) -> torch.Tensor:
        """(B, size) state of the LM after ``x``; nothing else changes."""
        return self.model.lm(self.x, cache=self.cache, use_cache=True).hidden[:, -1]

    def enter(self, rows: list[int], items: list[_Waiting]) -> None:
        index = torch.tensor(rows, device=self.x.device)
        for spoken in (False, True):
            some = [i for i, x in enumerate(items) if (x.pending is not None) == spoken]
            if some:
                seen = torch.stack([items[i].seen for i in some])
                rest = [items[i].pending for i in some]
                self.decide.enter(
                    index[some], seen, torch.stack(rest) if spoken else None
                )
        uniforms = torch.stack([item.uniforms for item in items])
        self.uniforms[index] = uniforms.to(self.x.device)
        self.x[index] = torch.stack([item.embeds[-1:] for item in items]).to(self.x)
        before = [item.embeds[:-1] for item in items]  # the rest is the first step's
        for row, read in zip(rows, before, strict=True):
            self.rows[row] = _Row(len(read))
        lengths = torch.tensor([len(read) for read in before], device=self.x.device)
        self.cache.kv.lengths[index] = 0
        if size := max(map(len, before)):
            x = self.x.new_zeros(len(rows), size, self.x.size(2))
            for row, read in zip(x, before, strict=True):
                row[size - len(read) :] = read
            mask = torch.arange(size, device=x.device) >= (size - lengths)[:, None]
            mask = mask if len(set(map(len, before))) > 1 else None
            read = self.model.lm(x, mask, use_cache=True).cache
            self.cache.kv.write(index, filled(read), lengths)

    def burst(self) -> list[bool]:
        pairs = zip(self.rows, self.tickets, strict=True)
        at_work = [row for row, ticket in pairs if ticket is not None]
        self.cache.kv.read_up_to(max(row.read + row.steps for row in at_work))
        sampler, batch = self.decide.sampler, self.cache.kv.rows
        columns = []
        for _ in range(LOOK):
            step = sampler.steps.clamp(max=self.most - 1)
            hidden, going = self.step(), ~sampler.done
            chosen, new = self.decide(hidden, self.uniforms[batch, step])
            self.cache.kv.advance(going & (sampler.steps < self.most))
            self.x.copy_(new[:, None])
            columns.append(_packed(chosen))
        look = torch.stack(columns, 1).cpu()
        for row, steps in zip(self.rows, look, strict=True):
            row.steps += LOOK
            row.made.append(steps)
        return [
            bool(done) or row.steps >= self.most
            for row, done in zip(self.rows, look[:, -1, -1], strict=True)
        ]

    def take(self, row: int) -> Generated:
        steps = torch.cat(self.rows[row].made)[: self.most]
        widths = [1, 1, 1, self.model.quantizer.num_codebooks]
        widths += [steps.size(1) - sum(widths) - 1, 1]
        text, emitted, starts, codes, latents, done = steps[None].split(widths, -1)
        columns = text.squeeze(-1), emitted.squeeze(-1) > 0, starts.squeeze(-1) > 0
        latents = latents.int().view(torch.float32)
        return Generated.joined(
            [
                Generated(
                    *(*columns, codes, latents, done.squeeze(-1) > 0),
                    self.model.granularity,
                )
            ]
        )

    def rest(self, row: int) -> None:
        self.cache.kv.lengths[row] = 0
        self.decide.sampler.done[row] = True


@torch.no_grad()
def generate_running(
    model: TaslmModel,
    vocabulary: Vocabulary,
    prompt: Prompt,
    options: SamplingOptions,
    item_seeds: list[int] | None = None,
    slots: int = 16,
    graph: bool = False,
) -> list[Generated]:
    """What ``generate`` gives, an item each, with ``slots`` prompts at work at once.

    ``graph``: a step of the LM is one CUDA graph.
    """
    count = len(prompt.text.lengths)
    running = RunningContinuations(
        model, vocabulary, options, max(min(slots, count), 1)
    )
    running.add(prompt, item_seeds)
    if graph and count:
        running.fix()
    with packed_linears(model.lm, rows=running.slots):
        return running.results()


def _packed(chosen: tuple[torch.Tensor, ...]) -> torch.Tensor:
    """Columns of a step as (B, n) int64, floats as their bits: one copy to the host."""
    return torch.cat(
        [
            (x.float().view(torch.int32) if x.is_floating_point() else x)
            .long()
            .reshape(len(x), -1)
            for x in chosen
        ],
        1,
    )
