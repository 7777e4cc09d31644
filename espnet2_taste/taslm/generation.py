"""Continuing prompts: text and TASTE codes, one word apart, with a KV cache."""

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass

import torch

from espnet2_taste.nn.packed_linears import packed_linears
from espnet2_taste.nn.segments import length_mask
from espnet2_taste.taslm.espnet_model import TaslmModel
from espnet2_taste.taslm.sampler import Sampler, random_streams
from espnet2_taste.taslm.sampling_options import SamplingOptions
from espnet2_taste.taslm.vocabulary import Vocabulary
from espnet2_taste.text.view import TextView

MODES = ("zero", "text", "audio", "instruct")
#: Steps between two looks at whether all items have ended (each waits for the GPU).
_CHECK_EVERY = 8


@dataclass
class Prompt:
    """What a batch of continuations starts from.

    Attributes:
        mode: ``zero`` nothing but the start symbol; ``text`` token embeddings without
            start symbol or audio; ``audio`` text with its TASTE vectors; ``instruct``
            the same between two strings of plain text.
        text: the prompts (unused for ``zero``, where only B counts).
        taste: (B, S, R) int64 codes of their segments (``audio``, ``instruct``).
        prefix: (P,) int64 tokens before an instruct prompt.
        suffix: (S,) int64 tokens after it.
    """

    mode: str
    text: TextView
    taste: torch.Tensor | None = None
    prefix: torch.Tensor | None = None
    suffix: torch.Tensor | None = None

    def __post_init__(self):
        if self.mode not in MODES:
            raise ValueError(f"conditional mode {self.mode!r} is not one of {MODES}")
        if self.mode in ("audio", "instruct") and self.taste is None:
            raise ValueError(f"mode {self.mode} needs the TASTE codes of the prompt")
        if self.mode == "instruct" and (self.prefix is None or self.suffix is None):
            raise ValueError("mode instruct needs prefix and suffix tokens")


@dataclass
class Generated:
    """A batch of continuations, S steps.

    Attributes:
        text: (B, S) int64 tokens chosen, also those never emitted.
        emitted: (B, S) bool, token belongs to the continuation.
        starts: (B, S) bool, start of a word (also while waiting for codes).
        granularity: what the codes of a step belong to: a word or the token.
        codes: (B, S, R) int64 codes predicted at a step, -1 where none were.
        latents: (B, S, D) float32 latents predicted there, which the LM read next: the
            codes' own unless the head's are continuous.
        done: (B, S) bool, item had ended after that step.
    """

    text: torch.Tensor
    emitted: torch.Tensor
    starts: torch.Tensor
    codes: torch.Tensor
    latents: torch.Tensor
    done: torch.Tensor
    granularity: str = "word"

    @classmethod
    def joined(cls, blocks: list["Generated"]) -> "Generated":
        """Consecutive steps on the CPU, up to where the last item ended."""
        columns = [
            torch.cat([getattr(block, name) for block in blocks], 1).cpu()
            for name in ("text", "emitted", "starts", "codes", "latents", "done")
        ]
        used = int((~columns[-1].all(0)).sum()) + 1
        return cls(*(column[:, :used] for column in columns), blocks[0].granularity)

    def words(self, item: int) -> tuple[list[list[int]], torch.Tensor]:
        """Tokens of each word of one item, and (S, R) codes of the words' segments.

        A word that lacks codes (the step limit was hit) is left out.
        """
        reader = WordReader(self.granularity)
        found = reader.read(self, item) + reader.rest()
        none = self.codes[item, :0]
        codes = torch.cat([none, *(codes for _, codes, _ in found)])
        return [ids for ids, *_ in found], codes

    def word_latents(self, item: int) -> torch.Tensor:
        """(S, D) latents of the segments that :meth:`words` gives the codes of."""
        rows = self.latents[item][self.codes[item, :, 0] >= 0]
        return rows[: len(self.words(item)[1])]


#: Tokens of a word, (S, R) codes and (S, D) latents of its segments.
FinishedWord = tuple[list[int], torch.Tensor, torch.Tensor]


