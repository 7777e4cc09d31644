"""ESPnet encoders that hear speech in chunks: masks in training, streams afterwards.

``encoder_conf`` of a conformer or (E-)branchformer takes two more options:
``chunk_size``, frames after subsampling, and ``left_chunks``. A frame attends to its
own chunk and so many before it; convolutions read the past and, of the future, the own
chunk alone (as dynamic chunk convolution does, Li et al. 2023). Frames of a chunk are
then known once it and the few features that subsampling reads beyond it are there.
"""

import math

import torch
from torch.nn.functional import pad

#: Convolutions over time inside a layer, by their names in ESPnet's classes.
CONVOLUTIONS = (
    "conv_module.depthwise_conv",  # conformer
    "cgmlp.csgu.conv",  # branchformer, E-branchformer
    "depthwise_conv_fusion",  # E-branchformer
)
_ATTENTION = ("self_attn", "attn")
OPTIONS = ("chunk_size", "left_chunks")


def install_chunks(
    encoder: torch.nn.Module, chunk_size: int, left_chunks: int = 4
) -> None:
    """Mask an ESPnet encoder by chunks, for good.

    Args:
        encoder: conformer or (E-)branchformer with ``rel_pos_type: latest``.
        chunk_size: frames, after subsampling, of a chunk.
        left_chunks: chunks before its own that a frame sees.

    Raises:
        ValueError: an encoder whose attention or positions cannot be masked so.
    """
    if chunk_size < 1 or left_chunks < 0:
        raise ValueError(
            f"encoder_conf: chunk_size {chunk_size} must be at least 1, left_chunks "
            f"{left_chunks} at least 0"
        )
    names = {type(module).__name__ for module in encoder.modules()}
    if "RelPositionMultiHeadedAttention" not in names or not hasattr(encoder, "embed"):
        raise ValueError(
            "encoder_conf chunk_size: is for conformers and (E-)branchformers with "
            "rel_pos_type: latest"
        )
    encoder.chunk_size, encoder.left_chunks = chunk_size, left_chunks
    for layer in encoder.encoders:
        for name, module in layer.named_modules():
            if name in _ATTENTION:
                module.register_forward_pre_hook(_masked(chunk_size, left_chunks))
            elif name in CONVOLUTIONS:
                _cut(module, chunk_size)


def _masked(size: int, left: int):
    """The attention's mask, its last argument, (B, 1, T) -> (B, T, T)."""

    def hook(module, args):
        *rest, mask = args
        chunk = torch.arange(mask.size(-1), device=mask.device) // size
        behind = chunk[:, None] - chunk
        return (*rest, mask.bool() & (behind >= 0) & (behind <= left))

    return hook


def _cut(conv: torch.nn.Conv1d, size: int) -> None:
    """Each chunk is convolved by itself, after the frames before it; its padding stands
    for those after it."""
    left, frames = conv.padding[0], []

    def unfold(module, args):
        (x,) = args
        frames[:] = [x.size(0), x.size(2)]
        more = -x.size(2) % size
        windows = pad(x, (left, more)).unfold(2, left + size, size)  # (B, D, N, l + s)
        return (windows.transpose(1, 2).flatten(0, 1),)

    def fold(module, args, out):
        batch, length = frames
        out = out[:, :, left:].unflatten(0, (batch, -1)).transpose(1, 2)
        return out.flatten(2)[:, :, :length]

    conv.register_forward_pre_hook(unfold)
    conv.register_forward_hook(fold)


