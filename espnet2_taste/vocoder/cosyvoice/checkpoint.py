"""Published weights of the vocoder: their files, names and sizes.

Names are ``flow.*`` and ``hift.*``. The weight-normed convolutions of HiFT are
published as ``weight_g`` and ``weight_v`` (by newer torch as
``parametrizations.weight.original0`` and ``original1``). A stored ``model.pth`` keeps
them as they are, so that the way back loses nothing; loading folds them.
"""

from pathlib import Path

import torch

from espnet2_taste.io.checkpoint import load_state, load_strictly
from espnet2_taste.io.config import read_yaml
from espnet2_taste.io.model_folder import save_state
from espnet2_taste.vocoder.cosyvoice.generator import VoiceGenerator

State = dict[str, torch.Tensor]

#: weights looked for in a folder, best first; flow.pt and hift.pt come in two files
FILES = (
    *("model.pth", "voice_generator.pth"),
    *("valid.loss.best.pth", "valid.generator_mel_loss.best.pth"),
)
COSYVOICE_FILES = ("flow.pt", "hift.pt")
PUBLISHED_UNET_HEADS = 8
LISTED = 20
_NEWER_NAMES = {
    ".parametrizations.weight.original0": ".weight_g",
    ".parametrizations.weight.original1": ".weight_v",
}


def from_published(state: State) -> State:
    """Names of a published state dict -> ours; no tensor is touched.

    Takes a whole generator, or flow or HiFT alone (CosyVoice's files, without prefix);
    drops a leading ``generator.`` and the counters of training checkpoints.
    """
    state = {
        k.removeprefix("generator."): v
        for k, v in state.items()
        if k not in ("epoch", "step")
    }
    if any(k.startswith(("flow.", "hift.")) for k in state):
        return state
    part = "flow." if "input_embedding.weight" in state else "hift."
    return {part + k: v for k, v in state.items()}


def cosyvoice_files(state: State) -> dict[str, State]:
    """Our names -> the files of CosyVoice and their tensors, none of them touched."""
    parts = {file: file.removesuffix("pt") for file in COSYVOICE_FILES}
    return {
        file: {k.removeprefix(p): v for k, v in state.items() if k.startswith(p)}
        for file, p in parts.items()
    }


def older_name(key: str) -> str:
    """Name of a weight-normed tensor as older torch gives it."""
    for newer, older in _NEWER_NAMES.items():
        if key.endswith(newer):
            return key.removesuffix(newer) + older
    return key


def fold_weight_norm(state: State) -> State:
    """W = g v / |v|, the norm over all dimensions but the first.

    Takes every naming; what is folded already stays. A g or v without a fitting
    partner stays as well, a name that no model has.
    """
    renamed = {older_name(key): value for key, value in state.items()}
    out = dict(renamed)
    for key, v in renamed.items():
        name = key.removesuffix("_v")
        g = renamed.get(name + "_g")
        if not key.endswith(".weight_v") or g is None or v.ndim != 3:
            continue
        if g.shape == (len(v), 1, 1):
            norm = v.double().flatten(1).norm(dim=1).view(-1, 1, 1)
            out[name] = (g.double() * v.double() / norm).float()
            del out[name + "_g"], out[name + "_v"]
    return out


def vocoder_of(state: State) -> str:
    """The choice whose weights these are, of any naming: cosyvoice or cosyvoice2."""
    up = "encoder.up_layer.conv.weight"
    return "cosyvoice2" if f"flow.{up}" in state or up in state else "cosyvoice"


def infer_conf(state: State, unet_heads: int | None = None) -> dict[str, dict]:
    """Arguments of :class:`VoiceGenerator` from the shapes of its weights.

    Args:
        state: our names, norms folded or not. What is missing is left to the defaults.
        unet_heads: of the U-Net's attention, which no shape tells; None: published.
    """

    def dim(name: str, axis: int) -> int | None:
        for key in (name, name + "_v"):
            if key in state and state[key].ndim > axis:
                return state[key].size(axis)
        return None

    def count(prefix: str) -> int | None:
        indices = {
            int(k[len(prefix) :].split(".")[0])
            for k in state
            if k.startswith(prefix) and k[len(prefix) :].split(".")[0].isdigit()
        }
        return len(indices) or None

    heads = PUBLISHED_UNET_HEADS if unet_heads is None else unet_heads
    estimator, encoder = "flow.decoder.estimator.", "flow.encoder."
    block = estimator + "down_blocks.0.1."
    attention = dim(block + "0.attn1.to_q.weight", 0)
    flow = {
        "num_units": dim("flow.input_embedding.weight", 0),
        "spk_embed_dim": dim("flow.spk_embed_affine_layer.weight", 1),
        "mel_size": dim("flow.spk_embed_affine_layer.weight", 0),
        "embed_size": dim("flow.input_embedding.weight", 1),
        "encoder_size": dim(encoder + "after_norm.weight", 0),
        "encoder_heads": dim(encoder + "encoders.0.self_attn.pos_bias_u", 0),
        "encoder_ffn_size": dim(encoder + "encoders.0.feed_forward.w_1.weight", 0),
        "encoder_blocks": count(encoder + "encoders."),
        "up_blocks": count(encoder + "up_encoders."),
        "unet_size": dim(estimator + "final_proj.weight", 1),
        "unet_heads": heads,
        "unet_head_size": attention and attention // heads,
        "unet_blocks": count(block),
        "unet_mid_stages": count(estimator + "mid_blocks."),
    }
    hift = {
        "mel_size": dim("hift.conv_pre.weight", 1),
        "base_size": dim("hift.conv_pre.weight", 0),
        "f0_size": dim("hift.f0_predictor.classifier.weight", 1),
    }
    return {
        name: {k: v for k, v in conf.items() if v is not None}
        for name, conf in (("flow_conf", flow), ("hift_conf", hift))
    }


