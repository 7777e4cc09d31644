"""A Whisper encoder as TASTE encoder (paper sec. 2.1.1)."""

import inspect
import logging

import torch

from espnet2_taste.io.checkpoint import load_transformers
from espnet2_taste.nn.segments import length_mask
from espnet2_taste.taste.tokenizer.abs_encoder import (
    AbsTasteEncoder,
    EncoderOutput,
    as_list,
    join_values,
)
from espnet2_taste.taste.tokenizer.frozen import freeze, omit_from_checkpoints
from espnet2_taste.taste.tokenizer.whisper_windows import (
    RATE,
    WhisperStream,
    WhisperWindows,
)

DTYPES = ("float32", "bfloat16", "float16")


class WhisperEncoder(AbsTasteEncoder):
    """Keys from Whisper's last layer, values from a shallow one, in one pass.

    Features take the first positions and cost what their length asks; padding is
    masked, so that a batch gives what single utterances give. Whisper and the TASTE
    reference read 30 s without a mask instead (``mask_padding: false``).

    Keys and values have the dtype of the features, whatever the encoder computes in.

    Args:
        input_size: mel bins of the frontend; must be the model's.
        model: hub id or local folder of a Whisper model.
        config: ``WhisperConfig`` arguments instead of ``model``: random weights.
        value_layer: the values are the residual stream *entering* this layer (so
            after so many layers), not normalised; a list: of several layers, for
            ``aggregator: multi_layer``.
        frozen: no gradients, eval mode for ever. Frozen weights of ``model`` are not
            written to checkpoints.
        attn_implementation: eager, sdpa or flash_attention_2 (half precision only:
            see ``dtype``, or train with AMP).
        mask_padding: frames see valid frames only. A TASTE model is built with
            ``false`` where the frontend has ``pad_to_30s: true``.
        dtype: of a frozen encoder's weights and computations, e.g. bfloat16 on a GPU;
            it survives ``model.to(dtype=...)``, which ESPnet calls.
        window_s: seconds, at most 30, that it reads at once of speech of any length,
            in overlapping windows; None: an utterance of at most 30 s. With the
            frontend's ``floor: false`` an utterance may come in pieces then
            (:meth:`open_stream`), and nothing waits longer than window_s -
            left_context_s (windows of 10 s with 8 s of past: 2 s). A window costs the
            same whatever is new in it.
        left_context_s: seconds of a window that came before what is new in it.
    """

    subsampling = 2

    def __init__(
        self,
        input_size: int,
        model: str | None = None,
        config: dict | None = None,
        value_layer: int | list[int] = 6,
        frozen: bool = True,
        attn_implementation: str = "sdpa",
        mask_padding: bool = True,
        dtype: str = "float32",
        window_s: float | None = None,
        left_context_s: float = 0.0,
    ):
        super().__init__()
        if (model is None) == (config is None):
            raise ValueError(
                "whisper encoder: give either model (hub id or folder) or config "
                "(random weights) in encoder_conf"
            )
        if dtype not in DTYPES:
            raise ValueError(f"whisper encoder: dtype {dtype!r} is not one of {DTYPES}")
        if dtype != "float32" and not frozen:
            raise ValueError(
                f"whisper encoder: dtype {dtype} is for frozen encoders; train in "
                f"float32 (with use_amp)"
            )
        self.encoder = _load(model, config, attn_implementation, dtype)
        # transformers 4 asks for it
        arguments = inspect.signature(self.encoder.layers[0].forward).parameters
        self._layer_options = dict.fromkeys({"layer_head_mask"} & arguments.keys())
        bins, layers = self.encoder.config.num_mel_bins, len(self.encoder.layers)
        if input_size != bins:
            raise ValueError(
                f"whisper encoder {model or '(random)'} reads {bins} mel bins, the "
                f"frontend gives {input_size}: set n_mels: {bins} in frontend_conf"
            )
        self.value_layers = as_list(value_layer, "whisper encoder: value_layer")
        for layer in self.value_layers:
            if not 0 <= layer <= layers:
                raise ValueError(
                    f"whisper encoder: value_layer {layer} is outside 0..{layers}"
                )
        self.mask_padding = mask_padding
        self.windows = None
        if window_s is not None or left_context_s:
            self.windows = self._cut(window_s or 0.0, left_context_s)
        self.frozen = frozen
        if frozen:
            freeze(self.encoder)
            if model is not None:
                omit_from_checkpoints(self.encoder)

    @staticmethod
    def resolve_conf(conf: dict, frontend: torch.nn.Module | None = None) -> dict:
        """A frontend that pads to 30 s wants its silence read like speech, as Whisper
        and the reference do."""
        if conf.get("window_s") and getattr(frontend, "floor", False):
            raise ValueError(
                "whisper encoder: each window has a floor of its own: set floor: false "
                "in frontend_conf, or no window_s"
            )
        return {"mask_padding": not getattr(frontend, "pad_to_30s", False)} | conf

    @property
    def key_size(self) -> int:
        """Whisper's d_model."""
        return self.encoder.config.d_model

    @property
    def value_size(self) -> int:
        """Whisper's d_model."""
        return self.encoder.config.d_model

    @property
    def num_values(self) -> int:
        """As many as ``value_layer`` names."""
        return len(self.value_layers)

    def train(self, mode: bool = True) -> "WhisperEncoder":
        """Switch the mode; a frozen encoder stays in eval mode."""
        super().train(mode)
        if self.frozen:
            self.encoder.eval()
        return self

    def _apply(self, fn, recurse: bool = True) -> "WhisperEncoder":
        """Move tensors; frozen ones keep their dtype."""
        if not self.frozen:
            return super()._apply(fn, recurse)
        return super()._apply(lambda t: fn(t).to(t.dtype), recurse)

    def forward(
        self, feats: torch.Tensor, feats_lengths: torch.Tensor
    ) -> EncoderOutput:
        """Encode (B, T, mel bins) into (B, (T + 1) // 2, d_model) keys and values.

        Several value layers are (B, (T + 1) // 2, K, d_model).
        """
        if self.windows is not None:
            return self.windows.encode(self.encode_window, feats, feats_lengths)
        limit = 2 * self.encoder.config.max_source_positions
        if feats.size(1) > limit:
            raise ValueError(
                f"whisper encoder: {feats.size(1)} frames of features, at most {limit} "
                f"({limit / RATE:g} s): filter or split long utterances, or give "
                "window_s in encoder_conf"
            )
        return self.encode_window(feats, feats_lengths)

    def encode_window(
        self,
        feats: torch.Tensor,
        feats_lengths: torch.Tensor,
        position: torch.Tensor | None = None,
    ) -> EncoderOutput:
        """:meth:`forward` of what it reads at once; ``position``: (B,) int64 of the
        first frames, None: 0."""
        self._check_precision(feats.device.type)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            return self._encode(feats, feats_lengths, position)

    def no_frames(self, feats: torch.Tensor) -> EncoderOutput:
        """Keys and values of (B, 0, mel bins) features."""
        keys = feats.new_zeros(len(feats), 0, self.key_size)
        layers = [keys] * self.num_values
        lengths = torch.zeros(len(feats), dtype=torch.long, device=feats.device)
        return EncoderOutput(keys, join_values(layers), lengths)

    def open_stream(self) -> WhisperStream:
        """For speech that comes in pieces; see :class:`WhisperStream`."""
        return WhisperStream(self)

    def _cut(self, window_s: float, left_context_s: float) -> WhisperWindows:
        limit = 2 * self.encoder.config.max_source_positions / RATE
        windows = WhisperWindows(window_s, left_context_s, limit)
        if not self.mask_padding:
            raise ValueError(
                "whisper encoder: windows are not padded to 30 s: set pad_to_30s: "
                "false in frontend_conf, or no window_s"
            )
        logging.info(
            "whisper encoder: windows of %g s with %g s of past: latency %g s",
            window_s,
            left_context_s,
            windows.latency / RATE,
        )
        return windows

    def _check_precision(self, device_type: str) -> None:
        """FlashAttention would fail deep inside the first layer."""
        if (
            self.encoder.config._attn_implementation == "flash_attention_2"
            and self.encoder.conv1.weight.dtype == torch.float32
            and not torch.is_autocast_enabled(device_type)
        ):
            raise RuntimeError(
                "whisper encoder: flash_attention_2 computes in half precision: set "
                "dtype: bfloat16 in encoder_conf (or train with use_amp)"
            )

    def _encode(self, feats, feats_lengths, position) -> EncoderOutput:
        encoder = self.encoder
        lengths = (feats_lengths + 1) // 2
        frames = feats.transpose(1, 2).to(encoder.conv1.weight.dtype)
        gelu, dropout = torch.nn.functional.gelu, torch.nn.functional.dropout
        attention_mask = None
        if self.mask_padding:
            # Each convolution must meet zeros where a single utterance has none.
            valid = length_mask(feats_lengths, feats.size(1))[:, None]
            frames = gelu(encoder.conv1(frames * valid)) * valid
        else:
            frames = gelu(encoder.conv1(frames))
        hidden = gelu(encoder.conv2(frames)).transpose(1, 2)
        positions = slice(hidden.size(1))
        if position is not None:
            frames = torch.arange(hidden.size(1), device=hidden.device)
            positions = position[:, None] + frames
        hidden = hidden + encoder.embed_positions.weight[positions]
        hidden = dropout(hidden, encoder.dropout, encoder.training)
        if self.mask_padding:
            attention_mask = self._attention_mask(hidden, lengths)
        entering = {}  # layer -> residual stream
        for index, layer in enumerate(encoder.layers):
            if index in self.value_layers:
                entering[index] = hidden
            hidden = layer(hidden, attention_mask, **self._layer_options)
            # transformers 4 returns a tuple
            hidden = hidden[0] if isinstance(hidden, tuple) else hidden
        entering[len(encoder.layers)] = hidden
        values = join_values([entering[layer] for layer in self.value_layers])
        keys = encoder.layer_norm(hidden)
        return EncoderOutput(keys.to(feats.dtype), values.to(feats.dtype), lengths)

    def _attention_mask(self, hidden, lengths) -> torch.Tensor | None:
        """Of the padding, as the attention wants it; None, for faster kernels, where
        there is none."""
        valid = length_mask(lengths, hidden.size(1))
        if bool(valid.all()):
            return None
        attention = self.encoder.config._attn_implementation
        if attention.startswith("flash"):
            return valid
        valid = valid[:, None, None]
        if attention == "sdpa":
            return valid
        lowest = torch.finfo(hidden.dtype).min  # eager adds its mask
        return torch.zeros_like(valid, dtype=hidden.dtype).masked_fill(~valid, lowest)


def _load(model, config, attn_implementation, dtype) -> torch.nn.Module:
    """A transformers ``WhisperEncoder``."""
    from transformers import WhisperConfig, WhisperModel
    from transformers.models.whisper import modeling_whisper
    from transformers.utils import is_flash_attn_2_available

    if attn_implementation == "flash_attention_2" and not is_flash_attn_2_available():
        raise RuntimeError(
            "whisper encoder: attn_implementation flash_attention_2 needs a GPU and "
            "the extra flash-attn (pip install 'espnet2_taste[flash-attn]')"
        )
    if config is not None:
        config = WhisperConfig(**config, attn_implementation=attn_implementation)
        return modeling_whisper.WhisperEncoder(config).to(getattr(torch, dtype))
    try:
        whisper = load_transformers(
            WhisperModel,
            model,
            used=r"encoder\..*",
            attn_implementation=attn_implementation,
            dtype=getattr(torch, dtype),
        )
    except (OSError, ValueError) as error:
        raise FileNotFoundError(
            f"whisper encoder: cannot load {model!r}, neither a local folder nor a "
            f"model the hub gives ({str(error).splitlines()[0]})"
        ) from error
    return whisper.encoder
