"""Pack trained parts into one model that opens anywhere: a zip, or a folder.

The tokenizer packs on its own; every other part is an option. Training folders are only
read, from the folder that the recipe ran in; of them travels what inference needs.
Writes a folder per part, ``parts.yaml``, ``meta.yaml`` (for espnet_model_zoo) and the
model card ``README.md``; every part is opened before the model appears.
"""

import argparse
import logging
import shutil
from pathlib import Path

from espnet2_taste.bin import command, run
from espnet2_taste.bin.options import add_part_type, named_folders
from espnet2_taste.inference.parts import CHOICES
from espnet2_taste.io.atomic import new_folder


def get_parser() -> argparse.ArgumentParser:
    """Command-line options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--taste", required=True, help="experiment folder or checkpoint")
    add("--taslm", help="likewise, of the language model on its codes")
    for part, choices in CHOICES.items():
        option = f"--{part.removesuffix('s')}_type"
        add_part_type(parser, option, choices, f"--{part}_conf", dest=f"{part}_type")
        add(f"--{part}", help=f"folder or file of this {choices.axis}")
    add(
        "--include_backbones",
        action="store_true",
        help="put in the weights of networks with a hub id, too (default: their name; "
        "those in a local folder are always put in)",
    )
    card = parser.add_argument_group("for the model card")
    card.add_argument("--name", help="of the model, e.g. user/name (default: --output)")
    card.add_argument("--license", help="of the weights, e.g. apache-2.0")
    card.add_argument("--data", help="that it was trained on")
    card.add_argument("--language", nargs="+", default=[], help="codes, e.g. en")
    card.add_argument(
        "--results",
        nargs="+",
        default=[],
        metavar="SET=DIR",
        help="test sets, each with the output_dir of its bin.score",
    )
    add(
        "--output", type=Path, required=True, help="*.zip, replaced if there; or folder"
    )
    return parser


@command(get_parser)
def main(args: argparse.Namespace) -> None:
    from espnet2_taste.hub.pack import write_zip

    if args.output.suffix != ".zip":
        with new_folder(args.output) as folder:
            fill(folder, args)
    else:
        staging = args.output.with_name(args.output.name + ".files")
        shutil.rmtree(staging, ignore_errors=True)  # of a killed run
        try:
            with new_folder(staging) as folder:
                fill(folder, args)
            write_zip(staging, args.output)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    logging.info("%s is ready", args.output)


def fill(folder: Path, args: argparse.Namespace) -> None:
    """Write the packed model that the options ask for."""
    from espnet2_taste.evaluate.score_folder import read_results
    from espnet2_taste.hub.card import Card
    from espnet2_taste.hub.check import open_parts, remote_names
    from espnet2_taste.hub.pack import pack_model, write_parts
    from espnet2_taste.io.models import MODELS, find_checkpoint, find_part, locate

    scored = named_folders("--results", args.results)
    results = {name: read_results(path) for name, path in scored.items()}
    parts = {}
    for part in MODELS:
        source = getattr(args, part)
        if source is None:
            continue
        checkpoint = find_checkpoint(locate(source), part)
        (folder / part).mkdir()
        pack_model(part, checkpoint, folder / part, args.include_backbones)
        parts[part] = "model"
        logging.info("%s: %s", part, checkpoint)
    for part, choices in CHOICES.items():
        source = getattr(args, part)
        if source is None:
            continue
        given = getattr(args, f"{part}_type"), source
        choice, path = find_part(source, part) or given
        (folder / part).mkdir()
        conf = getattr(args, f"{part}_conf")
        choices.pack(choice, path, folder / part, **conf)
        parts[part] = choice
        logging.info("%s: %s", part, path)
    write_parts(folder, parts)
    name = args.name or args.output.stem
    card = Card(
        name=name,
        source=name if "/" in name else args.output.name,
        parts=open_parts(folder),
        remote=remote_names(folder),
        license=args.license,
        data=args.data,
        language=args.language,
        results=results,
    )
    (folder / "README.md").write_text(card.text(), encoding="utf-8")


if __name__ == "__main__":
    run(main)