def read(path: str | Path) -> tuple[State, dict[str, dict]]:
    """Weights at a path, under our names, and what a config.yaml beside them says.

    Args:
        path: a file of tensors; a folder with ``flow.pt`` and ``hift.pt``; a folder
            with ``config.yaml`` and ``model.pth``, or of the flow's or HiFT's training.

    Returns:
        state dict and ``flow_conf``, ``hift_conf`` as far as they are known.

    Raises:
        FileNotFoundError: nothing of the kind there.
        RuntimeError: a file that is no plain checkpoint.
    """
    path = Path(path)
    if path.is_file():
        files, folder = [path], path.parent
    else:
        files, folder = (
            [path / n for n in COSYVOICE_FILES if (path / n).is_file()],
            path,
        )
        files = files or [path / n for n in FILES if (path / n).is_file()][:1]
    if not files:
        raise FileNotFoundError(
            f"no vocoder at {path}: give voice_generator.pth, or a folder with "
            f"{' and '.join(COSYVOICE_FILES)} or with config.yaml and model.pth"
        )
    state: State = {}
    for file in files:
        state |= from_published(load_state(file))
    conf = {}
    if (folder / "config.yaml").is_file():
        config = read_yaml(folder / "config.yaml")
        conf = config.get("vocoder_conf") or config.get("model_conf") or {}
    return state, {k: conf[k] for k in ("flow_conf", "hift_conf") if k in conf}


def gather(
    path: str | Path,
    hift: str | Path | None = None,
    flow_conf: dict | None = None,
    hift_conf: dict | None = None,
) -> tuple[State, dict[str, dict]]:
    """What :func:`read` finds, with HiFT from elsewhere and arguments of your own.

    Args:
        path: see :func:`read`.
        hift: takes HiFT from there instead, for a flow of your own training.
        flow_conf, hift_conf: win over what a config.yaml says.
    """
    state, conf = read(path)
    if hift is not None:
        other, other_conf = read(hift)
        state = {k: v for k, v in state.items() if not k.startswith("hift.")}
        state |= {k: v for k, v in other.items() if k.startswith("hift.")}
        conf["hift_conf"] = other_conf.get("hift_conf", {})
    given = {"flow_conf": flow_conf or {}, "hift_conf": hift_conf or {}}
    conf = {k: {**conf.get(k, {}), **v} for k, v in given.items()}
    return state, {k: v for k, v in conf.items() if v}


def load(
    path: str | Path, device: str = "cpu", kind: type = VoiceGenerator, **given
) -> VoiceGenerator:
    """Build a generator in eval mode.

    Sizes come from the arguments, else from config.yaml, else from the weights.

    Args:
        path: see :func:`read`.
        device: torch device.
        kind: :class:`VoiceGenerator` or its subclass.
        given: other arguments of :func:`gather`.

    Raises:
        FileNotFoundError: as :func:`read`.
        RuntimeError: names all weights that are missing, unknown or of other shapes;
            or the weights are of another vocoder.
    """
    state, conf = gather(path, **given)
    found = vocoder_of(state)
    if found != kind.name:
        raise RuntimeError(f"{path} is of the {found} vocoder, not of {kind.name}")
    state = fold_weight_norm(state)
    known = infer_conf(state, conf.get("flow_conf", {}).get("unet_heads"))
    model = kind(**{k: {**known[k], **conf.get(k, {})} for k in known})
    load_strictly(model, state, f"{path} does not fit the {kind.name} vocoder", LISTED)
    return model.to(device).eval()


def save(folder: str | Path, state: State, conf: dict[str, dict]) -> None:
    """Write a folder that :func:`load` opens.

    Args:
        folder: made if need be.
        state: our names, norms folded or not.
        conf: arguments of :class:`VoiceGenerator`, see :func:`infer_conf`.
    """
    save_state(Path(folder), state, {"model_conf": conf})
