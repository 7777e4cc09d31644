"""Writing published weights as a packed model."""

import logging
import shutil
from collections.abc import Iterator
from pathlib import Path

from espnet2_taste.hub.pack import write_parts
from espnet2_taste.hub.published import Published
from espnet2_taste.io.model_folder import save_state
from espnet2_taste.io.models import MODELS, PUBLISHED, TOKENIZER


def mapping(source: Published) -> Iterator[str]:
    """Where each published tensor and file goes, one line for each."""
    where: dict[str, list[str]] = {}
    for part in source.plan.parts:
        for ours, published in part.tensors.items():
            where.setdefault(published, []).append(f"{part.name}/{ours}")
    if source.checkpoint is not None:
        for name, info in source.checkpoint.tensors.items():
            to = ", ".join(where.get(name, ["(left out)"]))
            if name in source.plan.dropped:
                to = "(dropped: never used)"
            dtype = str(info.dtype).removeprefix("torch.")
            yield f"{name} -> {to}  {list(info.shape)} {dtype}"
        for name in where.keys() - source.checkpoint.tensors.keys():
            yield f"{source.plan.source(name)} -> {', '.join(where[name])}  (tied)"
    for part, (_, files) in source.files.items():
        for file in files:
            yield f"{file.relative_to(source.path)} -> {part}/{file.name}"
    if source.tokenizer is not None:
        yield f"{source.tokenizer.name}/ -> taslm/{TOKENIZER}/"
    for file in source.side_files:
        yield f"{file.name} -> {PUBLISHED}/{file.name}"


def write_packed(source: Published, folder: Path, base_lm: str | None = None) -> None:
    """Fill a folder; the manifest comes last.

    Args:
        source: what is converted.
        folder: to fill.
        base_lm: the tokenizer's hub id, for a source without tokenizer.
    """
    parts = {}
    for part in source.plan.parts:
        target = folder / part.name
        target.mkdir()
        if part.name == "taslm" or getattr(part.args, "token_type", None) == "hf":
            part.args.token_model = base_lm
            if source.tokenizer is not None:
                hidden = shutil.ignore_patterns(".*")
                shutil.copytree(source.tokenizer, target / TOKENIZER, ignore=hidden)
                part.args.token_model = f"./{TOKENIZER}"
        if "token_model" in part.args and part.args.token_model is None:
            logging.warning(
                "%s comes without a tokenizer: set token_model in its config.yaml",
                part.name,
            )
        names = {source.plan.source(name) for name in part.tensors.values()}
        tensors = {name: source.checkpoint.tensors[name] for name in names}
        state = {
            ours: tensors[source.plan.source(name)].reshape(part.shapes[ours])
            for ours, name in part.tensors.items()
        }
        save_state(target, state, vars(part.args))
        parts[part.name] = "model" if part.name in MODELS else "init_param"
        logging.info("%s: %d tensors", part.name, len(part.tensors))
    for part, (choice, files) in source.files.items():
        (folder / part).mkdir()
        for file in files:
            shutil.copyfile(file, folder / part / file.name)
        parts[part] = choice
        logging.info("%s: %s", part, ", ".join(file.name for file in files))
    if source.side_files:
        (folder / PUBLISHED).mkdir()
        for file in source.side_files:
            shutil.copyfile(file, folder / PUBLISHED / file.name)
    if not parts:
        raise ValueError(f"{source.path}: nothing to convert")
    write_parts(folder, parts)