class WordReader:
    """Words of one continuation as they are finished: the next one has begun, and
    their codes, which come later, are there.

    Args:
        granularity: of the codes.
    """

    def __init__(self, granularity: str):
        self.granularity = granularity
        self.words: list[list[int]] = []  # that lack their end or codes
        # codes and latents that have not been handed out
        self.rows: list[tuple[torch.Tensor, torch.Tensor]] = []

    def read(self, block: Generated, item: int) -> list[FinishedWord]:
        """The words that are finished after these steps.

        Args:
            block: the next steps, on the CPU.
            item: index of the continuation in it.
        """
        emitted, codes = block.emitted[item], block.codes[item]
        tokens, starts = block.text[item][emitted], block.starts[item][emitted]
        for token, begins in zip(tokens.tolist(), starts.tolist(), strict=True):
            if begins:
                self.words.append([])
            self.words[-1].append(token)
        there = codes[:, 0] >= 0
        latents = block.latents[item][there]
        self.rows += zip(codes[there], latents, strict=True)
        return self._take(0 if bool(block.done[item, -1]) else 1)

    def rest(self) -> list[FinishedWord]:
        """Those that have codes when no step follows; the others are lost."""
        return self._take(0)

    def _take(self, unfinished: int) -> list[FinishedWord]:
        found = []
        while len(self.words) > unfinished:
            size = len(self.words[0]) if self.granularity == "token" else 1
            if len(self.rows) < size:
                break
            rows = map(torch.stack, zip(*self.rows[:size], strict=True))
            found.append((self.words.pop(0), *rows))
            self.rows = self.rows[size:]
        return found


def generate(
    model: TaslmModel,
    vocabulary: Vocabulary,
    prompt: Prompt,
    options: SamplingOptions,
    item_seeds: list[int] | None = None,
    use_cache: bool = True,
) -> Generated:
    """Continue a batch of prompts (paper sec. 3.2).

    Args:
        model: in eval mode.
        vocabulary: see :class:`~espnet2_taste.taslm.vocabulary.Vocabulary`.
        prompt: on the model's device.
        options: how to draw, where to stop.
        item_seeds: one per item; its random stream depends on nothing else.
        use_cache: False reads everything again at each step (for tests).
    """
    blocks = generate_blocks(model, vocabulary, prompt, options, item_seeds, use_cache)
    return Generated.joined(list(blocks))


@torch.inference_mode()
def generate_blocks(
    model: TaslmModel,
    vocabulary: Vocabulary,
    prompt: Prompt,
    options: SamplingOptions,
    item_seeds: list[int] | None = None,
    use_cache: bool = True,
    every: int = _CHECK_EVERY,
) -> Iterator[Generated]:
    """What :func:`generate` gives, ``every`` steps at a time, on the model's device.

    Whoever stops iterating stops it.
    """
    embeds, mask, pending = prompt_embeddings(model, prompt)
    batch, device = len(embeds), embeds.device
    head, inputs, lm = model.speech_head, model.inputs, model.lm
    delay = inputs.delay
    if options.end_symbol and not model.end_symbol:
        raise ValueError("this model was trained without an end symbol")
    for name, ids in options.ids.items():
        if any(index >= lm.vocab_size for index in ids):
            raise ValueError(f"{name} {max(ids)}: the LM has {lm.vocab_size} ids")
    steps = options.max_steps * vocabulary.tokens_per_character + delay
    uniforms = random_streams(
        options.seed, item_seeds or [0] * batch, steps, 1 + head.num_draws
    ).to(device)
    seen = _seen_tokens(prompt, lm.vocab_size)
    sampler = Sampler(
        options,
        vocabulary.to(device),
        delay,
        inputs.delay_level,
        lm.eos_id,
        seen,
        model.granularity,
    )
    audio = inputs.padding.expand(batch, -1)
    stopped = torch.zeros(batch, dtype=torch.bool, device=device)
    history: list[tuple[torch.Tensor, ...]] = []
    prompt_size = embeds.size(1)
    # Without padding no mask: looking at one makes every step wait for the GPU.
    padded = not bool(mask.all())
    mask = torch.nn.functional.pad(mask, (0, steps), value=True)
    cache, reading = None, embeds
    with packed_linears(model.lm, rows=batch) if use_cache else nullcontext():
        for step in range(steps):
            read_mask = mask[:, : prompt_size + step] if padded else None
            output = lm(reading, read_mask, cache, use_cache=use_cache)
            cache, hidden = output.cache, output.hidden[:, -1]
            decision = sampler.step(lm.logits(hidden), uniforms[:, step, 0])
            codes, latents = head.sample(
                hidden,
                model.quantizer,
                uniforms[:, step, 1:],
                options.taste_top_p,
                options.taste_temperature,
            )
            codes = torch.where(decision.taste[:, None], codes, -1)
            chosen = (decision.text, decision.emitted, decision.starts)
            history.append((*chosen, codes, latents, decision.done))
            if (step + 1) % every == 0 or step + 1 == steps:
                ended = bool(decision.done.all())
                columns = (torch.stack(x, 1) for x in zip(*history, strict=True))
                yield Generated(*columns, model.granularity)
                if ended:
                    return
                history = []
            if pending is not None:
                audio = _use_pending(audio, pending, decision, sampler)
            vectors = inputs.fusion.project(model.quantizer.project_out(latents))
            audio = torch.where(decision.taste[:, None], vectors, audio)
            # After an end symbol the model was trained to read padding as text.
            stopped = stopped | decision.stopped
            text = lm.embed(decision.text)
            text = torch.where(stopped[:, None], inputs.pad_text.to(text.dtype), text)
            new = inputs.fusion.mix(text, audio)[:, None].to(embeds.dtype)
            embeds = embeds if use_cache else torch.cat([embeds, new], 1)
            reading = new if use_cache else embeds


