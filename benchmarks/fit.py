"""Does the speech decoder learn? Units that text token and code determine.

Token t of an utterance, with code c, has one unit: t * codes + c. A decoder that knows
the text but not the codes cannot fall below ln(codes) a unit; the loss must fall to
half of that, within ``fit_seconds``.
"""

import math
import time
from collections.abc import Iterator

import torch

from benchmarks.measure import Timer
from benchmarks.setup import Setup
from benchmarks.table import Row
from espnet2_taste.taste.speech_decoder.abs_speech_decoder import Conditioning
from espnet2_taste.text.view import TextView

WARMUP = 100
CHECK_EVERY = 20  # steps between two looks at the loss (a wait for the GPU)


def run(setup: Setup, timer: Timer) -> Iterator[Row]:
    """One row: the losses, and units per second of training.

    Raises:
        RuntimeError: the loss did not fall below the bound.
    """
    work, device = setup.work, setup.device
    decoder = setup.taste.speech_decoder.train().requires_grad_()
    bound = math.log(work.fit_codes) / 2
    optimizer = torch.optim.AdamW(decoder.parameters(), lr=work.fit_rate)
    vectors = torch.randn(
        work.fit_codes, decoder.audio_embed_affine_layer.in_features, device=device
    )
    losses: list[float] = []
    recent, steps, begin = [], 0, time.perf_counter()
    while time.perf_counter() - begin < work.fit_seconds:
        for group in optimizer.param_groups:
            group["lr"] = work.fit_rate * min(1.0, (steps + 1) / WARMUP)
        cond, units = batch_of(setup, vectors)
        optimizer.zero_grad()
        with torch.autocast(device.type, torch.bfloat16):
            loss = decoder(cond, units, cond.text.lengths).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(decoder.parameters(), 5.0)
        optimizer.step()
        recent.append(loss.detach())
        steps += 1
        if steps % CHECK_EVERY == 0:
            losses.append(torch.stack(recent).mean().item())
            recent = []
            if losses[-1] < bound / 10:
                break
    seconds = time.perf_counter() - begin
    if not losses or not losses[-1] < bound:
        raise RuntimeError(
            f"after {steps} steps in {seconds:.0f} s the losses are {losses[::10]} ... "
            f"{losses[-1:]}, not below {bound:.2f}"
        )
    yield Row(
        f"unit_transformer learns: loss {losses[0]:.2f} -> {losses[-1]:.2f}",
        steps * work.fit_batch * work.fit_tokens / seconds,
        unit="units/s",
        target=f"loss < {bound:.2f}",
        note=f"{steps} steps in {seconds:.0f} s",
    )


def batch_of(setup: Setup, vectors: torch.Tensor) -> tuple[Conditioning, torch.Tensor]:
    """Texts of one-token words with random codes, and their (B, L) units."""
    work, device = setup.work, setup.device
    shape = work.fit_batch, work.fit_tokens
    vocab = min(
        setup.taste.speech_decoder.num_units // work.fit_codes,
        setup.conf["taste"]["vocab_size"],
        work.fit_vocab,
    )
    text = torch.randint(vocab, shape, device=device)
    codes = torch.randint(work.fit_codes, shape, device=device)
    cond = Conditioning(
        TextView(
            text,
            torch.full(shape[:1], work.fit_tokens, device=device),
            torch.arange(work.fit_tokens, device=device).expand(shape),
        ),
        vectors[codes],
        torch.randn(shape[0], setup.conf["taste"]["spk_embed_dim"], device=device),
    )
    return cond, text * work.fit_codes + codes
