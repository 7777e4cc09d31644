"""Medians of repeated runs, and the machine they were made on."""

import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

PACKAGES = ("torch", "transformers", "flash-attn", "peft", "vector-quantize-pytorch")
PACKAGES += ("espnet",)


class Timer:
    """Runs functions in turn, so that a busy machine is busy for all of them.

    Args:
        device: torch device whose queue is waited for.
        repeats: of each function, after one that does not count.
    """

    def __init__(self, device: torch.device, repeats: int = 3):
        self.device = device
        self.repeats = repeats

    def __call__(self, **functions: Callable) -> tuple[dict[str, float], dict]:
        """Median seconds and results, by the functions' names."""
        results = {name: function() for name, function in functions.items()}
        seconds: dict[str, list[float]] = {name: [] for name in functions}
        for _ in range(self.repeats):
            for name, function in functions.items():
                seconds[name].append(self._time(function))
        return {k: statistics.median(v) for k, v in seconds.items()}, results

    def _time(self, function: Callable) -> float:
        self._wait()
        start = time.perf_counter()
        function()
        self._wait()
        return time.perf_counter() - start

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


class PeakMemory:
    """Largest resident memory of the process inside a ``with``, models included.

    Attributes:
        gib: GiB; where the system cannot begin anew (it can on Linux), of the whole
            life of the process.
    """

    def __enter__(self) -> "PeakMemory":
        try:
            Path("/proc/self/clear_refs").write_text("5")
            self.anew = True
        except OSError:
            self.anew = False
        return self

    def __exit__(self, *error) -> None:
        kibibytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        if sys.platform == "darwin":
            kibibytes /= 1024
        if self.anew:
            status = Path("/proc/self/status").read_text().splitlines()
            found = [line.split()[1] for line in status if line.startswith("VmHWM")]
            kibibytes = int(found[0]) if found else kibibytes
        self.gib = kibibytes / 2**20


def check_equal(name: str, ours: torch.Tensor, naive: torch.Tensor) -> None:
    """Refuse to compare times of different results.

    Raises:
        RuntimeError: integers that differ, or floats beyond 1e-4 of the largest.
    """
    fits = ours.shape == naive.shape
    if fits and ours.is_floating_point():
        error = (ours - naive).abs().max()
        fits = bool(error <= 1e-4 * naive.abs().max())
    elif fits:
        fits = torch.equal(ours, naive)
    if not fits:
        raise RuntimeError(f"{name}: the naive way gives another result")


def machine(device: torch.device) -> dict[str, str]:
    """CPU, GPU, threads and versions, for people."""
    found = {
        "CPU": f"{_cpu_model()}, {torch.get_num_threads()} torch threads",
        "Python": platform.python_version(),
    }
    if device.type == "cuda":
        gpu = torch.cuda.get_device_properties(device)
        found["GPU"] = f"{gpu.name}, {gpu.total_memory / 2**30:.0f} GiB"
        found["CUDA"] = str(torch.version.cuda)
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def _cpu_model() -> str:
    """As the operating system calls it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as info:
            names = [line.split(":", 1)[1] for line in info if "model name" in line]
    except OSError:
        names = []
    return names[0].strip() if names else platform.processor() or platform.machine()
