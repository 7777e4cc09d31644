"""Continuing prompts: text and TASTE codes, one word apart, with a KV cache."""

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass

import torch

from espnet2_taste.nn.packed_linears import packed_linears
from espnet2_taste.nn.segments import length_mask
from espnet2_taste.taslm.decisions import Decisions
from espnet2_taste.taslm.espnet_model import TaslmModel
from espnet2_taste.taslm.generated import Generated
from espnet2_taste.taslm.sampler import random_streams
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
        latents: (B, S, D) float32 vectors that are read in place of the codes' own,
            where they are not NaN.
    """

    mode: str
    text: TextView
    taste: torch.Tensor | None = None
    prefix: torch.Tensor | None = None
    suffix: torch.Tensor | None = None
    latents: torch.Tensor | None = None

    def __post_init__(self):
        if self.mode not in MODES:
            raise ValueError(f"conditional mode {self.mode!r} is not one of {MODES}")
        if self.mode in ("audio", "instruct") and self.taste is None:
            raise ValueError(f"mode {self.mode} needs the TASTE codes of the prompt")
        if self.mode == "instruct" and (self.prefix is None or self.suffix is None):
            raise ValueError("mode instruct needs prefix and suffix tokens")


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
    lm, head = model.lm, model.speech_head
    seen = seen_tokens(prompt, lm.vocab_size)
    decide = Decisions(model, vocabulary, options, seen, pending)
    steps = decide.steps
    uniforms = random_streams(
        options.seed, item_seeds or [0] * batch, steps, 1 + head.num_draws
    ).to(device)
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
            cache = output.cache
            chosen, new = decide(output.hidden[:, -1], uniforms[:, step])
            history.append(chosen)
            if (step + 1) % every == 0 or step + 1 == steps:
                ended = bool(chosen[-1].all())
                columns = (torch.stack(x, 1) for x in zip(*history, strict=True))
                yield Generated(*columns, model.granularity)
                if ended:
                    return
                history = []
            new = new[:, None].to(embeds.dtype)
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
        given = lm, model.quantizer, prompt.text, prompt.taste
        assembled = inputs(*given, end_label=True, latents=prompt.latents)
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


def seen_tokens(prompt: Prompt, vocab_size: int) -> torch.Tensor:
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
