"""An ESPnet speech recogniser's encoder as TASTE encoder."""

import copy
import logging
import math
from pathlib import Path

import torch

from espnet2_taste.asr.chunks import ChunkStream
from espnet2_taste.asr.espnet_asr import (
    build_encoder,
    build_normalize,
    encode,
    load_asr_weights,
    mask_padding,
    read_asr_config,
)
from espnet2_taste.nn.segments import length_mask
from espnet2_taste.taste.tokenizer.abs_encoder import (
    AbsEncoderStream,
    AbsTasteEncoder,
    EncoderOutput,
    as_list,
    join_values,
)
from espnet2_taste.taste.tokenizer.feature_conv import FeatureConv
from espnet2_taste.taste.tokenizer.frozen import freeze


class EspnetEncoder(AbsTasteEncoder):
    """Keys from an ESPnet ``AbsEncoder``; values from its layers or the features.

    The recogniser reads the first ``asr_input_size`` dimensions of the features (the
    mel bins of ``mel_pitch``), the value path all of them. A small recogniser's
    layers forget pitch; ``value_source: features`` keeps it.

    Args:
        input_size: width of the frontend's features.
        asr_config: config.yaml of a trained ESPnet ASR model; sets ``encoder``,
            ``encoder_conf``, ``asr_input_size``, ``normalize``, ``normalize_conf``.
        asr_model: its weights (.pth). None: random weights. After
            :meth:`resolve_conf` the file may be gone: the weights are in the TASTE
            checkpoint then.
        encoder: ESPnet's name of the encoder class.
        encoder_conf: its arguments; of conformers and (E-)branchformers also
            ``chunk_size`` and ``left_chunks``, see :mod:`~espnet2_taste.asr.chunks`.
        asr_input_size: its input width; default ``input_size``.
        normalize: global_mvn, utterance_mvn or None.
        normalize_conf: its arguments.
        value_source: "features": a trainable convolution stack on all features; or an
            int: the residual stream entering that encoder layer; a list: of several,
            for ``aggregator: multi_layer``.
        value_size: width of the convolution stack; that of the encoder, where both
            are in the list.
        frozen: no gradients and eval mode for encoder and normalisation, for ever.
            The convolution stack is always trained.
    """

    def __init__(
        self,
        input_size: int,
        asr_config: str | None = None,
        asr_model: str | None = None,
        encoder: str = "transformer",
        encoder_conf: dict | None = None,
        asr_input_size: int | None = None,
        normalize: str | None = None,
        normalize_conf: dict | None = None,
        value_source: int | str | list[int | str] = "features",
        value_size: int = 128,
        frozen: bool = True,
    ):
        super().__init__()
        if asr_config is not None:
            conf = self.resolve_conf({"asr_config": asr_config, "asr_model": asr_model})
            encoder, encoder_conf = conf["encoder"], conf["encoder_conf"]
            normalize, normalize_conf = conf["normalize"], conf["normalize_conf"]
            asr_input_size = conf["asr_input_size"]
        self.asr_input_size = asr_input_size or input_size
        if self.asr_input_size > input_size:
            raise ValueError(
                f"espnet encoder reads {self.asr_input_size} dimensions, the frontend "
                f"gives {input_size}: use the frontend_conf the recogniser had"
            )
        self.encoder = build_encoder(encoder, self.asr_input_size, encoder_conf or {})
        mask_padding(self.encoder)
        self.normalize = build_normalize(
            normalize, self.asr_input_size, normalize_conf or {}
        )
        self.frozen = frozen
        self.value_sources = as_list(value_source, "espnet encoder: value_source")
        self.tapped_layers = [s for s in self.value_sources if s != "features"]
        self._check_layers(encoder)
        self.value_conv = None
        if "features" in self.value_sources:
            self.value_conv = FeatureConv(input_size, value_size)
            self.trained_parts = ("value_conv.",)
            if self.tapped_layers and value_size != self.encoder.output_size():
                raise ValueError(
                    f"espnet encoder: features mixed with layers need their width: "
                    f"value_size {self.encoder.output_size()}, not {value_size}"
                )
        if asr_model is not None:
            self._load(asr_model)
        if frozen:
            freeze(self.encoder)
            if self.normalize is not None:
                freeze(self.normalize)

    @staticmethod
    def resolve_conf(conf: dict, frontend: torch.nn.Module | None = None) -> dict:
        """Inline what ``asr_config`` points to, for a config.yaml that stands alone.

        Args:
            conf: encoder_conf as the user wrote it (not changed).
            frontend: of the same model; its features must be the recogniser's.

        Returns:
            The same without ``asr_config``, its content inlined.

        Raises:
            FileNotFoundError: asr_config or asr_model does not exist.
            ValueError: the recogniser has parts that cannot be taken over, or heard
                other features.
        """
        conf = copy.deepcopy(conf)
        asr_config = conf.pop("asr_config", None)
        if asr_config is None:
            return conf
        model = conf.get("asr_model")
        if model is not None and not Path(model).is_file():
            raise FileNotFoundError(f"espnet encoder: no asr_model file {model}")
        even_level = getattr(frontend, "even_level", None)
        return conf | read_asr_config(asr_config, even_level)

    @property
    def key_size(self) -> int:
        """Width of the ESPnet encoder."""
        return self.encoder.output_size()

    @property
    def value_size(self) -> int:
        """Width of the convolution stack, or of the ESPnet encoder."""
        if self.value_conv is not None:
            return self.value_conv.output_size
        return self.encoder.output_size()

    @property
    def num_values(self) -> int:
        """As many as ``value_source`` names."""
        return len(self.value_sources)

    @property
    def subsampling(self) -> int | None:
        """By the strides of its convolutions; None where it has no such embedding."""
        if not hasattr(self.encoder, "embed"):
            return None
        convs = getattr(self.encoder.embed, "conv", ())
        return math.prod(m.stride[0] for m in convs if hasattr(m, "kernel_size"))

    def train(self, mode: bool = True) -> "EspnetEncoder":
        """Switch the mode; frozen parts stay in eval mode."""
        super().train(mode)
        if self.frozen:
            self.encoder.eval()
            if self.normalize is not None:
                self.normalize.eval()
        return self

    def forward(
        self, feats: torch.Tensor, feats_lengths: torch.Tensor
    ) -> EncoderOutput:
        """Encode (B, T, input_size) into keys and values of the same F frames.

        Raises:
            ValueError: an item has fewer frames than the subsampling needs.
        """
        frozen = self.forward_frozen(feats, feats_lengths)
        return self.add_trained(frozen, feats, feats_lengths)

    def forward_frozen(
        self, feats: torch.Tensor, feats_lengths: torch.Tensor
    ) -> EncoderOutput:
        """Keys, and values from layers (of width 0, where none is tapped)."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            asr_feats = self._asr_feats(feats, feats_lengths)
            lengths, keys, *streams = encode(
                self.encoder, asr_feats, feats_lengths, self.tapped_layers
            )
        keys = keys * length_mask(lengths, keys.size(1))[..., None]
        return EncoderOutput(keys, join_values(streams or [keys[..., :0]]), lengths)

    def add_trained(
        self, frozen: EncoderOutput, feats: torch.Tensor, feats_lengths: torch.Tensor
    ) -> EncoderOutput:
        """Values of the features among those from layers, as ``value_source`` says."""
        if self.value_conv is None:
            return frozen
        asr_feats = self._asr_feats(feats, feats_lengths)
        rest = feats[:, : asr_feats.size(1), self.asr_input_size :]
        full = torch.cat((asr_feats, rest.to(asr_feats)), dim=-1)
        frames, lengths = frozen.keys.size(1), frozen.lengths
        found = {"features": self.value_conv(full, feats_lengths, frames, lengths)}
        found |= zip(self.tapped_layers, frozen.value_layers.unbind(2), strict=False)
        values = join_values([found[source] for source in self.value_sources])
        return EncoderOutput(frozen.keys, values, lengths)

    def _asr_feats(
        self, feats: torch.Tensor, feats_lengths: torch.Tensor
    ) -> torch.Tensor:
        """What the recogniser reads: as long as the longest item, as ESPnet's masks."""
        feats = feats[:, : int(feats_lengths.max())]
        # A copy, as GlobalMVN works in place
        mask = length_mask(feats_lengths, feats.size(1))[..., None]
        asr_feats = feats[..., : self.asr_input_size] * mask
        if self.normalize is not None:
            asr_feats, _ = self.normalize(asr_feats, feats_lengths)
        return asr_feats

    def open_stream(self) -> "EspnetStream":
        """For speech that comes in pieces; see :class:`EspnetStream`."""
        return EspnetStream(self)

    def _check_layers(self, name: str) -> None:
        layers = getattr(self.encoder, "encoders", None)
        for layer in self.tapped_layers:
            if isinstance(layer, bool) or not isinstance(layer, int):
                raise ValueError(
                    f"espnet encoder: value_source must be 'features', a layer index "
                    f"or a list of them, not {layer!r}"
                )
            if layers is None:
                raise ValueError(
                    f"espnet encoder {name!r} has no layers to tap: "
                    f"set value_source: features"
                )
            if not 0 <= layer <= len(layers):
                raise ValueError(
                    f"espnet encoder: value_source {layer} is outside 0..{len(layers)}"
                )

    def _load(self, path: str) -> None:
        if not Path(path).is_file():
            logging.warning(
                "espnet encoder: no file %s; its weights must come from the TASTE "
                "checkpoint",
                path,
            )
            return
        parts = {"encoder": self.encoder}
        if self.normalize is not None:
            parts["normalize"] = self.normalize
        load_asr_weights(path, torch.nn.ModuleDict(parts))


