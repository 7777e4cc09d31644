"""Training steps of the tokenizer's sub-stages and of the TASLM, under bfloat16
autocast (on a CPU that does not multiply it in float32)."""

import importlib.util
import math
import time
from collections.abc import Iterator

import torch

from benchmarks.measure import Timer
from benchmarks.setup import Setup
from benchmarks.table import Row
from espnet2_taste.nn.compiling import compile_blocks
from espnet2_taste.nn.light_linears import multiplies_bfloat16

GIB = 2**30


def run(setup: Setup, timer: Timer) -> Iterator[Row]:
    """A row per sub-stage, then the TASLM's; FlashAttention where it is installed."""
    attentions = ["sdpa"]
    if setup.device.type == "cuda" and importlib.util.find_spec("flash_attn"):
        attentions.append("flash_attention_2")
    for attention in attentions:
        for stage in reversed(setup.conf["stages"]):  # rvq, which matters most, first
            yield of_stage(stage, attention, setup, timer)
        yield of_taslm(attention, setup, timer)


def of_stage(stage: str, attention: str, setup: Setup, timer: Timer, **options) -> Row:
    """A sub-stage of the tokenizer."""
    model, batch = setup.stage(stage, attention), setup.taste_batch()
    row = time_steps(f"{stage}, {attention}", model, batch, setup, timer, **options)
    seconds = float(batch["speech_lengths"].sum()) / 16000
    row.note = f"{1e3 * seconds / row.value:.0f} s of audio a second, {row.note}"
    return row


def of_taslm(attention: str, setup: Setup, timer: Timer, **options) -> Row:
    """The TASLM."""
    model = setup.lm_training(attention)
    batch = setup.taslm_batch("training", setup.work.step_batch)
    row = time_steps(f"TASLM, {attention}", model, batch, setup, timer, **options)
    tokens = int(batch["text_lengths"].sum())
    row.note = f"{1e3 * tokens / row.value:.0f} tokens a second, {row.note}"
    return row


def time_steps(
    case: str,
    model: torch.nn.Module,
    batch: dict,
    setup: Setup,
    timer: Timer,
    compiled: bool = False,
) -> Row:
    """Milliseconds of forward, backward and update, as ESPnet's trainer does them;
    compiled, in turn with uncompiled.

    Raises:
        RuntimeError: the loss is not finite, or a buffer of the model is rounded.
    """
    device = setup.device
    half = device.type == "cuda" or multiplies_bfloat16()
    dtypes = {name: tensor.dtype for name, tensor in model.state_dict().items()}
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-5)
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)

    def step() -> torch.Tensor:
        optimizer.zero_grad()
        with torch.autocast(device.type, torch.bfloat16, enabled=half):
            loss, _, _ = model(**batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 5.0)
        optimizer.step()
        return loss.detach()

    ways = {"step": step}
    start = time.perf_counter()
    if compiled and compile_blocks(model, device, setup.work.compile_backend):
        step()
        compiling = time.perf_counter() - start
        ways["uncompiled"] = torch.compiler.set_stance("force_eager")(step)
    times, _ = timer(**ways)
    loss = step().item()
    if not math.isfinite(loss):
        raise RuntimeError(f"{case}: the loss is {loss}")
    for name, tensor in model.state_dict().items():
        if tensor.dtype != dtypes[name]:
            raise RuntimeError(f"{case}: {name} became {tensor.dtype}")
    size = sum(p.numel() for p in trained) / 1e6
    note = f"{size:.1f} M trained, loss {loss:.2f}"
    if device.type == "cuda":
        note += f", {torch.cuda.max_memory_allocated(device) / GIB:.1f} GiB"
    row = Row(f"{case}, batch of {len(batch['text'])}", 1e3 * times["step"], note=note)
    if "uncompiled" in ways:
        row.case += ", compiled"
        row.ratio, row.against = times["uncompiled"] / times["step"], "uncompiled"
        row.note += f", compiled in {compiling:.0f} s"
    return row
