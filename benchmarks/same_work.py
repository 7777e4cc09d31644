"""The work at which the public reference was timed, and what this machine allows.

CPU seconds of the process, so run it with one thread and on an idle core::

    python -m benchmarks.run --config reference --only same_work --threads 1

Whoever has a checkout of the reference times the same there; what it took on the
machine where both ran is beside each row. The limit of a row is the time in which this
machine, at the rates measured at the start, does the arithmetic and reads the weights.
"""

import copy
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.measure import PeakMemory, Timer
from benchmarks.setup import Setup
from benchmarks.table import Row
from benchmarks.taslm import vocabulary_of
from benchmarks.units import conditioning, exactly
from espnet2_taste.taslm.generation import Prompt, generate
from espnet2_taste.taslm.sampler import SamplingOptions
from espnet2_taste.taste.speech_decoder.abs_speech_decoder import Sampling
from espnet2_taste.text.view import TextView

#: CPU seconds of the reference and of this package (at 40d9cb6), one after the other
#: on one core of one machine (2026-11-28). The ratio is what holds elsewhere.
MEASURED = {
    "speech to codes, padded to 30 s": (14.73, 8.91),
    "speech to codes, not padded": (12.20, 1.01),  # the reference pads, one by one
    "training step 1-3, padded to 30 s": (19.98, 13.80),
    "training step 1-3, not padded": (19.98, 5.59),
    "training step of stage 2, text-KL": (0.70, 0.65),
    "TASLM from nothing, 16 words": (0.96, 0.57),
    "TASLM from nothing, 32 words": (1.98, 1.04),
    "TASLM from nothing, 64 words": (4.68, 1.96),
    "units of one utterance": (5.44, 2.45),
    "units of a batch": (87.0, 7.34),  # the reference: one by one
    "flow matching and HiFT": (11.02, 10.68),
}


class CpuTimer(Timer):
    """Seconds of the process's CPU time, all threads added up."""

    def once_more(self, work: Callable) -> float:
        """Median of one that ran before."""
        return statistics.median(self._time(work) for _ in range(self.repeats))

    def _time(self, function: Callable) -> float:
        start = time.process_time()
        function()
        return time.process_time() - start


class Machine:
    """What the cores in use can do: GFLOP/s of a matrix product, GB/s of reading."""

    def __init__(self, timer: Timer):
        a = torch.randn(1024, 1024)
        big = torch.randn(64 * 2**20)  # 256 MiB, beyond any cache
        times, _ = timer(product=lambda: a @ a, reading=big.sum)
        self.gflops = 2 * 1024**3 / 1e9 / times["product"]
        self.gbytes = big.numel() * 4 / 1e9 / times["reading"]

    def limit(self, flops: int, read: int) -> float:
        """Seconds, if nothing but arithmetic or reading took time."""
        return max(flops / 1e9 / self.gflops, read / 1e9 / self.gbytes)


def run(setup: Setup, timer: Timer) -> Iterator[Row]:
    """A row for each work of :data:`MEASURED`."""
    timer = CpuTimer(setup.device, timer.repeats)
    machine = Machine(timer)
    yield Row("matrix product", machine.gflops, unit="GFLOP/s")
    yield Row("reading memory", machine.gbytes, unit="GB/s")
    for name, work, (module, passes) in works(setup):
        with FlopCounterMode(display=False) as counter:
            work()  # and warms up
        with PeakMemory() as memory:
            seconds = timer.once_more(work)
        flops, read = counter.get_total_flops(), passes * _bytes(module)
        limit = machine.limit(flops, read)
        note = (
            f"limit {limit:.2f} s, {100 * limit / seconds:.0f} % of it reached "
            f"({flops / 1e9:.0f} GFLOP, {read / 1e9:.1f} GB of weights); "
            f"peak {memory.gib:.2f} GiB"
        )
        if name in MEASURED:
            reference, ours = MEASURED[name]
            note += f"; once: the reference {reference} s, this package {ours} s"
        yield Row(name, seconds, unit="s", note=note)


