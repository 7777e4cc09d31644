"""Writing a packed model (see :mod:`espnet2_taste.io.models`).

Of a training configuration only listed options go along: those that build the model,
and those that say how it was trained. Data paths, output folders and distributed
settings of the machine therefore stay behind. Files that a packed ``config.yaml`` names
lie beside it, and their names start with ``./``.
"""

import platform
import shutil
import zipfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import torch
import yaml

from espnet2_taste import __version__
from espnet2_taste.io.archive import is_inside
from espnet2_taste.io.atomic import replacing, write_text
from espnet2_taste.io.carrier import Carrier, axis_names
from espnet2_taste.io.checkpoint import build_model_from_file, load_state
from espnet2_taste.io.config import read_arguments, read_yaml
from espnet2_taste.io.identity import digests, sha256
from espnet2_taste.io.model_folder import save_state
from espnet2_taste.io.models import MANIFEST, META, MODELS, TOKENIZER
from espnet2_taste.text.tokenizers import build_text_tokenizer

COMMON = ("token_type", "token_model", "vocab_size", "segmenter", "model_conf")
#: The rest of the training that a reader of the configuration may want to know.
TRAINING = (
    *("version", "seed", "max_epoch", "patience", "best_model_criterion"),
    *("optim", "optim_conf", "scheduler", "scheduler_conf", "accum_grad", "grad_clip"),
    *("batch_type", "batch_size", "batch_bins", "train_dtype", "use_amp"),
)
#: where a pretrained network is named (``model``) or described (``config``)
BACKBONES = {"taste": "encoder_conf", "taslm": "lm_conf"}
#: The model card.
CARD = "README.md"
#: The earliest time that a zip can hold; nothing of the machine's clock goes in.
EPOCH = (1980, 1, 1, 0, 0, 0)
#: of a transformers configuration: where it came from, not what it is
_ORIGIN = ("transformers_version", "architectures", "dtype", "torch_dtype")


def _building(part: str) -> tuple[Callable, list[str]]:
    """What builds a part from its options, and the names of those that it reads."""
    if part == "taste":
        from espnet2_taste.taste import build

        make, names = build.build_taste_model, ["unit_spec", "num_units"]
        names += ["spk_embed_dim", "vocabularies", "text_views"]
    else:
        from espnet2_taste.taslm import build

        make, names = build.build_taslm_model, ["quantizer", "quantizer_conf"]
        names += ["quantizer_dim", "granularity", "chat_template"]
    return make, list(
        dict.fromkeys([*COMMON, *names, *axis_names(vars(build).values())])
    )


def pack_model(
    part: str, checkpoint: Path, folder: Path, include_backbones: bool = False
) -> None:
    """Write ``config.yaml``, ``model.pth`` and the text tokenizer of a trained model.

    A pretrained network in a local folder goes into ``model.pth``; one with a hub id
    stays there.

    Args:
        part: ``taste`` or ``taslm``.
        checkpoint: beside its ``config.yaml``.
        folder: to fill.
        include_backbones: take in those with a hub id as well, and their tokenizer.

    Raises:
        ValueError: an option names a folder or file that cannot travel.
        FileNotFoundError: one that is not there.
    """
    given = vars(read_arguments(checkpoint.parent / "config.yaml"))
    carrier = Carrier(checkpoint.parent, folder)
    names = [*_building(part)[1], *TRAINING]
    config = {name: given[name] for name in names if name in given}
    conf = config.get(BACKBONES[part]) or {}
    conf.pop("asr_model", None)  # resolved by training: the checkpoint has its weights
    further = config.get("vocabularies") or {}
    for name, options in {"": config, **further}.items():
        if options.get("token_type") == "hf":
            options["token_model"] = _copy_tokenizer(
                carrier,
                options["token_model"],
                include_backbones,
                f"{TOKENIZER}_{name}" if name else TOKENIZER,
            )
    backbone = carrier.find(str(conf.pop("model"))) if conf.get("model") else None
    config = {name: carrier.carry(name, value) for name, value in config.items()}
    if backbone is not None:
        config[BACKBONES[part]]["model"] = str(backbone)
    save_state(folder, load_state(checkpoint), config)
    if backbone is not None and (backbone.is_dir() or include_backbones):
        _take_in(part, folder, config)


