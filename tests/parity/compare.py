"""How a tensor of ours is held against an expected one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import pytest
import torch
from on_device import DEVICE

#: largest difference, relative to the largest expected value; the fixtures are a CPU's
TOLERANCE, GRADIENT_TOLERANCE = (1e-5, 1e-4) if DEVICE == "cpu" else (1e-3, 1e-3)


class TensorId(NamedTuple):
    """An expected tensor: file (without extension) and name."""

    file: str
    name: str

    def __str__(self) -> str:
        return f"{self.file}-{self.name}"


@dataclass
class Unknown:
    """A tensor that a folder does not tell how to compute.

    Attributes:
        reason: one line; the tensor's test is skipped with it.
    """

    reason: str


@dataclass
class Result:
    """A computed tensor and how to compare it.

    Attributes:
        value: of the expected tensor's shape.
        where: bool, broadcasts from the left (missing last axes are added): compare
            there only; None: everywhere.
        exact: floats must be equal, too.
        scale: differences are relative to this instead of the largest expected value:
            for sums whose terms cancel.
        tolerance: of :func:`check_tensor`, instead of the usual one.
    """

    value: torch.Tensor
    where: torch.Tensor | None = None
    exact: bool = False
    scale: torch.Tensor | None = None
    tolerance: float | None = None

    @classmethod
    def of(cls, value: "torch.Tensor | Result | Unknown") -> "Result | Unknown":
        """Wrap a plain tensor."""
        return cls(value) if isinstance(value, torch.Tensor) else value

    def mask(self) -> torch.Tensor:
        """``where`` as a bool tensor of the value's shape."""
        if self.where is None:
            return torch.ones_like(self.value, dtype=torch.bool)
        missing = self.value.dim() - self.where.dim()
        return self.where[(...,) + (None,) * missing].expand_as(self.value)


def assert_same(
    got: "torch.Tensor | Result", want: torch.Tensor, tolerance: float = TOLERANCE
) -> None:
    """Integers equal; floats within ``tolerance`` of the largest expected value."""
    got = Result.of(got)
    value, mask, want = got.value.detach().cpu(), got.mask().cpu(), want.cpu()
    assert value.shape == want.shape, f"{tuple(value.shape)} != {tuple(want.shape)}"
    assert value.is_floating_point() == want.is_floating_point()
    assert mask.any() or mask.numel() == 0, "nothing to compare"
    value, want = value[mask], want[mask]
    if got.exact or not want.is_floating_point():
        different = (value != want).sum().item()
        assert not different, f"{different} of {want.numel()} values differ"
        return
    error = (value.double() - want.double()).abs().max()
    scale = want.double().abs().max() if got.scale is None else got.scale.double().cpu()
    limit = tolerance * scale
    assert error <= limit, f"off by {error:.2e}, more than {limit:.2e}"


def check_tensor(
    parity, files: Mapping[str, Callable], tensor: TensorId, tolerance: float = 0.0
) -> None:
    """One expected tensor against ours; an input must at least have been used.

    Args:
        parity: the folder.
        files: per file what computes its expected tensors: folder -> {name: tensor}.
        tensor: which one.
        tolerance: default: one of the module's; ``grad`` in a name means a gradient.
    """
    file, name = tensor
    results = parity.computed(file, files[file])
    if name not in results:
        used = parity.reads(file, files[file])
        assert (file, name) in used, f"{tensor} is neither computed nor read"
        return
    if isinstance(results[name], Unknown):
        pytest.skip(f"{tensor}: {results[name].reason}")
    default = GRADIENT_TOLERANCE if "grad" in name else TOLERANCE
    tolerance = results[name].tolerance or tolerance or default
    assert_same(results[name], parity.load(file)[name], tolerance)
