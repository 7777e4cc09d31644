"""Taking the encoder and the normalisation out of an ESPnet ASR model."""

import importlib
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import torch

from espnet2_taste.asr.chunks import CONVOLUTIONS, OPTIONS, install_chunks, with_chunks
from espnet2_taste.io.checkpoint import load_state, load_strictly
from espnet2_taste.io.config import read_yaml
from espnet2_taste.io.late_import import compiler_left_out
from espnet2_taste.nn.padding import by_length

#: ESPnet's names. ``espnet2.tasks.asr`` has the full list but takes tens of seconds
#: to import; it is asked only for a name that is not here.
_ENCODERS = {
    "branchformer": "branchformer_encoder.BranchformerEncoder",
    "conformer": "conformer_encoder.ConformerEncoder",
    "e_branchformer": "e_branchformer_encoder.EBranchformerEncoder",
    "multiconv_conformer": "multiconvformer_encoder.MultiConvConformerEncoder",
    "rnn": "rnn_encoder.RNNEncoder",
    "transformer": "transformer_encoder.TransformerEncoder",
    "vgg_rnn": "vgg_rnn_encoder.VGGRNNEncoder",
}

#: Classes that :func:`mask_padding` suffices for, if their attention is not legacy.
_MASKING = {
    "BranchformerEncoder",
    "ConformerEncoder",
    "ContextualBlockConformerEncoder",
    "ContextualBlockTransformerEncoder",
    "EBranchformerEncoder",
    "MultiConvConformerEncoder",
    "TransformerEncoder",
}


def build_encoder(name: str, input_size: int, conf: dict) -> torch.nn.Module:
    """Build an ESPnet encoder with random weights by its ClassChoices name; for its
    chunks, if any, see :func:`mask_padding`."""
    if conf.get("interctc_use_conditioning"):
        raise ValueError(
            "espnet encoder: interctc_use_conditioning needs the recogniser's CTC "
            "layer, which is not taken over"
        )
    if name in _ENCODERS:
        module, _, class_name = _ENCODERS[name].partition(".")
        with compiler_left_out():
            module = importlib.import_module(f"espnet2.asr.encoder.{module}")
        encoder_class = getattr(module, class_name)
    else:
        from espnet2.tasks.asr import encoder_choices

        encoder_class = encoder_choices.get_class(name)
    chunks = {name: conf[name] for name in OPTIONS if name in conf}
    conf = {name: value for name, value in conf.items() if name not in chunks}
    encoder = encoder_class(input_size=input_size, **conf)
    encoder.chunks = chunks if chunks.get("chunk_size") is not None else {}
    return encoder


def encode(
    encoder: torch.nn.Module,
    feats: torch.Tensor,
    lengths: torch.Tensor,
    layers: Sequence[int] = (),
) -> tuple[torch.Tensor, ...]:
    """Run an encoder of :func:`mask_padding`; a batch gives what single items give.

    Args:
        encoder: ESPnet's.
        feats: (B, T, input_size), zeros in the padding.
        lengths: (B,) int64.
        layers: whose inputs are wanted, too (the number of layers: the last's output).

    Returns:
        lengths (B,), output (B, F, size), and the residual stream entering each of
        ``layers`` (B, F, size).

    Raises:
        ValueError: an item has fewer frames than the subsampling needs.
    """
    # its own module is named espnet.nets or espnet2.legacy.nets, by version
    from espnet2.asr.encoder.transformer_encoder import TooShortUttError

    def run(feats: torch.Tensor, lengths: torch.Tensor) -> list[torch.Tensor]:
        streams: dict[int, torch.Tensor] = {}
        with ExitStack() as hooks:
            for layer in layers:
                hooks.callback(_tap(encoder, layer, streams).remove)
            try:
                out, out_lengths, _ = encoder(feats, lengths)
            except TooShortUttError as error:
                raise ValueError(f"too short for the encoder: {error}") from None
        if int(out_lengths.min()) < 1:
            raise ValueError(
                f"too short for the encoder: {int(lengths.min())} frames of features"
            )
        out = out[0] if isinstance(out, tuple) else out  # interCTC adds outputs
        return [out_lengths.to(lengths), out, *(streams[layer] for layer in layers)]

    masks = type(encoder).__name__ in _MASKING and not any(
        type(module).__name__.startswith("Legacy") for module in encoder.modules()
    )
    return tuple(run(feats, lengths) if masks else by_length(run, feats, lengths))


