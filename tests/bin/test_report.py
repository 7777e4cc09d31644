import json
import re

import numpy as np
import pytest
import soundfile
from PIL import Image
from score_columns import COLUMNS

from espnet2_taste.bin.report import main
from espnet2_taste.evaluate.report.listen import Utterance, even_steps
from espnet2_taste.evaluate.report.page import Report
from espnet2_taste.evaluate.results import average_seeds, write_results
from espnet2_taste.evaluate.rows import Row
from espnet2_taste.evaluate.statistics import Statistics
from espnet2_taste.evaluate.word_errors import error_statistics

LOG = (
    "[host] 2026-01-01 00:00:00,000 (trainer:394) INFO: {0}epoch results: [train] "
    "loss={1}, effective_batch_size=16.0, total_count=20, [valid] loss={2}, "
    "total_count=4\n"
)
IDS = [f"u-{i:02d}" for i in range(12)]
TEXT = "hello dear <b>"
#: row key -> pitch of its tones [Hz]
ROWS = {"original": 200, "taste:0": 210, "taste:1": 220}


def heard(utt, row):
    """u-03 is the worst of taste:0: 3 errors, all others have at most 1."""
    if row != "taste:0":
        return "hello dear <b>"
    return {"u-03": "good bye", "u-05": "hello <b>"}.get(utt, TEXT)


def score_row(key, folder):
    """Scores of a row, and what was measured on it."""
    name, _, seed = key.partition(":")
    scores = Row(name, seed, folder)
    words = {utt: TEXT.split() for utt in IDS}
    hypotheses = {utt: heard(utt, key).split() for utt in IDS}
    errors, scores.statistics, _ = error_statistics(words, hypotheses)
    scores.errors = vars(errors)
    if name == "taste":
        rmse = [[i + 1.0, 1.0] for i in range(len(IDS))]
        scores.statistics["f0_rmse"] = Statistics("rms", IDS, rmse)
        scores.failures = {"missing": 1}
    for utt in IDS:
        texts = {"text": TEXT, "recognised": heard(utt, key)}
        scores.lines[utt] = {"failure": "", "words": 3} | texts
    return scores


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    """Scores, attention, logs and maps of an experiment of twelve tones."""
    root = tmp_path_factory.mktemp("exp")
    rows = []
    for key, hz in ROWS.items():
        folder = root / key.replace(":", "_")
        folder.mkdir()
        wav = 0.3 * np.sin(2 * np.pi * hz * np.arange(16000) / 16000)
        for utt in IDS:
            soundfile.write(folder / f"{utt}.wav", wav, 16000)
        if key == "original":  # as if it continued something
            (folder / "prompt_text").write_text("u-00 hello <>\n")
        lines = [f"{utt} {folder}/{utt}.wav\n" for utt in IDS]
        (folder / "wav.scp").write_text("".join(lines))
        rows.append(score_row(key, folder))
        f0 = [0.0] * 50 + [float(hz)] * 100 + [0.0] * 50
        pitch = {"f0": f0, "frame_period": 0.005, "seconds": 1.0}
        times = {"starts": [0.0, 0.3, 0.6], "durations": [0.3, 0.3, 0.4]}
        times |= {"pauses": [0.0, 0.0, None], "words": TEXT.split()}
        for scorer, measured in (("pitch", pitch), ("times", times)):
            path = root / "score" / "measures" / scorer
            path.mkdir(parents=True, exist_ok=True)
            lines = [measured | {"utt": utt, "mark": utt} for utt in IDS]
            text = "".join(json.dumps(line) + "\n" for line in lines)
            (path / f"{key.replace(':', '_seed')}.jsonl").write_text(text)
    (root / "original" / "text").write_text("".join(f"{u} {TEXT}\n" for u in IDS))
    results = {
        "columns": COLUMNS,
        "scorers": {"words": "a scorer <1.0>"},
        "not_computed": {"UTMOS": "pip install <utmos>"},
        "num_utterances": len(IDS),
        "seconds": 12.0,
        "ref_dir": str(root / "original"),
        "folders": {key: str(root / key.replace(":", "_")) for key in ROWS},
        "reconstruction": average_seeds(rows),
        "continuation": {},
        "likelihood": {},
        "qa": {},
        "environment": {"Git hash": "that of the scoring"},
        "codes": {"nominal_bitrate": 53.1, "utilisation": 0.9},
        "rtf": {
            "tokenizer": {"rtf": 0.0312, "device": "cpu", "batch_size": 32},
            "vocoder": {"rtf": 0.2, "device": "cpu", "batch_size": 32},
        },
    }
    results["folders"]["taste:0"] += "/wav.scp"  # a row may be one, too
    write_results(root / "score", results, {"reconstruction": rows})
    attention = root / "taste_dump" / "output.1" / "attention"
    attention.mkdir(parents=True)
    content = {"words": np.array(TEXT.split()), "frame_shift": 0.02}
    for utt in ("u-03", "u-06", "u-07"):
        map_ = np.eye(3, 50, dtype=np.float16)
        np.savez_compressed(attention / f"{utt}.npz", attention=map_, **content)
    exp = root / "exp"
    (exp / "att_ws" / "dev-1").mkdir(parents=True)
    for epoch in (1, 2):
        picture = Image.new("RGB", (64, 32), "white")
        picture.save(exp / "att_ws" / "dev-1" / f"{epoch}ep.png")
    (exp / "train.log").write_text(LOG.format(1, 7, 8.5) + LOG.format(2, 6, 8))
    return root


