"""Choosing text tokens and deciding when words, texts and utterances end.

Everything is a (B,) tensor: a batch of continuations advances without a loop.
"""

from dataclasses import dataclass

import torch

from espnet2_taste.nn.random_streams import item_generator
from espnet2_taste.taslm.sampling_options import SamplingOptions
from espnet2_taste.taslm.vocabulary import CHARACTER, Vocabulary
from espnet2_taste.text.utf8 import REJECT

#: Logit of what may not be chosen (finite: penalties multiply it).
BANNED = -1e5


def top_p_filter(logits: torch.Tensor, top_p: float) -> torch.Tensor:
    """Ban all but the most likely entries that together stay within ``top_p``.

    The most likely one always stays. (..., V) -> (..., V).
    """
    ordered, index = logits.sort(dim=-1, descending=True)
    outside = ordered.softmax(-1).cumsum(-1) > top_p
    outside[..., 0] = False
    return logits.masked_fill(outside.scatter(-1, index, outside), BANNED)


def penalise_repetition(
    logits: torch.Tensor, seen: torch.Tensor, penalty: float
) -> torch.Tensor:
    """Divide positive and multiply negative logits where (B, V) ``seen``."""
    penalised = torch.where(logits < 0, logits * penalty, logits / penalty)
    return torch.where(seen, penalised, logits)


def draw(logits: torch.Tensor, uniforms: torch.Tensor) -> torch.Tensor:
    """Inverse CDF: (..., V) logits, (...) uniforms in [0, 1) -> (...) int64."""
    cdf = logits.double().softmax(-1).cumsum(-1)
    target = uniforms.double()[..., None] * cdf[..., -1:]
    index = torch.searchsorted(cdf, target, right=True).squeeze(-1)
    return index.clamp(max=logits.size(-1) - 1)


def random_streams(
    seed: int, item_seeds: list[int], steps: int, draws: int
) -> torch.Tensor:
    """(B, steps, draws) uniforms; an item's depend on its own seeds only."""
    streams = []
    for item_seed in item_seeds:
        generator = item_generator(seed, item_seed)
        streams.append(torch.rand(steps, draws, generator=generator, device="cpu"))
    return torch.stack(streams)


@dataclass
class Decision:
    """What happens at a step, each (B,).

    Attributes:
        text: int64 chosen token; fed back to the LM.
        emitted: bool, the token is part of the text.
        starts: bool, the step counts as the start of a word.
        begins: bool, it counts as the start of a segment, which codes belong to.
        stopped: bool, the text ended here by a symbol or the word limit.
        sampling: bool, codes have begun to be predicted.
        taste: bool, codes are predicted at this very step.
        done: bool, nothing more to come from this item.
    """

    text: torch.Tensor
    emitted: torch.Tensor
    starts: torch.Tensor
    begins: torch.Tensor
    stopped: torch.Tensor
    sampling: torch.Tensor
    taste: torch.Tensor
    done: torch.Tensor


