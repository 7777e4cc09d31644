import json
import re
import shutil
import subprocess

import numpy as np
import pytest
import soundfile

from espnet2_taste.bin.report import choose, first_seeds, main
from espnet2_taste.metrics.table import markdown_table
from espnet2_taste.report.training_log import read_curves

LOG = (
    "[host] 2026-01-01 00:00:00,000 (trainer:394) INFO: {0}epoch results: [train] "
    "iter_time=1.1e-04, loss={1}, acc=0.5, optim0_lr0=1.0e-03, train_time=0.2, "
    "time=1 minute and 2.3 seconds, total_count=20, [valid] loss={2}, acc=nan, "
    "time=3.21 seconds, total_count=4\n"
)
CHROMIUM = next(
    (c for c in ("chromium", "chromium-browser", "google-chrome") if shutil.which(c)),
    None,
)


def metrics(**values):
    return {
        k: {"mean": v, "spread": None, "values": [v], "interval": None}
        for k, v in values.items()
    }


@pytest.fixture
def experiment(tmp_path):
    """Score dir, attention and log of an experiment of three tones."""
    row_dirs, measures = {}, {}
    ids = ["a-1", "a-2", "b-1"]
    for row, hz in (("original", 200), ("taste:0", 210), ("taste:1", 220)):
        folder = tmp_path / row.replace(":", "_")
        folder.mkdir()
        t = np.arange(8000) / 16000
        for utt in ids:
            wav = 0.3 * np.sin(2 * np.pi * hz * t)
            soundfile.write(folder / f"{utt}.wav", wav, 16000)
        lines = [f"{utt} {folder}/{utt}.wav\n" for utt in ids]
        (folder / "wav.scp").write_text("".join(lines))
        row_dirs[row] = str(folder)
        f0 = [0.0] * 5 + [float(hz)] * 40 + [0.0] * 5
        measures = {
            utt: {
                "key": "k",
                "words": ["hello", "<b>"],
                "hypothesis": ["hello"],
                "seconds": 0.5,
                "failure": "",
                "starts": [0.0, 0.25],
                "durations": [0.25, 0.25],
                "pauses": [0.0, None],
                "log_f0": 5.3,
                "word_log_f0": [5.3, None],
                "f0": f0,
                "frame_period": 0.01,
            }
            for utt in ids
        }
        name = row.replace(":", "_seed") + ".json"
        (tmp_path / "score" / "measures").mkdir(parents=True, exist_ok=True)
        (tmp_path / "score" / "measures" / name).write_text(json.dumps(measures))
    (tmp_path / "original" / "text").write_text(
        "".join(f"{utt} hello <b>\n" for utt in ids)
    )
    errors = dict(sentences=3, sentence_errors=1, words=6, substituted=1)
    errors |= dict(deleted=0, inserted=0)
    row = {
        "seeds": [""],
        "metrics": metrics(wer=1 / 6, pause_corr=None),
        "errors": [errors],
        "failures": [{}],
    }
    taste = {
        "seeds": ["0", "1"],
        "metrics": metrics(wer=0.25, pause_corr=0.5),
        "errors": [errors, errors],
        "failures": [{"missing": 1}, {}],
    }
    scores = {
        "scorers": {"words": "a scorer <1.0>"},
        "num_utterances": 3,
        "seconds": 1.5,
        "ref_dir": row_dirs["original"],
        "folders": row_dirs,
        "reconstruction": {"original": row, "taste": taste},
        "continuation": {},
        "codes": {"nominal_bitrate": 53.1, "utilisation": 0.9},
        "rtf": {"tokenizer": 0.0312},
    }
    (tmp_path / "score" / "results.json").write_text(json.dumps(scores))
    attention = tmp_path / "taste_dump" / "output.1" / "attention"
    attention.mkdir(parents=True)
    np.savez(
        attention / "b-1.npz",
        attention=np.eye(2, 50, dtype=np.float32),
        words=np.array(["hello", "<b>"]),
        frame_shift=0.01,
    )
    exp = tmp_path / "exp"
    exp.mkdir()
    (exp / "train.1.log").write_text(LOG.format(1, 9, 9.5) + LOG.format(2, 99, 99))
    (exp / "train.log").write_text(LOG.format(2, 7, 8.5) + LOG.format(3, 6, 8))
    return tmp_path


