"""A recipe to run."""

import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def recipe(tmp_path):
    """A copy of the repository's recipes, without anything made."""
    for name in ("TEMPLATE", "mini"):
        shutil.copytree(
            ROOT / "egs2/taste" / name,
            tmp_path / "egs2/taste" / name,
            symlinks=True,
            ignore=shutil.ignore_patterns("data", "dump", "exp"),
        )
    (tmp_path / "local").symlink_to(ROOT / "local")
    return tmp_path / "egs2/taste/mini"
