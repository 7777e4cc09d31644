"""Floating-point operations that a training step needs, and those a device can do."""

import time
from functools import cache

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

_aten = torch.ops.aten
#: Kernel -> operations of a call, from its shapes; torch leaves out those of the CPU.
_FORMULAS = flop_registry | {
    getattr(_aten, f"_scaled_dot_product_flash_attention_for_cpu{end}"): flop_registry[
        getattr(_aten, f"_scaled_dot_product_flash_attention{end}")
    ]
    for end in ("", "_backward")
}


class FlopCounter(TorchDispatchMode):
    """Counts, while it is entered, the operations of the models that run.

    Counted are products, convolutions and attention (all of its square, masked or not),
    forward and backward, by the formulas of ``torch.utils.flop_counter``. What is
    frozen has no backward pass, or that of its input alone. What activation
    checkpointing computes again is left out, as the model does not need it. Recurrent
    layers and kernels of other libraries (FlashAttention's own) are not seen.

    Numbers, memory and waiting for a GPU stay as they are; only each kernel's launch
    takes longer. Compiled code should run uncompiled meanwhile
    (``torch.compiler.set_stance("force_eager")``).

    Attributes:
        total: operations so far.
    """

    def __init__(self):
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        """Torch calls this in place of each kernel."""
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        formula = _FORMULAS.get(getattr(func, "overloadpacket", None))
        # The backward pass has no gradients switched on but where it computes again.
        again = torch._C._current_graph_task_id() != -1 and torch.is_grad_enabled()
        if formula is not None and not again:
            self.total += formula(*args, **kwargs, out_val=out)
        return out


@cache
def matmul_rate(device: torch.device, dtype: torch.dtype, repeats: int = 5) -> float:
    """Operations a second of a large matrix product: what a device can do at best.

    Measured once in a process, for some milliseconds: the best of several. Of a GPU it
    is less than what its data sheet says, and more than any model reaches.

    Args:
        device: a GPU, or the CPU with the threads that torch uses.
        dtype: of the product.
        repeats: how many are timed.
    """
    size = 1024 if device.type == "cpu" else 4096
    with torch.no_grad():
        a = torch.ones(size, size, dtype=dtype, device=device)
        seconds = [_time(a) for _ in range(1 + repeats)][1:]
    return 2 * size**3 / min(seconds)


def _time(a: torch.Tensor) -> float:
    """Seconds of a product with itself."""
    if a.is_cuda:
        torch.cuda.synchronize(a.device)
    start = time.perf_counter()
    a @ a
    if a.is_cuda:
        torch.cuda.synchronize(a.device)
    return time.perf_counter() - start