def prompt_embeddings(
    model: TaslmModel, prompt: Prompt
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    """(B, L, size) left-padded vectors, their (B, L) mask, and in audio mode the
    (B, delay, projected_size) TASTE vectors of the prompt that are still to be read."""
    lm, inputs = model.lm, model.inputs
    lengths, pending = prompt.text.lengths, None
    first = int(inputs.start_symbol)
    if prompt.mode == "zero":
        if not first:
            raise ValueError("this model has no start symbol: give it a prompt")
        sos = torch.full_like(lengths, lm.sos_id)[:, None]
        return lm.embed(sos), torch.ones_like(sos, dtype=torch.bool), None
    if prompt.mode == "text":
        embeds = lm.embed(prompt.text.ids)
    else:
        assembled = inputs(
            lm, model.quantizer, prompt.text, prompt.taste, end_label=True
        )
        embeds = assembled.embeds[:, : prompt.text.ids.size(1) + first]
        if prompt.mode == "audio":
            index = torch.arange(inputs.delay, device=lengths.device)
            index = (lengths[:, None] + index)[..., None]
            index = index.expand(-1, -1, assembled.audio.size(-1))
            pending = assembled.audio.gather(1, index) if inputs.delay else None
            lengths = lengths + first
        else:
            prefix = lm.embed(prompt.prefix).to(embeds.dtype)
            prefix = prefix.expand(len(embeds), -1, -1)
            embeds = torch.cat([prefix, embeds[:, first:]], 1)
            lengths = lengths + prefix.size(1)
    embeds, mask = left_pad(embeds, lengths)
    if prompt.mode == "instruct":
        suffix = lm.embed(prompt.suffix).to(embeds.dtype)
        suffix = suffix.expand(len(embeds), -1, -1)
        embeds = torch.cat([embeds, suffix], 1)
        mask = torch.nn.functional.pad(mask, (0, suffix.size(1)), value=True)
    return embeds, mask, pending


def left_pad(
    embeds: torch.Tensor, lengths: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Move right padding of (B, L, D) to the left; also the (B, L) mask."""
    size = embeds.size(1)
    index = torch.arange(size, device=embeds.device) - (size - lengths)[:, None]
    rows = torch.arange(len(embeds), device=embeds.device)[:, None]
    mask = index >= 0
    return embeds[rows, index.clamp(min=0)] * mask[..., None], mask


def _use_pending(
    audio: torch.Tensor, pending: torch.Tensor, decision, sampler: Sampler
) -> torch.Tensor:
    """The prompt's next unread TASTE vector where codes are not yet predicted."""
    if sampler.delay_level == "word":
        count, due = sampler.segments, decision.begins
    else:
        count = torch.full_like(sampler.segments, sampler.steps)
        due = torch.ones_like(decision.begins)
    rows = torch.arange(len(audio), device=audio.device)
    following = pending[rows, (count - 1).clamp(0, pending.size(1) - 1)]
    return torch.where((due & ~decision.sampling)[:, None], following, audio)


def _seen_tokens(prompt: Prompt, vocab_size: int) -> torch.Tensor:
    """(B, V) bool, tokens of the prompt."""
    ids, lengths = prompt.text.ids, prompt.text.lengths
    seen = torch.zeros(
        len(lengths), vocab_size, dtype=torch.bool, device=lengths.device
    )
    if prompt.mode == "zero":
        return seen
    valid = length_mask(lengths, ids.size(1))
    counts = seen.long().scatter_add(1, ids * valid, valid.long())
    seen = counts > 0
    if prompt.mode == "instruct":
        seen[:, prompt.prefix] = True
        seen[:, prompt.suffix] = True
    return seen
