"""The documentation: every page, every link, and what its code blocks call."""

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
#: An address that a page would load something from.
LOADED = re.compile(r"<(?:script|img|link|audio)[^>]*(?:src|href)=\"?(https?:[^\" >]+)")


def blocks(language):
    """(page, code) of all fenced blocks of a language."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for code in re.findall(rf"```{language}\n(.*?)```", text, flags=re.S):
            yield page.name, code


def commands():
    """(command, its options) of all shell blocks, ``$run`` being the package's."""
    call = re.compile(r"(?:\$run|python -m espnet2_taste\.bin)\.(\w+)([^|;#\n]*)")
    for _, code in blocks("sh"):
        for name, words in call.findall(code.replace("\\\n", " ")):
            yield name, re.findall(r"--\w+", words)


def options_in(path):
    """Options that a file of commands names; importing ESPnet's tasks takes long."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    values = (n.value for n in ast.walk(tree) if isinstance(n, ast.Constant))
    return {value for value in values if str(value).startswith("--")}


def nav_paths(nav):
    if isinstance(nav, str):
        return [nav]
    items = nav.values() if isinstance(nav, dict) else nav
    return [path for item in items for path in nav_paths(item)]


def test_site_builds_without_a_warning(tmp_path):
    """Strict: a link or anchor that leads nowhere, or a page left out, is an error."""
    cmd = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet"]
    run = subprocess.run(
        [*cmd, "--site-dir", str(tmp_path)], cwd=ROOT, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    home = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert 'href="egs2/taste/mini/index.html"' in home
    assert 'href="CONTRIBUTING.html#pythons"' in home
    api = (tmp_path / "docs" / "api.html").read_text(encoding="utf-8")
    assert 'id="espnet2_taste.inference.speech_to_taste.SpeechToTaste"' in api
    assert 'id="espnet2_taste.inference.edit.TasteEdit.__call__"' in api
    assert ":class:" not in api and ":meth:" not in api
    assert "<code>upload</code>" in (tmp_path / "docs" / "commands.html").read_text()
    notebook = (tmp_path / "docs" / "quickstart.html").read_text(encoding="utf-8")
    assert "exchange_words" in notebook and 'href="quickstart.ipynb"' in notebook
    assert (tmp_path / "docs" / "quickstart.ipynb").is_file()
    assert (tmp_path / "conf" / "train_vocoder.yaml").is_file()
    for page in tmp_path.rglob("*.html"):
        loaded = LOADED.findall(page.read_text(encoding="utf-8"))
        assert not loaded, (page, loaded)


def test_every_page_is_in_the_navigation():
    # without mkdocs' own loader: no tag of Python is in the file
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    listed = {path for path in nav_paths(config["nav"])}
    pages = {*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "benchmarks" / "README.md"}
    pages |= set(ROOT.glob("egs2/taste/*/README.md"))
    assert {path.relative_to(ROOT).as_posix() for path in pages} <= listed


@pytest.mark.parametrize("page, code", list(blocks("python")))
def test_python_is_python(page, code):
    """And what it imports of this package is there."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and node.module.startswith("espnet2_taste"):
            module = importlib.import_module(node.module)
            for alias in node.names:
                assert hasattr(module, alias.name), (page, alias.name)


def test_commands_and_their_options():
    found = list(commands())
    assert {"score", "pack", "tokenize", "convert"} <= {name for name, _ in found}
    folder = ROOT / "espnet2_taste" / "bin"
    shared = [options_in(folder / f"{name}options.py") for name in ("", "measure_")]
    for name, options in found:
        unknown = set(options).difference(options_in(folder / f"{name}.py"), *shared)
        if unknown and not name.endswith("_train"):  # those have ESPnet's
            parser = importlib.import_module(f"espnet2_taste.bin.{name}").get_parser()
            assert unknown <= set(parser._option_string_actions), name