class ChunkStream:
    """Speech that comes in pieces, several utterances at one pace.

    What :meth:`push` returns, put together, is what one pass under the same masks
    gives. A layer is run on the new frames and as many of its earlier inputs as they
    depend on: the cost of a chunk does not grow with the past.

    Args:
        encoder: of :func:`install_chunks`, in eval mode.
        layers: whose inputs are wanted, too (the number of layers: the last's output).

    Attributes:
        subsampling: frames of features per frame.
        latency: frames of features between the first of a chunk and the last that its
            output needs, both included: what a listener waits for, besides computing.

    Raises:
        ValueError: the encoder has no chunks, or pads its subsampling.
    """

    def __init__(self, encoder: torch.nn.Module, layers: tuple[int, ...] = ()):
        if not hasattr(encoder, "chunk_size"):
            raise ValueError(
                "this encoder was not trained in chunks (encoder_conf chunk_size): it "
                "cannot stream"
            )
        self.encoder, self.layers = encoder, layers
        convs = [
            m for m in getattr(encoder.embed, "conv", ()) if hasattr(m, "kernel_size")
        ]
        reach, step = 1, 1
        for conv in reversed(convs):
            kernel, stride, padding = (
                value[0] if isinstance(value, tuple) else value
                for value in (conv.kernel_size, conv.stride, conv.padding)
            )
            if padding:
                raise ValueError("a subsampling with padding cannot stream")
            reach, step = (reach - 1) * stride + kernel, step * stride
        self.subsampling, self.reach = step, reach
        self.size = encoder.chunk_size
        self.latency = (self.size - 1) * step + reach
        self.positions = next(
            module
            for module in encoder.embed.modules()
            if type(module).__name__ == "RelPositionalEncoding"
        )
        self.kept = [self._depends_on(layer) for layer in encoder.encoders]
        self.past: list[torch.Tensor | None] = [None] * len(self.kept)
        self.feats: torch.Tensor | None = None

    def _depends_on(self, layer: torch.nn.Module) -> int:
        """Earlier inputs of a layer, whole chunks, that an output of it depends on."""
        reach = sum(
            module.padding[0]
            for name, module in layer.named_modules()
            if name in CONVOLUTIONS
        )
        return (self.encoder.left_chunks + math.ceil(reach / self.size)) * self.size

    @torch.inference_mode()
    def push(self, feats: torch.Tensor, last: bool = False) -> list[torch.Tensor]:
        """Hear more.

        Args:
            feats: (B, T, input_size), T at least 0.
            last: nothing follows: a chunk that is not full is given, too.

        Returns:
            (B, n, size) output of the frames of the chunks that became full, and what
            enters each of ``layers`` for them; n may be 0.
        """
        if self.feats is not None:
            feats = torch.cat([self.feats, feats], 1)
        count = max(0, (feats.size(1) - self.reach) // self.subsampling + 1)
        if not last:
            count -= count % self.size
        self.feats = feats[:, count * self.subsampling :]
        if not count:
            nothing = feats.new_zeros(len(feats), 0, self.encoder.output_size())
            return [nothing] * (1 + len(self.layers))
        x = self._embed(feats[:, : (count - 1) * self.subsampling + self.reach])
        entering = {}
        for index, layer in enumerate(self.encoder.encoders):
            entering[index], past = x, self.past[index]
            window = x if past is None else torch.cat([past, x], 1)
            kept = self.kept[index]
            self.past[index] = window[:, window.size(1) - kept :] if kept else None
            if window.size(1) < kept:
                self.past[index] = window
            mask = window.new_ones(len(window), 1, window.size(1), dtype=torch.bool)
            (out, _), _ = layer((window, self.positions(window)[1]), mask)
            x = out[:, -count:]
        entering[len(self.kept)] = x
        if getattr(self.encoder, "normalize_before", True):
            x = self.encoder.after_norm(x)
        return [x, *(entering[layer] for layer in self.layers)]

    def _embed(self, feats: torch.Tensor) -> torch.Tensor:
        if hasattr(self.encoder.embed, "conv"):
            mask = feats.new_ones(len(feats), 1, feats.size(1), dtype=torch.bool)
            (x, _), _ = self.encoder.embed(feats, mask)
            return x
        return self.encoder.embed(feats)[0]


def with_chunks(encoder_class: type) -> type:
    """An ESPnet encoder class whose constructor takes ``OPTIONS``, too."""

    def __init__(self, *args, chunk_size=None, left_chunks: int = 4, **conf):
        encoder_class.__init__(self, *args, **conf)
        if chunk_size is not None:
            install_chunks(self, chunk_size, left_chunks)

    return type(encoder_class.__name__, (encoder_class,), {"__init__": __init__})
