"""Put a packed model on the Hugging Face hub, file by file.

Only the files that bin.pack listed are sent, and the model card, README.md.
There it opens by its name, in this package's classes and in espnet_model_zoo. The token
is huggingface_hub's: of ``hf auth login``, or ``HF_TOKEN``.

With ``--space``, not the model is sent but a Space of its name, a page on which people
try the model that was uploaded before.
"""

import argparse
import logging
from pathlib import Path

from espnet2_taste.bin import command, run

#: of each text
SHOWN_LINES = 40
PACKAGE = "espnet2_taste"


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
    add("--space", action="store_true", help="a page on which the model is tried")
    add("--dry_run", action="store_true", help="print what would be sent")
    return parser


@command(get_parser)
def main(args: argparse.Namespace) -> None:
    from huggingface_hub import CommitOperationAdd, HfApi, get_token
    from huggingface_hub.utils import validate_repo_id

    from espnet2_taste.hub.pack import listed_files
    from espnet2_taste.hub.space import space_files
    from espnet2_taste.io.models import MANIFEST, locate, read_parts

    validate_repo_id(args.repo)
    if "/" not in args.repo:
        raise ValueError(f"--repo {args.repo} has no owner: give user/name")
    folder = locate(args.packed)
    if not read_parts(folder):
        raise ValueError(f"{args.packed} is no packed model: it has no {MANIFEST}")
    if args.space:
        files, kind = space_files(args.repo, folder), "space"
    else:
        files, kind = {name: folder / name for name in listed_files(folder)}, "model"
    if args.dry_run:
        print(summary(files, args))
        return
    token = get_token()
    if token is None:
        raise ValueError("no Hugging Face token: run `hf auth login`, or set HF_TOKEN")
    api = HfApi()
    try:
        url = api.create_repo(
            args.repo,
            private=args.private or None,
            repo_type=kind,
            exist_ok=True,
            space_sdk="gradio" if args.space else None,
        )
        if args.revision:
            api.create_branch(
                args.repo, branch=args.revision, repo_type=kind, exist_ok=True
            )
        commit = api.create_commit(
            repo_id=args.repo,
            operations=[CommitOperationAdd(*file) for file in files.items()],
            revision=args.revision,
            repo_type=kind,
            commit_message=f"Upload a {kind} made by espnet2_taste",
        )
    except OSError as error:  # the hub's and the connection's
        reason = " ".join(str(error).replace(token, "***").split())
        raise ValueError(
            f"{args.repo}: the hub refused the upload ({reason})"
        ) from None
    logging.info("%s: %s", url, commit.oid)


def summary(files: dict[str, Path | bytes], args: argparse.Namespace) -> str:
    """What would be sent where: files with their sizes, and texts that were made."""
    sizes = {}
    for name, file in files.items():
        size = len(file) if isinstance(file, bytes) else file.stat().st_size
        group = f"{PACKAGE}/*" if name.startswith(f"{PACKAGE}/") else name
        sizes[group] = sizes.get(group, 0) + size
    visibility = "private" if args.private else "public"
    lines = [
        f"dry run: {args.packed} -> {'Space ' * args.space}{args.repo} at "
        f"{args.revision or 'main'} ({visibility} if it is made)",
        *(f"{size:>15,}  {name}" for name, size in sizes.items()),
        f"{sum(sizes.values()):>15,}  bytes in {len(files)} files",
    ]
    for name in ("app.py", "requirements.txt", "README.md"):
        if name in files:
            file = files[name]
            text = file if isinstance(file, bytes) else file.read_bytes()
            lines += ["", *text.decode().splitlines()[:SHOWN_LINES]]
    return "\n".join(lines)


if __name__ == "__main__":
    run(main)