class EspnetStream(AbsEncoderStream):
    """Keys and values of speech that comes in pieces, as one pass gives them.

    Args:
        encoder: trained in chunks, with values from its layers.

    Attributes:
        latency: see :class:`~espnet2_taste.asr.chunks.ChunkStream` (with features of
            10 ms: chunks of 16 frames of 40 ms wait for 670 ms).

    Raises:
        ValueError: something in it hears the whole utterance at once.
    """

    def __init__(self, encoder: EspnetEncoder):
        whole = None
        if encoder.value_conv is not None:
            whole = "value_source features (name layers)"
        elif type(encoder.normalize).__name__ == "UtteranceMVN":
            whole = "normalize utterance_mvn (global_mvn or null)"
        if whole:
            raise ValueError(f"espnet encoder: {whole} cannot stream")
        self.encoder = encoder
        self.stream = ChunkStream(encoder.encoder, tuple(encoder.tapped_layers))
        self.latency = self.stream.latency

    @torch.inference_mode()
    def push(self, feats: torch.Tensor, last: bool = False) -> EncoderOutput:
        """See :class:`AbsEncoderStream`."""
        feats = feats[..., : self.encoder.asr_input_size]
        if self.encoder.normalize is not None and feats.size(1):
            lengths = torch.full((len(feats),), feats.size(1), device=feats.device)
            feats, _ = self.encoder.normalize(feats.clone(), lengths)
        keys, *streams = self.stream.push(feats, last)
        lengths = torch.full((len(keys),), keys.size(1), device=keys.device)
        return EncoderOutput(keys, join_values(streams), lengths)
