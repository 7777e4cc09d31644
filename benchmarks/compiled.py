"""Does ``compile: true`` help? Training steps of ``benchmarks.training``, with and
without in turn; on a CPU in seconds of its own time, whatever else runs there."""

from collections.abc import Iterator

from benchmarks.measure import Timer
from benchmarks.same_work import CpuTimer
from benchmarks.setup import Setup
from benchmarks.table import Row
from benchmarks.training import of_stage, of_taslm


def run(setup: Setup, timer: Timer) -> Iterator[Row]:
    """A row of the tokenizer, one of the TASLM."""
    if setup.device.type == "cpu":
        timer = CpuTimer(setup.device, timer.repeats)
    yield of_stage("rvq", "sdpa", setup, timer, compiled=True)
    yield of_taslm("sdpa", setup, timer, compiled=True)
