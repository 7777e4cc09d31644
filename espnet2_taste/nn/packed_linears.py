"""Linear maps in the layout that a CPU reads fastest, while a model generates."""

import contextlib
import functools
from collections.abc import Iterator

import torch

#: Weights beyond this many bytes stay as they are: copies must not fill the memory.
MAX_BYTES = 2 * 2**30


@contextlib.contextmanager
def packed_linears(
    module: torch.nn.Module, rows: int, max_bytes: int = MAX_BYTES
) -> Iterator[None]:
    """Inside, the ``Linear`` layers of ``module`` compute from packed copies.

    A step of generation multiplies a few rows by every weight, which takes as long as
    reading the weights does: oneDNN's blocked layout is read faster (``benchmarks``
    measures it; ``torch.backends.mkldnn.flags(enabled=False)`` does without). Results
    agree up to rounding.

    Nothing happens on other devices, for other dtypes than float32, with gradients,
    under autocast, or where torch has no oneDNN.

    Args:
        module: whose weights do not change meanwhile; LoRA layers are packed, too.
        rows: of a typical input.
        max_bytes: of all copies.
    """
    packed: list[torch.nn.Linear] = []
    try:
        if _usable():
            for layer in module.modules():
                if type(layer) is not torch.nn.Linear or "forward" in vars(layer):
                    continue
                weight = layer.weight
                if weight.device.type != "cpu" or weight.dtype != torch.float32:
                    continue
                max_bytes -= weight.nbytes
                if max_bytes < 0:
                    break
                packed.append(layer)
                layer.forward = _pack(layer, rows)
        yield
    finally:
        for layer in packed:
            vars(layer).pop("forward", None)


def _usable() -> bool:
    return (
        torch.backends.mkldnn.is_available()
        and torch.backends.mkldnn.enabled
        and hasattr(torch.ops.mkldnn, "_reorder_linear_weight")
        and not torch.is_grad_enabled()
        and not torch.is_autocast_enabled("cpu")
    )


def _pack(layer: torch.nn.Linear, rows: int) -> functools.partial:
    weight = torch.ops.mkldnn._reorder_linear_weight(layer.weight.detach(), rows)
    return functools.partial(_linear, weight=weight, bias=layer.bias)


def _linear(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None
) -> torch.Tensor:
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
