"""Put a packed model on the Hugging Face hub, file by file.

Only the files that bin.pack listed are sent, and the model card, README.md.
There it opens by its name, in this package's classes and in espnet_model_zoo. The token
is huggingface_hub's: of ``hf auth login``, or ``HF_TOKEN``.
"""

import argparse
import logging
from pathlib import Path

from espnet2_taste.bin import command, run

CARD_LINES = 40


def get_parser() -> argparse.ArgumentParser:
    """Command-line options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--packed", required=True, help="zip or folder made by bin.pack")
    add("--repo", required=True, help="user/name; made if it is not there")
    add("--revision", help="branch (default: main)")
    add("--private", action="store_true", help="if the repository is made")
    add("--dry_run", action="store_true", help="print what would be sent")
    return parser


@command(get_parser)
def main(args: argparse.Namespace) -> None:
    from huggingface_hub import CommitOperationAdd, HfApi, get_token
    from huggingface_hub.utils import validate_repo_id

    from espnet2_taste.hub.pack import listed_files
    from espnet2_taste.io.models import MANIFEST, locate, read_parts

    validate_repo_id(args.repo)
    if "/" not in args.repo:
        raise ValueError(f"--repo {args.repo} has no owner: give user/name")
    folder = locate(args.packed)
    if not read_parts(folder):
        raise ValueError(f"{args.packed} is no packed model: it has no {MANIFEST}")
    names = listed_files(folder)
    if args.dry_run:
        print(summary(folder, names, args))
        return
    token = get_token()
    if token is None:
        raise ValueError("no Hugging Face token: run `hf auth login`, or set HF_TOKEN")
    api = HfApi()
    try:
        url = api.create_repo(args.repo, private=args.private or None, exist_ok=True)
        if args.revision:
            api.create_branch(args.repo, branch=args.revision, exist_ok=True)
        commit = api.create_commit(
            repo_id=args.repo,
            operations=[CommitOperationAdd(name, folder / name) for name in names],
            revision=args.revision,
            commit_message="Upload a model packed by espnet2_taste",
        )
    except OSError as error:  # the hub's and the connection's
        reason = " ".join(str(error).replace(token, "***").split())
        raise ValueError(
            f"{args.repo}: the hub refused the upload ({reason})"
        ) from None
    logging.info("%s: %s", url, commit.oid)


def summary(folder: Path, names: list[str], args: argparse.Namespace) -> str:
    """What would be sent where: files with their sizes, and the card's beginning."""
    sizes = {name: (folder / name).stat().st_size for name in names}
    card = folder / "README.md"
    text = card.read_text(encoding="utf-8") if card.is_file() else "(no README.md)"
    visibility = "private" if args.private else "public"
    return "\n".join(
        [
            f"dry run: {args.packed} -> {args.repo} at {args.revision or 'main'} "
            f"({visibility} if it is made)",
            *(f"{size:>15,}  {name}" for name, size in sizes.items()),
            f"{sum(sizes.values()):>15,}  bytes in {len(sizes)} files",
            "",
            *text.splitlines()[:CARD_LINES],
        ]
    )


if __name__ == "__main__":
    run(main)