def _tap(encoder: torch.nn.Module, index: int, streams: dict[int, torch.Tensor]):
    """A hook that puts the residual stream entering a layer into ``streams``."""

    def catch(module, args, result=None):
        stream = (args if result is None else result)[0]
        # Conformers pass (hidden, positional encoding) along.
        streams[index] = stream[0] if isinstance(stream, tuple) else stream

    if index < len(encoder.encoders):
        return encoder.encoders[index].register_forward_pre_hook(catch)
    return encoder.encoders[-1].register_forward_hook(catch)


def mask_padding(encoder: torch.nn.Module) -> None:
    """Keep padding out of an ESPnet encoder, where masks can.

    ESPnet thins the padding mask out by slicing, which leaves items that are shorter
    than the longest one or two frames computed from padding; and the convolutions of
    its conformers and (E-)branchformers see padding. What has no masks, or positions
    that depend on the padded length (``rel_pos_type: legacy``, ESPnet's default for
    conformers), :func:`encode` runs length by length. Chunks (``encoder_conf:
    chunk_size``) are masked, too.
    """
    _fix_subsampled_masks(encoder)
    for layer in getattr(encoder, "encoders", ()):
        for name, module in layer.named_modules():
            if name in CONVOLUTIONS:
                _mask_convolution(layer, module)
    if getattr(encoder, "chunks", None):
        install_chunks(encoder, **encoder.chunks)


def _mask_convolution(layer: torch.nn.Module, conv: torch.nn.Module) -> None:
    """Zero the padding in the input of a layer's convolution."""
    masks = []

    def remember(module, args):
        masks[:] = args[1:2]

    def apply(module, args):
        mask = masks.pop()
        return args if mask is None else (args[0] * mask, *args[1:])

    layer.register_forward_pre_hook(remember)
    conv.register_forward_pre_hook(apply, prepend=True)  # before it is cut in chunks


def _fix_subsampled_masks(encoder: torch.nn.Module) -> None:
    """Count the frames without padding from the convolutions' kernels and strides."""
    embed = getattr(encoder, "embed", None)
    convs = [m for m in getattr(embed, "conv", ()) if hasattr(m, "kernel_size")]
    if not convs:
        return

    def fix(module, args, output):
        if not (isinstance(output, tuple) and len(output) == 2 and len(args) > 1):
            return output
        x, mask = output
        if mask is None or args[1] is None:
            return output
        lengths = args[1].sum(dim=-1)  # (B, 1)
        for conv in convs:
            # time is the first (or only) axis of the kernels
            reach = conv.kernel_size[0] - 2 * conv.padding[0]
            lengths = (lengths - reach) // conv.stride[0] + 1
        index = torch.arange(mask.size(-1), device=mask.device)
        return x, index < lengths[..., None]

    embed.register_forward_hook(fix)


def build_normalize(name: str | None, size: int, conf: dict) -> torch.nn.Module | None:
    """Build ESPnet's normalisation; statistics come from a checkpoint."""
    if name is None:
        return None
    if name == "utterance_mvn":
        from espnet2.layers.utterance_mvn import UtteranceMVN

        return UtteranceMVN(**conf)
    if name == "global_mvn":
        return _global_mvn(size, **conf)
    raise ValueError(
        f"espnet encoder: normalize must be global_mvn, utterance_mvn or null, "
        f"not {name!r}"
    )


