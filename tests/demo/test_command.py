"""The command and its make target: what is missing is said in one line."""

import subprocess
from pathlib import Path

import pytest

from espnet2_taste.bin import demo, run

ROOT = Path(__file__).parents[2]


def test_builds_and_serves(tiny_pack, monkeypatch):
    app = pytest.importorskip("espnet2_taste.demo.app")
    served = []
    monkeypatch.setattr(app, "launch", lambda *given: served.append(given))
    demo.main(["--model", str(tiny_pack), "--port", "0", "--asr", "pocketsphinx"])
    assert served[0][1:] == ("127.0.0.1", 0)
    config = served[0][0].get_config_file()
    tabs = [c["props"] for c in config["components"] if c["type"] == "tabitem"]
    names = ["Reconstruct", "Edit", "Voice", "Continue", "Compare"]
    assert [tab["label"] for tab in tabs] == names
    assert "googleapis" not in str(config)


def test_tabs_of_missing_parts_say_so(tiny_root):
    app = pytest.importorskip("espnet2_taste.demo.app")
    page = app.build(tiny_root / "exp" / "mute")
    shown = str([c["props"].get("value") for c in page.get_config_file()["components"]])
    assert shown.count("it cannot speak") == 2 and "has no TASLM" in shown
    assert "--compare" in shown
    page = app.build(tiny_root / "exp" / "chatty")
    assert "'Chat'" in str(page.get_config_file())


def test_no_model(tiny_root):
    with pytest.raises(SystemExit) as error:
        run(lambda: demo.main(["--model", str(tiny_root / "gone.zip")]))
    assert str(error.value).endswith("gone.zip does not exist")


def test_make_says_what_to_do_first(tmp_path):
    (tmp_path / "Makefile").write_bytes((ROOT / "Makefile").read_bytes())
    for target, message in (
        ("demo", "no model yet: make mini"),
        ("results", "no scores yet: make mini"),
    ):
        done = subprocess.run(
            ["make", target], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode and message in done.stderr