@pytest.fixture(scope="module")
def page(experiment):
    """Path of the HTML report; RESULTS.md lies beside it."""
    main(
        [
            *("--score_dirs", f"test={experiment / 'score'}"),
            *("--attention_dir", str(experiment / "taste_dump")),
            *("--exp_dirs", f"tokenizer={experiment / 'exp'}"),
            *("--title", "a <title>", "--commands", "./run.sh --ngpu 1"),
            *("--num_utterances", "3", "--num_worst", "3"),
            *("--results", str(experiment / "RESULTS.md")),
            *("--html", str(experiment / "report.html")),
        ]
    )
    return experiment / "report.html"


def test_results_md(page):
    text = (page.parent / "RESULTS.md").read_text()
    for part in (
        "# RESULTS",
        "## Environment\n\n- Git hash: `that of the scoring`",
        "./run.sh --ngpu 1",
        "Test set: 12 utterances, 12 s of audio.",
        "|taste   |5.6      |",  # in the layout of the paper, %
        "|original|1    |0.000        |",
        "|taste   |2    |0.056 ± 0.056|",
        "|nominal bits per second",
        "|tokenizer|0.0312",
        "|Reconstruction|taste:0|missing|1    |",
        "a scorer <1.0>",
        "pip install <utmos>",
    ):
        assert part in text, part


def test_the_same_again(page):
    """``make results``: the options are kept beside the page."""
    before, text = page.read_text(), (page.parent / "RESULTS.md").read_text()
    page.unlink()
    main([f"@{page.with_suffix('.args')}"])
    assert page.read_text().count("<audio") == before.count("<audio")
    again = (page.parent / "RESULTS.md").read_text()
    assert again == text  # what it says of the machine is of the scoring


def test_page_is_self_contained_and_escaped(page):
    html = page.read_text()
    assert "<title>a &lt;title&gt;</title>" in html
    assert "<b>" not in html and "<1.0>" not in html
    assert not re.findall(r"(?:src|href)=\"(?!data:|#)", html)
    assert "http" not in html and "url(" not in html
    sections = re.findall(r'<section id="(\w+)"', html)
    assert sections == [
        *("overview", "reconstruction", "errors", "codes", "rtf", "training"),
        *("listen", "about"),
    ]
    assert re.findall(r'<a href="#(\w+)" id="tab-', html) == sections
    assert len(html) < 1e6