def _global_mvn(size: int, **conf) -> torch.nn.Module:
    """A ``GlobalMVN`` whose statistics are 0 and 1 until a state dict is loaded.

    ESPnet's constructor wants the statistics file of the ASR experiment, which is
    long gone when a packed model is built again.
    """
    from espnet2.layers.global_mvn import GlobalMVN

    class StoredMVN(GlobalMVN):
        def __init__(self, norm_means=True, norm_vars=True, eps=1.0e-20):
            torch.nn.Module.__init__(self)
            self.norm_means, self.norm_vars, self.eps = norm_means, norm_vars, eps
            self.stats_file = None
            self.register_buffer("mean", torch.zeros(size))
            self.register_buffer("std", torch.ones(size))

    conf.pop("stats_file", None)
    return StoredMVN(**conf)


def build_frontend(config: dict) -> torch.nn.Module:
    """The frontend that an ESPnet ASR config.yaml names: default or mel_pitch."""
    conf = config.get("frontend_conf") or {}
    if config.get("frontend") == "mel_pitch":
        from espnet2_taste.asr.mel_pitch import MelPitchFrontend

        return MelPitchFrontend(**conf)
    from espnet2_taste.asr.log_mel import LogMelFrontend

    return LogMelFrontend(**conf)


def register_frontend() -> None:
    """ESPnet's ASR task and ``Speech2Text`` build our ``default`` frontend: it is the
    same for single utterances, and has an option more; and encoders with chunks."""
    from espnet2.tasks.asr import encoder_choices, frontend_choices

    from espnet2_taste.asr.log_mel import LogMelFrontend

    frontend_choices.classes["default"] = LogMelFrontend
    for name in ("conformer", "branchformer", "e_branchformer"):
        known = encoder_choices.classes[name]
        if known.__module__ != with_chunks.__module__:
            encoder_choices.classes[name] = with_chunks(known)


def read_asr_config(path: str, even_level: bool | None = None) -> dict:
    """What :class:`EspnetEncoder` needs of an ESPnet ASR config.yaml.

    Args:
        path: of the file.
        even_level: of the frontend that its encoder is to read; None: its own.

    Returns:
        encoder, encoder_conf, asr_input_size, normalize, normalize_conf.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is of another kind of model, or was trained on other features.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"espnet encoder: no asr_config file {path}")
    config = read_yaml(path)
    if "encoder" not in config:
        raise ValueError(
            f"espnet encoder: {path} is not the config.yaml of an ESPnet ASR model"
        )
    for part in ("preencoder", "postencoder"):
        if config.get(part) is not None:
            raise ValueError(
                f"espnet encoder: {path} has a {part}, which is not supported"
            )
    size, frontend_conf = config.get("input_size"), config.get("frontend_conf") or {}
    heard = bool(frontend_conf.get("even_level"))
    if even_level not in (None, heard):
        raise ValueError(
            f"espnet encoder: {path} was trained with even_level {heard}: set it so in "
            "frontend_conf, too"
        )
    if size is None:
        if config.get("frontend", "default") not in ("default", "mel_pitch"):
            raise ValueError(
                f"espnet encoder: {path} uses frontend {config['frontend']!r}; only "
                f"recognisers on ESPnet's default frontend can be taken over"
            )
        size = frontend_conf.get("n_mels", 80)
        # a recogniser trained on mel_pitch has heard the two pitch dimensions
        size += 2 * (config.get("frontend") == "mel_pitch")
    normalize_conf = dict(config.get("normalize_conf") or {})
    normalize_conf.pop("stats_file", None)
    return {
        "encoder": config["encoder"],
        "encoder_conf": dict(config.get("encoder_conf") or {}),
        "asr_input_size": size,
        "normalize": config.get("normalize"),
        "normalize_conf": normalize_conf,
    }


def load_asr_weights(path: str, parts: torch.nn.ModuleDict) -> None:
    """Load the entries of an ASR checkpoint that belong to ``parts``, all of them.

    Raises:
        RuntimeError: no plain checkpoint, or one that does not fit.
    """
    prefixes = tuple(f"{name}." for name in parts)
    state = {k: v for k, v in load_state(path).items() if k.startswith(prefixes)}
    load_strictly(parts, state, f"espnet encoder: {path} does not fit asr_config")
