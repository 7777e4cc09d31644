"""Every benchmark runs with the tiny configuration, and refuses unequal results."""

import json
import math

import pytest
import torch

from benchmarks import naive, streaming
from benchmarks.measure import Timer, check_equal
from benchmarks.run import BENCHMARKS, ON_REQUEST, main
from benchmarks.setup import CONF, Setup

#: each starts processes or trains
SLOW = ("memory", "fit", "solvers")
LONG = [pytest.param(name, marks=pytest.mark.nightly) for name in SLOW]
QUICK = [name for name in (*BENCHMARKS, *ON_REQUEST) if name not in SLOW]


@pytest.mark.parametrize("name", QUICK + LONG)
def test_rows_are_finite(name, tmp_path, capsys):
    output = tmp_path / "table.json"
    command = ["--config", "tiny", "--repeats", "1", "--only", name]
    (rows,) = main([*command, "--output", str(output)]).values()
    assert all(math.isfinite(row.value) and row.value > 0 for row in rows)
    ratios = [row.ratio for row in rows if row.ratio is not None]
    assert all(math.isfinite(ratio) and ratio > 0 for ratio in ratios)
    printed = capsys.readouterr().out
    assert all(f"| {row.case} |" in printed for row in rows)
    written = json.loads(output.read_text())
    assert [row["case"] for row in written["rows"][name]] == [r.case for r in rows]
    assert {"CPU", "torch", "command"} <= written["machine"].keys()


def test_rows_of_streams():
    """First sound, real-time factors, and the cost of a chunk at each position."""
    heard = [[(0.2, 90), (0.3, 50), (0.45, 50), (0.6, 50), (0.7, 20)]] * 3
    times = {"stream": 0.8, "offline": 0.4}
    rows = {row.case: row for row in streaming.rows(4, 2.0, times, heard)}
    assert rows["first sound, 4 x 2.0 s"].value == 200
    assert rows["4 x 2.0 s, streamed"].note.startswith("real-time factor 0.400, 0.1000")
    assert rows["4 x 2.0 s, whole"].note.startswith("real-time factor 0.200, 0.0500")
    chunk = rows["a chunk, 4 x 2.0 s"]
    assert chunk.note == "50 samples; from the second on: 100, 150, 150"
    assert math.isclose(
        rows["the last whole chunk over the second, 4 x 2.0 s"].value, 1.5
    )


@pytest.mark.gpu
def test_a_gpu_tells_its_memory():
    (rows,) = main(["--config", "tiny", "--device", "cuda", "--only", "units"]).values()
    assert any(row.unit == "GiB" and row.value > 0 for row in rows)


def test_a_decoder_that_does_not_learn_is_refused(tmp_path):
    """In no time; what was measured before is written."""
    output = tmp_path / "rows.json"
    command = ["--config", "tiny", "--repeats", "1", "--seconds", "0.2"]
    with pytest.raises(RuntimeError, match="not below 0.69"):
        main([*command, "--only", "kernels,fit", "--output", str(output)])
    assert len(json.loads(output.read_text())["rows"]["kernels"]) == 4


@pytest.mark.parametrize(
    "benchmark, way",
    [
        ("units", "generate_units"),
        ("kernels", "average_segments"),
        ("kernels", "assemble"),
        ("kernels", "eager_attention"),
    ],
)
def test_another_result_is_refused(monkeypatch, benchmark, way):
    true_way = getattr(naive, way)
    monkeypatch.setattr(naive, way, lambda *args, **named: true_way(*args, **named) + 1)
    with pytest.raises(RuntimeError, match="gives another result"):
        main(["--config", "tiny", "--repeats", "1", "--only", benchmark])


def test_unequal_shapes_are_refused():
    with pytest.raises(RuntimeError, match="it: the naive way"):
        check_equal("it", torch.zeros(2), torch.zeros(3))
    check_equal("it", torch.ones(2), torch.ones(2) + 1e-6)


def test_naive_steps_equal_a_full_pass():
    encoder = Setup("tiny").taste.speech_decoder.llm
    x = torch.randn(1, 7, encoder.size)
    parts, past = [], None
    with torch.no_grad():
        for step in x.split([3, 1, 1, 1, 1], 1):
            out, past = naive.encode_step(encoder, step, past)
            parts.append(out)
        torch.testing.assert_close(torch.cat(parts, 1), encoder(x))


def test_timer_counts_repeats_and_keeps_results():
    calls = []
    times, results = Timer(torch.device("cpu"), repeats=3)(
        one=lambda: calls.append(1) or "first", two=lambda: calls.append(2)
    )
    assert calls == [1, 2] + 3 * [1, 2]
    assert results == {"one": "first", "two": None} and times.keys() == results.keys()


@pytest.mark.parametrize("name", [p.stem for p in CONF.glob("*.yaml")])
def test_configurations_are_complete(name):
    setup = Setup(name)
    sections = {"taste", "taslm", "vocoder", "training", "stages", "work", "streaming"}
    sections.add("parallel")
    assert sections == setup.conf.keys()
    assert list(setup.conf["stages"]) == ["text_only", "no_vq", "rvq"]
    assert vars(setup.work).keys() == vars(Setup("tiny").work).keys()


def test_paper_sizes():
    setup = Setup("paper", "meta")
    sizes = [
        sum(p.numel() for p in model.parameters())
        for model in (setup.taste.speech_decoder, setup.training.lm.causal_lm)
    ]
    lora = 16 * 64 * (2 * (2048 + 2048) + 2 * (2048 + 512) + 3 * (2048 + 8192))
    assert sizes == [153_422_339, 1_235_814_400 + lora]


@pytest.mark.parametrize(
    ("stage", "trained"),
    [("text_only", 272_859_139), ("no_vq", 272_859_139), ("rvq", 180_317_955)],
)
def test_sub_stages_train_what_their_configurations_say(stage, trained):
    model = Setup("paper", "meta").stage(stage, "sdpa")
    assert trained == sum(p.numel() for p in model.parameters() if p.requires_grad)


def rows_of_long_corpus(tmp_path, *options):
    from benchmarks import long_corpus

    command = ["--lines", "600", "--nj", "2", "--num_splits", "2"]
    results = long_corpus.main([*command, "--folder", str(tmp_path), *options])
    rows = [row for found in results.values() for row in found]
    assert all(math.isfinite(row.value) for row in rows)
    return {row.case for row in rows}


def test_steps_of_a_long_corpus(tmp_path):
    """On a short one: whole tables are read; a worker is killed and goes on."""
    found = rows_of_long_corpus(tmp_path, "--only", "steps", "--cases", "datadir")
    assert {"datadir validate", "datadir fix", "datadir combine"} < found


@pytest.mark.nightly
def test_every_worker_of_a_long_corpus(tmp_path):
    found = rows_of_long_corpus(tmp_path)
    assert {"tokenize", "format_wav (of all shards)", "taste_train"} < found
    assert any(case.startswith("resumed") for case in found)