def test_page_has_what_is_worth_hearing(page):
    html = page.read_text()
    cards = re.findall(r'<article id="utt-(u-\d+)"( class="sample")?>', html)
    # In even steps; the worst by WER are u-03 and u-05, by F0 RMSE u-11 and u-10: the
    # second list is half as long.
    sample = [utt for utt, kind in cards if kind]
    assert sample == ["u-00", "u-06", "u-11"]
    assert {utt for utt, _ in cards} == {*sample, "u-03", "u-05", "u-10"}
    # The original and the first seed of the other row.
    # The sample's three sentences are on the first page, too.
    assert html.count("<audio") == 2 * len(cards) + 2 * 3
    assert "<figcaption>taste:1" not in html
    marks = "<del>struck out</del> is missing"
    assert html.index(marks) < html.index("<figcaption>")
    prompted = '<figcaption>original … after "hello &lt;&gt;"'
    assert html.count(prompted) == 2 * html.count('id="utt-u-00"') == 2
    assert html.count("Aggregator attention</summary>") == 2
    assert html.count("Pitch and word times</summary>") == len(cards)
    lists = dict(re.findall(r'id="worst-([^"]+)"(.*?)</ol>', html, re.S))
    assert list(lists) == [
        "reconstruction-taste-" + k for k in ("wer", "cer", "f0_rmse")
    ]
    worst = re.findall(r'data-card="utt-([^"]+)"', lists["reconstruction-taste-wer"])
    assert worst == ["u-03", "u-05"]
    assert "3 errors in 3 words" in lists["reconstruction-taste-wer"]
    assert "<del>dear</del>" in html and "<ins>bye</ins>" in html
    # Values lead to them, with their interval and not without it.
    link = r'<a href="#worst-reconstruction-taste-wer"[^>]*>'
    cell = link + r"0.056 ± 0.056</a><small>\[0."
    assert re.search(cell, html)
    assert html.count("epoch 1</figcaption>") == 1


def test_several_sets(experiment, tmp_path):
    """RESULTS.md has a section per set, and every page a link to the other one."""
    main(
        [
            *("--score_dirs", f"clean={experiment / 'score'}"),
            f"other={experiment / 'score'}",
            *("--num_utterances", "1", "--num_worst", "1"),
            *("--results", str(tmp_path / "RESULTS.md")),
            *("--html", str(tmp_path / "report.html")),
        ]
    )
    text = (tmp_path / "RESULTS.md").read_text()
    first, second = (text.index(f"\n# TASTE: {name}\n") for name in ("clean", "other"))
    assert first < text.index("Test set: 12") < second < text.rindex("Test set: 12")
    for page, other in (("report", "report_other"), ("report_other", "report")):
        html = (tmp_path / f"{page}.html").read_text()
        assert re.findall(r'href="(?!data:|#)([^"]*)', html) == [f"{other}.html"]


def test_what_is_heard_is_taken_in_even_steps():
    sample = [Utterance(f"u{i:02d}", "", sample=i < 20) for i in range(24)]
    found = Report("t", {}, utterances=sample).first
    assert [utterance.utt for utterance in found] == ["u00", "u10", "u19"]
    assert even_steps(["u00", "u01"], 12) == ["u00", "u01"]


def test_a_set_that_is_not_scored_is_named(tmp_path):
    outputs = ["--results", str(tmp_path / "R.md"), "--html", str(tmp_path / "r.html")]
    with pytest.raises(FileNotFoundError, match="run espnet2_taste.bin.score first"):
        main(["--score_dirs", f"x={tmp_path}", *outputs])
    for item, message in (("x=gone", "--score_dirs x: no folder gone"), ("x", "=fold")):
        with pytest.raises((ValueError, FileNotFoundError), match=message):
            main(["--score_dirs", item, *outputs])
