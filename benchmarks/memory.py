"""Peak memory of a TASLM's training step, in a process of its own."""

import json
import resource
import subprocess
import sys
from collections.abc import Iterator

import torch

from benchmarks.measure import Timer
from benchmarks.setup import ROOT, Setup
from benchmarks.table import Row

GIB = 2**30


def run(setup: Setup, timer: Timer) -> Iterator[Row]:
    """One row; what other benchmarks hold does not count."""
    command = [sys.executable, "-m", "benchmarks.memory"]
    command += [setup.name, str(setup.device), str(torch.get_num_threads())]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    work = setup.work
    yield Row(
        f"training step, {found['parameters'] / 1e6:.0f} M parameters "
        f"({found['trained'] / 1e6:.1f} M trained), "
        f"{work.training_batch} x {work.training_tokens} tokens",
        found["peak"] / GIB,
        unit="GiB",
        target="< 12",
        note=f"{found['model'] / GIB:.2f} GiB before the step",
    )


def train_step(setup: Setup) -> dict:
    """Forward, backward and two updates (the first fills the optimiser's state).

    Returns:
        bytes: ``peak``, and ``model`` with nothing but the model; numbers:
        ``parameters``, ``trained``.
    """
    model = setup.training
    model.to(dtype=torch.float32).train()  # as ESPnet does; frozen bf16 must survive
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-5)
    batch = setup.taslm_batch("training", setup.work.training_batch)
    before = _peak(setup.device)
    for _ in range(2):
        optimizer.zero_grad()
        loss, _, _ = model(**batch)
        loss.backward()
        optimizer.step()
    return {
        "model": before,
        "peak": _peak(setup.device),
        "parameters": sum(p.numel() for p in model.parameters()),
        "trained": sum(p.numel() for p in trained),
    }


def _peak(device: torch.device) -> int:
    """Bytes: of the GPU's tensors, or of the process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    kibibytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kibibytes * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    torch.set_num_threads(int(sys.argv[3]))
    print(json.dumps(train_step(Setup(sys.argv[1], sys.argv[2]))))
