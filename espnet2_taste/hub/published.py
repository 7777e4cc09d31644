"""Finding out what a folder or file with published weights contains."""

from dataclasses import dataclass, field
from pathlib import Path

import torch

from espnet2_taste.hub.conversion_plan import Plan, make_plan
from espnet2_taste.hub.conversion_source import Checkpoint, holds_weights, read_json
from espnet2_taste.hub.published_names import EMBED_TOKENS, LM_HEAD
from espnet2_taste.hub.published_stage1 import (
    Stage1Checkpoint,
    plan_decoder,
    stage1_config,
)
from espnet2_taste.hub.taste2 import is_taste2, plan_taste2
from espnet2_taste.text.tokenizers import build_text_tokenizer

CONFIG = "config.json"
#: folder of the language model's tokenizer
TOKENIZER = "llama_tokenizer"
#: the same beside a file of TASTE2
LM_TOKENIZER = "tokenizer"
#: folder of the other parts' files
COSYVOICE = "cosyvoice"
#: part of a packed model, its choice, and the files that it is published as
FILES = (
    ("vocoder", "cosyvoice", ("voice_generator.pth",)),
    ("vocoder", "cosyvoice", ("flow.pt", "hift.pt")),
    ("vocoder", "cosyvoice2", ("flow.pt", "hift.pt")),  # the weights tell
    ("units", "s3", ("speech_tokenizer_v1.onnx",)),
    ("units", "s3", ("speech_tokenizer_v2.onnx",)),
    ("speaker", "campplus", ("speaker_embed.onnx",)),
    ("speaker", "campplus", ("campplus.onnx",)),
)
CHECKPOINTS = (".pt", ".pth", ".bin", ".safetensors")


@dataclass
class Published:
    """A source of weights.

    Attributes:
        path: where it lies.
        plan: our models in it.
        checkpoint: their tensors; None in a folder without models.
        files: part -> (choice, files) of the parts kept as they are published.
        tokenizer: folder of the language model's tokenizer.
        side_files: JSON files, config.json first, that go through untouched.
    """

    path: Path
    plan: Plan = field(default_factory=lambda: Plan([], [], {}))
    checkpoint: Checkpoint | None = None
    files: dict[str, tuple[str, list[Path]]] = field(default_factory=dict)
    tokenizer: Path | None = None
    side_files: list[Path] = field(default_factory=list)


def open_published(path: str | Path, config: str | Path | None = None) -> Published:
    """Find out what ``path`` is, and plan its conversion.

    Args:
        path: folder of TASTE or CosyVoice, or file of STAGE1_TRAIN or TASTE2.
        config: a ``config.json`` for a file that comes without; of TASTE2's, that of
            the LM.

    Raises:
        FileNotFoundError: nothing there.
        ValueError: damaged, something else, tensors that do not fit, or a variant of
            the reference that this package does not have.
    """
    path = Path(path)
    if path.is_dir():
        _check_links(path)
        if (path / CONFIG).is_file():
            return _hub_folder(path)
        if holds_weights(path):
            raise FileNotFoundError(
                f"{path / CONFIG} does not exist; the weights beside it need it"
            )
        files = _find_files(path)
        if files:
            return _cosyvoice_folder(path, files)
    elif not path.exists():
        raise FileNotFoundError(f"{path} does not exist")
    elif path.suffix in CHECKPOINTS:
        checkpoint = Checkpoint(path)
        if is_taste2(checkpoint.tensors):
            return _taste2(path, checkpoint, config)
        checkpoint = Stage1Checkpoint(path)
        if not checkpoint.has_tower:
            return Published(path, plan_decoder(checkpoint), checkpoint)
        made = stage1_config(checkpoint.tensors, str(path))
        content = made if config is None else read_json(Path(config))
        return Published(
            path, make_plan(content, checkpoint.tensors, str(path)), checkpoint
        )
    raise ValueError(
        f"{path} is neither a TASTE folder ({CONFIG}, weights), nor a CosyVoice folder "
        f"(flow.pt, hift.pt), nor a checkpoint of TASTE's STAGE1_TRAIN or of TASTE2 "
        f"({', '.join(CHECKPOINTS)})"
    )


def _check_links(path: Path) -> None:
    """Refuse links to files elsewhere, but for those of a hub's cache to its blobs."""
    own = (path.resolve(), path.resolve().parents[1] / "blobs")
    for file in path.rglob("*"):
        target = file.resolve()
        if file.is_symlink() and not any(top in target.parents for top in own):
            raise ValueError(f"{file} is a link to {target}: refused")