class Sampler:
    """State machine of a batch of continuations.

    The text of the last segments comes ``delay`` of them before their codes, so after
    its end a continuation waits ``delay`` steps, each counted as the start of a word
    and of a segment.

    Args:
        options: see :class:`SamplingOptions`.
        vocabulary: on the device of the logits.
        delay: of the model.
        delay_level: of the model.
        eos_id: ends the text if ``options.end_symbol``.
        seen: (B, V) bool tokens of the prompts.
        granularity: of the model: a segment is a ``word`` or a ``token``.
    """

    def __init__(
        self,
        options: SamplingOptions,
        vocabulary: Vocabulary,
        delay: int,
        delay_level: str,
        eos_id: int,
        seen: torch.Tensor,
        granularity: str = "word",
    ):
        self.options = options
        self.vocabulary = vocabulary
        self.delay = delay
        self.delay_level = delay_level
        self.every_token = granularity == "token"
        for name, value in self.beginning(seen).items():
            setattr(self, name, value)
        stops = options.ids["stop_id"]
        if options.end_symbol:
            stops.append(eos_id)
        self.stops = torch.zeros_like(vocabulary.banned)
        self.stops[stops] = True
        self.banned = vocabulary.banned & ~self.stops
        if options.banned_ids:
            self.banned[options.ids["banned_ids"]] = True

    def beginning(self, seen: torch.Tensor) -> dict[str, torch.Tensor]:
        """Attributes by name, (B, ...), of continuations that begin, whose prompts hold
        (B, V) bool ``seen``."""
        zeros = torch.zeros(len(seen), dtype=torch.long, device=seen.device)
        return {
            "seen": seen,
            "words": zeros,
            "segments": zeros,
            "steps": zeros,
            "wait": zeros + self.delay,
            "ended": zeros.bool(),
            "done": zeros.bool(),
            "after_blank": zeros.bool(),
            "word_length": zeros,
            # of the last letter of the word so far; anything may follow a beginning
            "last": zeros + CHARACTER,
            "bytes": zeros,  # state of the character at work
            # whether segments began in the last steps, the newest one last
            "recent": zeros.bool()[:, None].expand(-1, self.delay + 1),
        }

    def choose(self, logits: torch.Tensor, uniforms: torch.Tensor) -> torch.Tensor:
        """(B, V) logits, (B,) uniforms -> (B,) tokens."""
        options = self.options
        banned = self.banned
        breaks = self.vocabulary.begins(slice(None), self.last[:, None]) | self.stops
        if options.first_starts_word:
            banned = banned | ((self.steps == 0)[:, None] & ~breaks)
        too_early = self.words < options.min_words
        too_early = too_early | (self.steps < options.min_tokens)
        too_early = too_early[:, None] & self.stops
        empty_word = self.after_blank[:, None] & breaks
        too_long = self.word_length >= options.max_tokens_per_word
        too_long = too_long & (self.bytes == 0)  # else its character goes on
        must_break = too_long[:, None] & ~breaks
        banned = banned | too_early | empty_word | must_break
        if self.vocabulary.bytes is not None:
            banned = banned | (self.vocabulary.bytes[self.bytes] == REJECT)
        logits = logits.float().masked_fill(banned, BANNED)
        if options.text_top_p > 0:
            logits = top_p_filter(logits, options.text_top_p)
        if options.repetition_penalty != 1:
            logits = penalise_repetition(logits, self.seen, options.repetition_penalty)
        if options.text_top_p == 0:
            return logits.argmax(-1)
        return draw(logits / options.text_temperature, uniforms)

    def _remember(self, text: torch.Tensor, starts: torch.Tensor) -> None:
        """What the tokens say of where the word may end."""
        self.after_blank = self.vocabulary.blank[text]
        if self.vocabulary.bytes is not None:
            state = self.vocabulary.bytes[self.bytes, text].long()
            self.bytes = state.clamp(min=0)  # ended ones write anything
        if self.vocabulary.last is not None:
            last = self.vocabulary.last[text].long()
            before = self.last.masked_fill(starts, 0)
            self.last = torch.where(last > 0, last, before)

    def step(self, logits: torch.Tensor, uniforms: torch.Tensor) -> Decision:
        """Choose the next token of each item and decide what follows."""
        text = self.choose(logits, uniforms)
        self.seen[torch.arange(len(text), device=text.device), text] = True
        options, waiting = self.options, self.ended
        starts = (self.words == 0) | waiting | self.vocabulary.begins(text, self.last)
        stop = self.stops[text]
        if options.max_words is not None:
            stop = stop | (starts & (self.words >= options.max_words))
        if options.max_tokens is not None:
            stop = stop | ((self.steps >= options.max_tokens) & (self.bytes == 0))
        stop = stop & ~waiting
        starts = starts | stop
        wait = torch.where(waiting, self.wait - 1, self.wait)
        self.wait = torch.where(stop, self.delay - 1, wait)
        last = stop
        if options.extra_words is not None:
            full = self.vocabulary.ends_sentence[text]
            enough = self.words >= options.extra_words
            last = last | (enough & full) | (self.words >= 3 * options.extra_words)
        self.ended = waiting | last
        goes_on = self.word_length + (self.bytes == 0)
        self.word_length = torch.where(starts, 1, goes_on)
        self._remember(text, starts)
        self.words = self.words + starts
        begins = torch.ones_like(starts) if self.every_token else starts
        self.segments = self.segments + begins
        self.steps = self.steps + 1

        if self.delay_level == "word":
            sampling = self.segments > self.delay
            taste = sampling & begins
        else:
            self.recent = torch.cat([self.recent[:, 1:], begins[:, None]], 1)
            sampling = self.steps > self.delay
            taste = sampling & self.recent[:, 0]
        active = ~self.done
        self.done = self.done | ((waiting | stop) & (self.wait <= 0))
        return Decision(
            text=text,
            emitted=active & ~waiting & ~stop,
            starts=starts,
            begins=begins,
            stopped=stop,
            sampling=sampling,
            taste=active & taste,
            done=self.done,
        )