@pytest.fixture
def page(experiment):
    """Path of the HTML report; RESULTS.md lies beside it."""
    main(
        [
            *("--score_dir", str(experiment / "score")),
            *("--attention_dir", str(experiment / "taste_dump")),
            *("--exp_dirs", f"tokenizer={experiment / 'exp'}"),
            *("--title", "a <title>", "--commands", "./run.sh --ngpu 1"),
            *("--results", str(experiment / "RESULTS.md")),
            *("--html", str(experiment / "report.html")),
        ]
    )
    return experiment / "report.html"


def test_curves_of_a_resumed_run(experiment):
    curves = read_curves(experiment / "exp")
    # Epoch 2 was run twice: the newer log wins. acc is nan in validation, the rest
    # exists in training only.
    assert curves == {
        "loss": {
            "train": [(1, 9.0), (2, 7.0), (3, 6.0)],
            "valid": [(1, 9.5), (2, 8.5), (3, 8.0)],
        }
    }


def test_results_md(page):
    text = (page.parent / "RESULTS.md").read_text()
    for part in (
        "# RESULTS",
        "- python version: `3.",
        "- Git hash: `",
        "./run.sh --ngpu 1",
        "|original|1    |0.167|n/a",
        "|taste   |2    |0.250|0.500",
        "|nominal bits per second",
        "|tokenizer|0.0312",
        "|Reconstruction|taste:0|missing|1    |",
    ):
        assert part in text, part


def test_page_is_self_contained_and_escaped(page):
    html = page.read_text()
    assert "<title>a &lt;title&gt;</title>" in html
    assert "<b>" not in html
    assert not re.findall(r"(?:src|href)=\"(?!data:|#)", html)
    assert "http" not in html
    # Three utterances, the original and the first seed of the other row.
    assert html.count("<audio") == 6 and "taste:1</figcaption>" not in html
    assert html.count("Aggregator attention</summary>") == 1
    assert html.count("<polyline") == 6 + 2  # one voiced run a lane, two curves
    assert len(html) < 1e6


@pytest.mark.skipif(not CHROMIUM, reason="Chromium is not installed")
def test_page_in_a_browser(page, tmp_path):
    """All audio loads, the script runs without an error, tables sort."""
    script = (
        "<script>addEventListener('load', () => {"
        "const t = document.querySelector('table.sortable');"
        "t.querySelectorAll('th button')[2].click();"
        "document.documentElement.dataset.first = t.tBodies[0].rows[0].cells[0]"
        ".textContent;});</script></body>"
    )
    probe = tmp_path / "probe.html"
    probe.write_text(page.read_text().replace("</body>", script))
    done = subprocess.run(
        [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"]
        + ["--disable-background-networking", "--disable-sync", "--mute-audio"]
        + [f"--user-data-dir={tmp_path / 'profile'}", "--enable-logging=stderr"]
        + ["--virtual-time-budget=20000", "--dump-dom", probe.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
    )
    tag = re.search(r"<html[^>]*>", done.stdout)
    assert tag, done.stderr[-500:]
    state = dict(re.findall(r'data-([\w-]+)="([^"]*)"', tag[0]))
    assert state == {
        "errors": "0",
        "audio-loaded": "6",
        "audio-total": "6",
        "first": "taste",  # sorted by WER, highest first
    }
    assert "CONSOLE" not in done.stderr


def test_listening_choice_is_even_and_prefers_attention():
    ids = [f"u{i:02d}" for i in range(20)]
    assert choose(ids, [], 3) == ["u00", "u10", "u19"]
    assert choose(ids, ["u05", "u06", "zz"], 4) == ["u00", "u05", "u06", "u19"]
    assert choose(ids[:2], [], 12) == ["u00", "u01"]
    folders = {"a": "x", "b:0": "y", "b:1": "z"}
    assert first_seeds(folders) == {"a": "x", "b:0": "y"}


def test_markdown_table_is_aligned():
    got = markdown_table([["a", "long"], ["123", "4"]])
    assert got == "|a  |long|\n|---|----|\n|123|4   |"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--score_dir", "nowhere"], "run espnet2_taste.bin.score first"),
        (["--exp_dirs", "x=nowhere"], "expected name=folder"),
    ],
)
def test_bad_input_is_one_line(experiment, tmp_path, options, message):
    base = ["--score_dir", str(experiment / "score")]
    outputs = ["--results", str(tmp_path / "R.md"), "--html", str(tmp_path / "r.html")]
    with pytest.raises(SystemExit, match=message):
        main([*base, *outputs, *options])