def _hub_folder(path: Path) -> Published:
    config = read_json(path / CONFIG)
    sections = ("audio_tower_config", "speech_decoder_config", "asr_config")
    missing = [name for name in sections if name not in config]
    if missing:
        raise ValueError(f"{path / CONFIG} is not of a TASTE model: no {missing[0]}")
    checkpoint = Checkpoint(path)
    plan = make_plan(config, checkpoint.tensors, str(path))
    _check_tie(plan, checkpoint)
    tokenizer = path / TOKENIZER if (path / TOKENIZER).is_dir() else None
    if tokenizer is not None:
        _check_tokenizer(tokenizer, config["text_config"]["vocab_size"])
    others = sorted(
        f
        for f in path.glob("*.json")
        if f.name != CONFIG and not f.name.endswith(".index.json")
    )
    return Published(
        path,
        plan,
        checkpoint,
        _find_files(path),
        tokenizer,
        [path / CONFIG, *others],
    )


def _taste2(path: Path, checkpoint: Checkpoint, config: str | Path | None):
    """A file of TASTE2; the LM's tokenizer and its config.json may lie beside it."""
    tokenizer = path.parent / LM_TOKENIZER
    tokenizer = tokenizer if tokenizer.is_dir() else None
    content = None if config is None else read_json(Path(config))
    plan = plan_taste2(checkpoint.tensors, str(path), content)
    if tokenizer is not None:
        _check_tokenizer(tokenizer, plan.parts[-1].args.vocab_size)
    return Published(path, plan, checkpoint, tokenizer=tokenizer)


def _cosyvoice_folder(path: Path, files: dict) -> Published:
    if not (path / "llm.pt").is_file():
        return Published(path, files=files)
    checkpoint = Stage1Checkpoint(path / "llm.pt")
    return Published(path, plan_decoder(checkpoint), checkpoint, files)


def _find_files(path: Path) -> dict[str, tuple[str, list[Path]]]:
    found = {}
    for folder in (path / COSYVOICE, path):
        for part, choice, names in FILES:
            files = [folder / name for name in names]
            if part not in found and all(f.is_file() for f in files):
                found[part] = choice, files
    if "vocoder" in found:
        files = found["vocoder"][1]
        found["vocoder"] = _check_vocoder(files), files
    return found


def _check_vocoder(files: list[Path]) -> str:
    """The vocoder that opens the files."""
    from espnet2_taste.vocoder.cosyvoice.checkpoint import load, read, vocoder_of
    from espnet2_taste.vocoder.cosyvoice.generator import VoiceGenerator
    from espnet2_taste.vocoder.cosyvoice2.generator import VoiceGenerator2

    path = files[0] if len(files) == 1 else files[0].parent
    try:
        choice = vocoder_of(read(path)[0])
        kinds = {kind.name: kind for kind in (VoiceGenerator, VoiceGenerator2)}
        load(path, device="meta", kind=kinds[choice])
    except RuntimeError as error:
        raise ValueError(str(error)) from None
    return choice


def _check_tokenizer(path: Path, vocab_size: int) -> None:
    try:
        found = build_text_tokenizer("hf", str(path)).vocab_size
    except Exception as error:  # transformers and tokenizers raise many kinds
        reason = str(error).strip().partition("\n")[0]
        raise ValueError(f"{path} is no tokenizer ({reason})") from None
    if found > vocab_size:
        raise ValueError(f"{path} has {found} tokens, the LM embeds {vocab_size}")


def _check_tie(plan: Plan, checkpoint: Checkpoint) -> None:
    """An output layer that is tied must equal the embedding; then it is stored once."""
    taslm = next((part for part in plan.parts if part.name == "taslm"), None)
    if taslm is None or plan.tied:
        return
    if not taslm.args.lm_conf["config"].get("tie_word_embeddings", False):
        return
    if not torch.equal(checkpoint.tensors[LM_HEAD], checkpoint.tensors[EMBED_TOKENS]):
        raise ValueError(
            f"{checkpoint.path}: tie_word_embeddings is true, but {LM_HEAD} is not "
            f"{EMBED_TOKENS}: one of them was not trained or not saved"
        )
    plan.tied = {LM_HEAD: EMBED_TOKENS}
