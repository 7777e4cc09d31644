"""Linear maps and convolutions with lighter weights, for inference on a CPU."""

import functools
import math
import warnings

import torch

from espnet2_taste.nn.channels_last import ChannelsLastConv, convolve

#: what weights may be read as
WEIGHTS = ("float32", "bfloat16", "int8")
CONVOLUTIONS = (torch.nn.Conv1d, torch.nn.ConvTranspose1d, ChannelsLastConv)
#: parts that decide codes by small differences stay as they are
EXACT = ("quantizer", "speech_head")


def check_weights(weights: str) -> None:
    """Refuse a name that is not in :data:`WEIGHTS`.

    Raises:
        ValueError: lists them.
    """
    if weights not in WEIGHTS:
        raise ValueError(f"weights {weights!r}: expected {', '.join(WEIGHTS)}")


@functools.cache
def multiplies_bfloat16() -> bool:
    """Whether this CPU does, from AVX512 on; others take several times as long as for
    float32, up to 60."""
    has_library = torch.backends.mkldnn.is_available()
    return has_library and torch.ops.mkldnn._is_mkldnn_bf16_supported()


def lighten_linears(module: torch.nn.Module, weights: str) -> int:
    """From now on the ``Linear`` layers of a module compute from lighter copies.

    ``bfloat16`` multiplies in bfloat16 and adds in float32; ``int8`` rounds the weights
    of each output, and the input at each call, to 255 steps (inputs to 127 on x86
    without VNNI). Inputs and results keep their type, as does all between the layers.
    What it costs in accuracy and brings in time: ``python -m benchmarks.run --only
    weights``.

    Args:
        module: on the CPU, no more trained, in float32; layers in bfloat16 get int8
            weights, too. Its own weights stay (a copy takes half or a quarter).
        weights: one of :data:`WEIGHTS`.

    Returns:
        How many layers; those of :data:`EXACT` parts are left alone.

    Raises:
        ValueError: another name, a module elsewhere than on the CPU, or a CPU that
            does not multiply bfloat16.
    """
    check_weights(weights)
    make = {"bfloat16": _bfloat16, "int8": _int8}.get(weights)
    return _lighten(module, weights, {torch.nn.Linear: make} if make else {})


def lighten_convolutions(module: torch.nn.Module, weights: str) -> int:
    """:func:`lighten_linears` for convolutions along time; int8 leaves them alone.

    Their results have the layout of
    :func:`~espnet2_taste.nn.channels_last.channels_last`.
    """
    kinds = CONVOLUTIONS if weights == "bfloat16" else ()
    return _lighten(module, weights, dict.fromkeys(kinds, _bfloat16_convolution))


def input_dtype(layer: torch.nn.Linear) -> torch.dtype:
    """What a layer reads its input as: who gives it that spares a copy, and gets a
    result of that type."""
    made = getattr(vars(layer).get("forward"), "func", None)
    return torch.bfloat16 if made is _bfloat16_linear else layer.weight.dtype


def _lighten(module: torch.nn.Module, weights: str, make: dict) -> int:
    """Give the layers of some types, exactly these, another ``forward``."""
    count = 0
    for name, layer in module.named_modules():
        if type(layer) not in make or set(EXACT) & set(name.split(".")):
            continue
        if layer.weight.device.type != "cpu":
            raise ValueError(
                f"weights {weights} are for the CPU, not for {layer.weight.device}"
            )
        if weights == "bfloat16" and not multiplies_bfloat16():
            raise ValueError(
                "weights bfloat16: this processor does not multiply them (it takes "
                "AVX512): take int8 or float32"
            )
        if layer.weight.dtype == torch.float32 or weights == "int8":
            layer.forward = make[type(layer)](layer)
            count += 1
    return count


def _bfloat16(layer: torch.nn.Linear) -> functools.partial:
    weight = torch.ops.mkldnn._reorder_linear_weight(layer.weight.detach().bfloat16())
    bias = None if layer.bias is None else layer.bias.detach().bfloat16()
    return functools.partial(_bfloat16_linear, weight=weight, bias=bias)


def _bfloat16_linear(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None
) -> torch.Tensor:
    half = x.bfloat16()
    found = torch.ops.mkldnn._linear_pointwise(half, weight, bias, "none", [], "")
    return found.to(x.dtype)


def _bfloat16_convolution(
    layer: torch.nn.Conv1d | torch.nn.ConvTranspose1d,
) -> functools.partial:
    weight, bias = layer.weight.detach().bfloat16(), layer.bias
    bias = None if bias is None else bias.detach().bfloat16()
    return functools.partial(_bfloat16_convolve, layer, weight=weight, bias=bias)


def _bfloat16_convolve(
    layer: torch.nn.Module,
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
) -> torch.Tensor:
    return convolve(layer, x.bfloat16(), weight, bias).to(x.dtype)


def _int8(layer: torch.nn.Linear) -> functools.partial:
    weight = layer.weight.detach().float()
    largest = weight.abs().amax(1).clamp(min=torch.finfo(torch.float32).tiny)
    zeros = torch.zeros(len(weight), dtype=torch.long)
    steps = (largest / 127).double()
    bias = None if layer.bias is None else layer.bias.detach().float()
    try:
        with warnings.catch_warnings():  # torch announces an end of this format
            warnings.simplefilter("ignore", UserWarning)
            rounded = torch.quantize_per_channel(weight, steps, zeros, 0, torch.qint8)
        packed = torch.ops.quantized.linear_prepack(rounded, bias)
    except (AttributeError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(
            f"weights int8: this torch cannot ({reason}): take bfloat16"
        ) from None
    return functools.partial(_int8_linear, packed=packed)


def _int8_linear(x: torch.Tensor, packed: torch.ScriptObject) -> torch.Tensor:
    rows = x.float().reshape(math.prod(x.shape[:-1]), x.size(-1))
    found = torch.ops.quantized.linear_dynamic(rows, packed, _overflows())
    return found.view(*x.shape[:-1], found.size(1)).to(x.dtype)


@functools.cache
def _overflows() -> bool:
    """Whether sums of two int8 products saturate at 16 bits, as on x86 without VNNI:
    then inputs are rounded to half as many steps."""
    return torch.backends.quantized.engine != "qnnpack" and not (
        torch.cpu._is_vnni_supported()
    )
