"""The notebook runs from top to bottom, and is kept without what it printed."""

from pathlib import Path

import nbformat
from nbclient import NotebookClient

PATH = Path(__file__).parents[2] / "docs" / "quickstart.ipynb"


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_it_is_kept_without_outputs():
    notebook = nbformat.read(PATH, as_version=4)
    nbformat.validate(notebook)
    cells = code_cells(notebook)
    assert not any(cell.outputs or cell.execution_count for cell in cells)


def test_it_runs_on_a_tiny_model(tiny_system, pack, monkeypatch):
    monkeypatch.setenv("DEMO_MODEL", str(pack()))
    notebook = nbformat.read(PATH, as_version=4)
    place = {"metadata": {"path": str(PATH.parent)}}
    NotebookClient(notebook, timeout=120, resources=place).execute()
    outputs = [output for cell in code_cells(notebook) for output in cell.outputs]
    shown = [output.get("data", {}) for output in outputs]
    assert sum("image/png" in data for data in shown) == 3  # attention, pitch twice
    assert sum("<audio" in data.get("text/html", "") for data in shown) >= 8
    assert not [output for output in outputs if output.get("name") == "stderr"]
    printed = "".join(output.get("text", "") for output in outputs)
    assert "bits a second" in printed and "s of speech" in printed
