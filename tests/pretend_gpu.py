"""A device that behaves as a GPU does, on a machine without one.

Its tensors hold their values in main memory, so that results are those of the CPU, but
nothing mixes: an operation on tensors of both devices fails as on a GPU, and what costs
time there is noted with the line of the package that did it.

    with pretend_gpu() as trace:
        model = model.to(DEVICE)
        trace.clear()
        model(x.to(DEVICE))
        assert not trace.waits

Built on torch's Python backends (torch.utils.backend_registration, experimental).
"""

import contextlib
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from unittest import mock

import torch
from torch.utils import backend_registration
from torch.utils._mode_utils import no_dispatch
from torch.utils._python_dispatch import TorchDispatchMode

NAME = "pretend"
DEVICE = f"{NAME}:0"
PACKAGE = Path(__file__).resolve().parents[1] / "espnet2_taste"
#: operations whose result has a size that the host must wait for
SIZED_BY_VALUES = {"nonzero", "masked_select", "bincount", "_unique2", "unique_dim"}


@dataclass
class Trace:
    """What happened, and where in the package: ``{(operation, "file:line"): times}``.

    Attributes:
        waits: the host waited for the device (a value or a size was read).
        uploads: a tensor was copied to the device.
        made: a tensor was made on the CPU.
    """

    waits: Counter = field(default_factory=Counter)
    uploads: Counter = field(default_factory=Counter)
    made: Counter = field(default_factory=Counter)

    def clear(self) -> None:
        """Forget everything."""
        for counter in vars(self).values():
            counter.clear()


class PretendTensor(torch.Tensor):
    """A tensor that says it is on the device; ``raw`` holds its values."""

    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, raw: torch.Tensor):
        self = torch.Tensor._make_wrapper_subclass(
            cls,
            raw.size(),
            strides=raw.stride(),
            storage_offset=raw.storage_offset(),
            dtype=raw.dtype,
            device=torch.device(DEVICE),
        )
        self.raw = raw
        return self

    @classmethod
    def __torch_dispatch__(cls, operation, types, args=(), kwargs=None):
        return _run(operation, args, kwargs or {})

    def __repr__(self) -> str:
        return f"PretendTensor({self.raw})"

    def tolist(self):
        return self.cpu().tolist()

    def numpy(self, **_):
        raise TypeError(f"can't convert {DEVICE} device type tensor to numpy")

    __array__ = numpy


class _Mode(TorchDispatchMode):
    """Sees what makes tensors from nothing."""

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        return _run(operation, args, kwargs or {})


class _Module(backend_registration._DummyBackendModule):
    """What torch asks a device's module."""

    @staticmethod
    def get_amp_supported_dtype() -> list[torch.dtype]:
        return [torch.bfloat16]


backend_registration._setup_privateuseone_for_python_backend(NAME, _Module())
_trace = Trace()


def _enter_no_grad(guard) -> None:
    guard.grad = torch.is_grad_enabled()
    torch.set_grad_enabled(guard.grad and not guard.mode)


def _leave_no_grad(guard, *_) -> None:
    torch.set_grad_enabled(guard.grad)


_NO_GRAD = {"__enter__": _enter_no_grad, "__exit__": _leave_no_grad}


@contextlib.contextmanager
def pretend_gpu() -> Iterator[Trace]:
    """Inside, what the device does is noted."""
    _trace.clear()
    before = torch._C._only_lift_cpu_tensors()
    torch._C._set_only_lift_cpu_tensors(True)  # torch.tensor copies where we see it
    try:
        # views of Python's tensors cannot be inference tensors
        with _Mode(), mock.patch.multiple(torch.inference_mode, **_NO_GRAD):
            yield _trace
    finally:
        torch._C._set_only_lift_cpu_tensors(before)


def _run(operation, args, kwargs):
    name = operation._schema.name.removeprefix("aten::")
    tensors = list(_tensors((args, *kwargs.values())))
    inside = any(isinstance(x, PretendTensor) for x in tensors)
    wanted = kwargs.get("device")
    here = torch.device(wanted).type == NAME if wanted is not None else inside
    if name in ("_to_copy", "copy_"):
        source = args[1] if name == "copy_" else args[0]
        here = isinstance(args[0], PretendTensor) if name == "copy_" else here
        there = isinstance(source, PretendTensor)
        if here and not there and source.dim():
            _note(_trace.uploads, name)
        if there and not here:
            _note(_trace.waits, name)
    elif name == "_local_scalar_dense":
        if inside:
            _note(_trace.waits, "item")
        return operation(args[0].raw if inside else args[0])
    elif inside:
        _check(name, tensors)
        masks = name in ("index", "index_put_", "index_put") and any(
            x.dtype is torch.bool for x in _tensors(args[1])
        )
        fills = name != "index" and masks and args[2].numel() == 1
        if name in SIZED_BY_VALUES or masks and not fills:
            _note(_trace.waits, name)
    elif not tensors:
        generator = kwargs.get("generator")
        if here and generator is not None and generator.device.type != NAME:
            raise RuntimeError(
                f"Expected a '{NAME}' device type for generator but found "
                f"'{generator.device.type}'"
            )
        if not here:
            _note(_trace.made, name)
    raw = {k: "cpu" if k == "device" else _raw(v) for k, v in kwargs.items()}
    result = operation(*_raw(args), **(raw if here or inside else kwargs))
    if not here:
        return result
    if operation._schema.is_mutable:  # in place: the tensor that was given
        if torch.Tag.inplace_view in operation.tags:  # transpose_ and the like
            with no_dispatch():
                operation(*args, **kwargs)
        return kwargs["out"] if "out" in kwargs else args[0]
    return _wrapped(result)


# torch's own pytree knows more kinds of containers, and takes most of the time.
def _tensors(values) -> Iterator[torch.Tensor]:
    for x in values:
        if isinstance(x, torch.Tensor):
            yield x
        elif isinstance(x, list | tuple):
            yield from _tensors(x)


def _raw(x):
    if isinstance(x, PretendTensor):
        return x.raw
    return type(x)(map(_raw, x)) if type(x) in (list, tuple) else x


def _wrapped(x):
    if type(x) in (list, tuple):
        return type(x)(map(_wrapped, x))
    if not isinstance(x, torch.Tensor) or isinstance(x, PretendTensor):
        return x
    return PretendTensor(x.resolve_conj().resolve_neg())  # lazy ones would be lost


def _check(name: str, tensors: list[torch.Tensor]) -> None:
    """A GPU accepts numbers (and indices, which it copies) from the CPU, no more."""
    other = [x for x in tensors if x.dim() and not isinstance(x, PretendTensor)]
    if other and name.startswith("index"):
        _note(_trace.uploads, name)
    elif other:
        raise RuntimeError(
            f"{name}: expected all tensors to be on the same device, but found at "
            f"least two devices, {DEVICE} and cpu"
        )


def _note(counter: Counter, operation: str) -> None:
    frame = sys._getframe(2)
    while frame is not None:
        if name := _name_in_package(frame.f_code.co_filename):
            counter[operation, f"{name}:{frame.f_lineno}"] += 1
            return
        frame = frame.f_back
    counter[operation, "elsewhere"] += 1


@cache
def _name_in_package(file: str) -> str:
    """Path of a file of the package in it; "" of others."""
    path = Path(file)
    return str(path.relative_to(PACKAGE)) if path.is_relative_to(PACKAGE) else ""
