"""Published weights -> a packed model that the inference classes open.

The source is a Hugging Face folder of TASTE (config.json, weights, llama_tokenizer/,
cosyvoice/), a CosyVoice folder (vocoder, ONNX files, and its LM to start training
from), or a checkpoint of the reference's STAGE1_TRAIN (tokenizer and speech decoder).
"""

import argparse
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path

from espnet2_taste.bin import run
from espnet2_taste.hub.archive import write_zip
from espnet2_taste.hub.packed import MODELS, PUBLISHED, TOKENIZER, write_parts
from espnet2_taste.io.atomic import new_folder
from espnet2_taste.io.model_folder import save_state


def get_parser() -> argparse.ArgumentParser:
    """Command-line options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path, help="published folder or file")
    parser.add_argument("output", type=Path, nargs="?", help="new folder")
    parser.add_argument(
        "--dry_run", action="store_true", help="check, print the mapping, write nothing"
    )
    parser.add_argument(
        "--base_lm",
        help="hub id or folder of the base LM: its weights are left out, after a "
        "comparison if they are on this machine",
    )
    parser.add_argument("--whisper", help="likewise of the Whisper model")
    parser.add_argument("--config", type=Path, help="config.json, for a file without")
    parser.add_argument(
        "--zip", action="store_true", help="also write <output>.zip, to be shared"
    )
    return parser


def main(cmd: list[str] | None = None) -> None:
    """Entry point; ``cmd`` defaults to ``sys.argv[1:]``."""
    args = get_parser().parse_args(cmd)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    if args.output is None and not args.dry_run:
        raise ValueError("give an output folder, or --dry_run")
    from espnet2_taste.hub.base_models import leave_out
    from espnet2_taste.hub.published import open_published

    source = open_published(args.source, args.config)
    if args.base_lm or args.whisper:
        leave_out(source.plan, source.checkpoint, args.base_lm, args.whisper)
    if args.dry_run:
        for line in mapping(source):
            print(line)
        return
    with new_folder(args.output) as folder:
        write_packed(source, folder, args.base_lm)
    if args.zip:
        write_zip(args.output, args.output.with_name(args.output.name + ".zip"))
    logging.info("%s is ready", args.output)


def mapping(source) -> Iterator[str]:
    """One line per tensor and file of a :class:`~published.Published`."""
    where: dict[str, list[str]] = {}
    for part in source.plan.parts:
        for ours, published in part.tensors.items():
            where.setdefault(published, []).append(f"{part.name}/{ours}")
    if source.checkpoint is not None:
        for name, info in source.checkpoint.info.items():
            to = ", ".join(where.get(name, ["(left out)"]))
            if name in source.plan.dropped:
                to = "(dropped: never used)"
            dtype = str(info.dtype).removeprefix("torch.")
            yield f"{name} -> {to}  {list(info.shape)} {dtype}"
        for name in where.keys() - source.checkpoint.info.keys():
            yield f"{source.plan.source(name)} -> {', '.join(where[name])}  (tied)"
    for part, (_, files) in source.files.items():
        for file in files:
            yield f"{file.relative_to(source.path)} -> {part}/{file.name}"
    if source.tokenizer is not None:
        yield f"{source.tokenizer.name}/ -> taslm/{TOKENIZER}/"
    for file in source.side_files:
        yield f"{file.name} -> {PUBLISHED}/{file.name}"


def write_packed(source, folder: Path, base_lm: str | None = None) -> None:
    """Fill a folder; the manifest comes last.

    Args:
        source: :class:`~published.Published`.
        folder: to fill.
        base_lm: the tokenizer's hub id, for a source without tokenizer.
    """
    parts = {}
    for part in source.plan.parts:
        target = folder / part.name
        target.mkdir()
        if part.name == "taslm":
            part.args.token_model = base_lm
            if source.tokenizer is not None:
                shutil.copytree(source.tokenizer, target / TOKENIZER)
                part.args.token_model = f"./{TOKENIZER}"
        if "token_model" in part.args and part.args.token_model is None:
            logging.warning(
                "%s comes without a tokenizer: set token_model in its config.yaml",
                part.name,
            )
        names = {source.plan.source(name) for name in part.tensors.values()}
        tensors = {name: source.checkpoint.read(name) for name in names}
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


if __name__ == "__main__":
    run(main)