def _copy_tokenizer(carrier: Carrier, model: str, include: bool, place: str) -> str:
    """Copy a transformers tokenizer; the value of ``token_model``.

    One with a hub id stays there unless ``include`` is True.
    """
    path = carrier.find(model)
    if not path.is_dir() and not include:
        return model
    made = build_text_tokenizer("hf", str(path)).tokenizer
    made.init_kwargs.pop("name_or_path", None)
    made.name_or_path = ""
    made.save_pretrained(carrier.folder / place)
    return f"./{place}"


def _take_in(part: str, folder: Path, config: dict) -> None:
    """Put the weights of the network that ``model`` names into ``model.pth``."""
    build, _ = _building(part)
    model, _ = build_model_from_file(
        build, folder / "config.yaml", folder / "model.pth"
    )
    network = model.encoder.encoder if part == "taste" else model.lm.causal_lm
    described = {
        k: v
        for k, v in network.config.to_dict().items()
        if k not in _ORIGIN and not k.startswith("_")
    }
    section = config[BACKBONES[part]]
    config[BACKBONES[part]] = {"config": described} | {
        k: v for k, v in section.items() if k != "model"
    }
    tensors = dict(model.named_parameters(remove_duplicate=False))
    tensors |= dict(model.named_buffers(remove_duplicate=False))
    save_state(folder, {}, config)
    with torch.device("meta"):
        wanted = build(read_arguments(folder / "config.yaml")).state_dict()
    save_state(folder, {name: tensors[name].detach() for name in wanted}, config)


def write_parts(folder: Path, parts: dict[str, str]) -> None:
    """Write ``meta.yaml`` and, last, ``parts.yaml``: with it the folder is complete.

    The keys of ``meta.yaml`` are what ESPnet passes to a constructor: those of the
    tokenizer, or of what there is. ``sha256`` lists all files there are so far.
    """
    model = next((part for part in MODELS if part in parts), None)
    meta = {
        "espnet": version("espnet"),
        "espnet2_taste": __version__,
        "files": {"model_file": f"{model}/model.pth"} if model else {},
        "python": platform.python_version(),
        "sha256": digests(folder),
        "torch": version("torch"),
        "yaml_files": {"train_config": f"{model}/config.yaml"} if model else {},
    }
    for name, content in ((META, meta), (MANIFEST, parts)):
        write_text(folder / name, yaml.safe_dump(content, sort_keys=False))


def listed_files(folder: Path) -> list[str]:
    """Names of the files that a packed model consists of, and no others.

    These are what :func:`write_parts` listed, unchanged, its two lists and the model
    card; so whatever else came to lie in the folder is not handed on.

    Raises:
        ValueError: one is missing, changed or a link; or there is no list.
    """
    listed = read_yaml(folder / META).get("sha256") if (folder / META).is_file() else 0
    if not isinstance(listed, dict) or not all(map(is_inside, listed)):
        raise ValueError(f"{folder} has no list of its files ({META}): pack it again")
    names = [*listed, META, MANIFEST, *(n for n in (CARD,) if (folder / n).exists())]
    for name in names:
        path = folder / name
        above = [p for p in path.parents if folder in p.parents]
        if any(p.is_symlink() for p in (path, *above)) or not path.is_file():
            raise ValueError(f"{path} is not there, or is a link: pack it again")
        if name in listed and sha256(path) != listed[name]:
            raise ValueError(f"{path} has changed since it was packed: pack it again")
    return sorted(names)


def write_zip(folder: Path, path: Path) -> None:
    """Zip a packed model, uncompressed because weights do not shrink.

    The same files give the same bytes.

    Args:
        folder: whose :func:`listed_files` go in.
        path: of the zip; what lies there is replaced when the new one is complete.
    """
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name in listed_files(folder):
            file = folder / name
            info = zipfile.ZipInfo(name, EPOCH)
            info.external_attr = 0o644 << 16
            info.file_size = file.stat().st_size  # decides on zip64
            with file.open("rb") as source, archive.open(info, "w") as target:
                shutil.copyfileobj(source, target, 1 << 20)