def works(setup: Setup) -> Iterator[tuple[str, Callable, tuple]]:
    """Name, work, and the weights that it reads, how often: (module, times)."""
    amount = setup.work
    for case, pad in (("padded to 30 s", True), ("not padded", False)):
        yield (
            f"speech to codes, {case}",
            _tokenise(setup, pad),
            (setup.taste.encoder, 1),
        )
    for case, pad in (("padded to 30 s", True), ("not padded", False)):
        model = setup.stage("rvq", "sdpa")
        _pad(model, pad)
        batch = setup.taste_batch()
        yield f"training step 1-3, {case}", _step(model, batch), (model, 1)
    model = setup.lm_training("sdpa", "taslm")
    batch = setup.taslm_batch("taslm", amount.training_batch)
    yield "training step of stage 2, text-KL", _step(model, batch), (model, 1)
    for words in amount.words:
        work = _continue(setup, words)
        yield f"TASLM from nothing, {words} words", work, (setup.taslm.lm, words)
    decoder = setup.taste.speech_decoder
    exactly(decoder, amount)
    for case, batch in (("one utterance", 1), ("a batch", amount.batch)):
        cond = conditioning(setup, batch)
        call = torch.inference_mode()(
            partial(decoder.generate, cond, Sampling(top_k=25))
        )
        yield f"units of {case}", call, (decoder.llm, amount.units)
        parallel = setup.parallel
        lengths = torch.full((batch,), amount.units)
        call = torch.inference_mode()(
            partial(parallel.generate, cond, Sampling(), lengths=lengths)
        )
        passes = f"units of {case} in {parallel.num_steps} passes"
        yield passes, call, (parallel.transformer, parallel.num_steps)
    flow = setup.vocoder.model.flow
    units = [torch.randint(flow.num_units, (amount.vocoder_units,))]
    speaker = torch.randn(1, flow.spk_embed_dim)
    call = partial(setup.vocoder, units, speaker)
    yield "flow matching and HiFT", call, (flow.decoder, flow.decoder.evaluations)


def _pad(model: torch.nn.Module, to_30s: bool) -> None:
    model.frontend.pad_to_30s = to_30s
    model.encoder.mask_padding = not to_30s


def _tokenise(setup: Setup, pad: bool) -> Callable:
    model, batch = copy.copy(setup.taste), setup.taste_batch()
    model._modules = dict(
        model._modules,
        frontend=copy.copy(model.frontend),
        encoder=copy.copy(model.encoder),
    )
    _pad(model, pad)
    text = model.view(batch, "aggregator")
    speech = batch["speech"], batch["speech_lengths"]
    return torch.inference_mode()(partial(model.run_tokenizer, *speech, text))


def _step(model: torch.nn.Module, batch: dict) -> Callable:
    """Forward, backward, clipping and AdamW, float32."""
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-5)

    def step() -> None:
        optimizer.zero_grad()
        model(**batch)[0].backward()
        torch.nn.utils.clip_grad_norm_(trained, 5.0)
        optimizer.step()

    return step


def _continue(setup: Setup, words: int) -> Callable:
    """Greedily, one token a word."""
    model = setup.taslm.requires_grad_(False)  # the counter asks gradients of inputs
    vocabulary = vocabulary_of(model.lm.vocab_size, inner=0).to(setup.device)
    none = torch.zeros(1, 0, dtype=torch.long)
    prompt = Prompt("zero", TextView(none, torch.zeros(1, dtype=torch.long), none))
    options = SamplingOptions(max_words=words, end_symbol=False)
    return torch.inference_mode()(partial(generate, model, vocabulary, prompt, options))


def _bytes(module: torch.nn.Module) -> int:
    return sum(p.numel() * p.element_size() for p in module.parameters())
