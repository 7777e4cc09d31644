"""The files of a Hugging Face Space: a page on which a packed model is tried.

A Space installs ``requirements.txt`` and runs ``app.py`` beside its other files. So
this package's own files go along, and need no place that serves them.
"""

import platform
import re
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import yaml
from packaging.requirements import Requirement

from espnet2_taste.hub.pack import CARD
from espnet2_taste.io.config import parse_yaml
from espnet2_taste.io.models import read_parts

PACKAGE = Path(__file__).parents[1]
#: What the demo shows is made by these parts of a packed model.
NEEDED = ("taste", "speaker", "vocoder")
#: Endings of the package's files.
SUFFIXES = (".css", ".html", ".js", ".py", ".txt")
APP = '''\
"""Hear what the model does: the demo of espnet2_taste."""

from espnet2_taste.demo.app import build, launch

page = build({model!r})

if __name__ == "__main__":
    launch(page, host="0.0.0.0")
'''


def space_files(model: str, folder: Path) -> dict[str, Path | bytes]:
    """What a Space consists of.

    Args:
        model: ``user/name`` of the packed model on the hub.
        folder: where its files are here.

    Returns:
        path in the Space -> a file of this package, or content.

    Raises:
        ValueError: the model has no part that the page needs.
        RuntimeError: packages of the extra ``demo`` are not installed here.
    """
    missing = [part for part in NEEDED if part not in read_parts(folder)]
    if missing:
        raise ValueError(
            f"{folder} has no {' and no '.join(missing)}, without which nothing can be "
            "heard: give them to bin.pack"
        )
    made = {"app.py": APP.format(model=model), "requirements.txt": requirements()}
    made[CARD] = card(model, folder)
    files: dict[str, Path | bytes] = {k: v.encode() for k, v in made.items()}
    for path in sorted(PACKAGE.rglob("*")):
        if path.suffix in SUFFIXES and path.is_file() and not path.is_symlink():
            files[path.relative_to(PACKAGE.parent).as_posix()] = path
    return files


def requirements(extra: str = "demo") -> str:
    """The package's requirements, pinned to what is installed here.

    The Space's card says which gradio: it is not in the list.

    Raises:
        RuntimeError: one is not installed.
    """
    lines = []
    for line in requires("espnet2_taste") or []:
        wanted = Requirement(line)
        if wanted.marker is None or wanted.marker.evaluate({"extra": extra}):
            if wanted.name != "gradio":
                lines.append(f"{wanted.name}=={_installed(wanted.name, extra)}")
    return "\n".join([*dict.fromkeys(lines), ""])


def _installed(name: str, extra: str) -> str:
    """Version of a package, without the name of its build (``+cpu``)."""
    try:
        return version(name).partition("+")[0]
    except PackageNotFoundError:
        raise RuntimeError(
            f"{name} is not installed: pip install 'espnet2_taste[{extra}]', so that "
            "the Space gets what works here"
        ) from None


def card(model: str, folder: Path) -> str:
    """README.md of the Space, in the form that the hub reads."""
    matter = {
        "title": model.rpartition("/")[2],
        "sdk": "gradio",
        "sdk_version": _installed("gradio", "demo"),
        "python_version": ".".join(platform.python_version_tuple()[:2]),
        "app_file": "app.py",
        "models": [model],
        "tags": ["espnet", "speech-tokenizer", "text-to-speech"],
    }
    said = _license(folder)
    if said:
        matter["license"] = said
    lines = [
        f"---\n{yaml.safe_dump(matter, sort_keys=False)}---",
        f"# {matter['title']}",
        "Speak or upload a sentence, see what the text-aligned speech tokenizer "
        f"{model} takes from it, change it, and hear the result.",
        f"License of the weights: {said or 'not given'}. License of the program "
        "(espnet2_taste): apache-2.0.",
    ]
    return "\n\n".join(lines) + "\n"


def _license(folder: Path) -> str | None:
    """What the model's own card says."""
    path = folder / CARD
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    found = re.match(r"---\n(.*?)\n---\n", text, flags=re.S)
    matter = parse_yaml(found[1], str(path)) if found else None
    said = matter.get("license") if isinstance(matter, dict) else None
    return said if isinstance(said, str) else None
