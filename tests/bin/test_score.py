import csv
import json
import shutil

import kaldiio
import numpy as np
import pytest
import soundfile

from espnet2_taste.bin.score import main


@pytest.fixture(scope="module")
def rows(spoken_data, tmp_path_factory):
    """Row folders: an exact copy, one that fails on two utterances, a continuation."""
    root = tmp_path_factory.mktemp("rows")
    wavs = dict(
        line.split() for line in (spoken_data / "wav.scp").read_text().splitlines()
    )
    for name in ("copy", "broken", "more"):
        (root / name).mkdir()
    lines = [f"{utt} {path}\n" for utt, path in wavs.items()]
    (root / "copy" / "wav.scp").write_text("".join(lines))
    accuracy = {"top1": 0.5, "top5": 0.75, "count": 10}
    (root / "copy" / "unit_accuracy.json").write_text(json.dumps(accuracy))
    (root / "copy" / "rtf.json").write_text('{"vocoder_rtf": 0.25, "seconds": 9}')
    soundfile.write(root / "empty.wav", np.zeros(0), 16000)
    first, second, *rest = wavs
    lines = [f"{second} {root}/empty.wav\n", *(f"{u} {wavs[u]}\n" for u in rest)]
    (root / "broken" / "wav.scp").write_text("".join(lines))
    # "Continuations" that are whole other sentences of the same speaker.
    texts = dict(
        line.split(maxsplit=1)
        for line in (spoken_data / "text").read_text().splitlines()
    )
    ids = list(wavs)
    with (
        open(root / "more" / "wav.scp", "w") as scp,
        open(root / "more" / "text", "w") as text,
        open(root / "more" / "prompt_text", "w") as prompt,
    ):
        for i, utt in enumerate(ids):
            other = ids[i - 2]
            scp.write(f"{utt} {wavs[other]}\n")
            text.write(f"{utt} {texts[other]}\n")
            prompt.write(f"{utt} {' '.join(texts[utt].split()[:2])}\n")
    codes = root / "taste"
    codes.mkdir()
    (codes / "num_codebooks").write_text("2\n")
    (codes / "codebook_size").write_text("4\n")
    arrays = {u: np.array([0, 1] * len(texts[u].split()), np.int32) for u in ids}
    kaldiio.save_ark(str(codes / "taste.ark"), arrays, str(codes / "taste.scp"))
    return root


@pytest.fixture(scope="module")
def command(spoken_data, rows):
    return [
        *("--ref_dir", str(spoken_data), "--train_dir", str(spoken_data)),
        *("--grammar", str(spoken_data / "grammar.jsgf")),
        *("--meters", "frames"),
        *("--rows", f"copy:0={rows}/copy", f"copy:1={rows}/copy"),
        f"broken={rows}/broken",
        *("--continuation_rows", f"more={rows}/more"),
        *("--taste", str(rows / "taste" / "taste.scp")),
        *("--train_taste", str(rows / "taste" / "taste.scp")),
    ]


@pytest.fixture(scope="module")
def scored(command, tmp_path_factory):
    folder = tmp_path_factory.mktemp("scores")
    main([*command, "--output_dir", str(folder)])
    return folder


def metric(scores, kind, row, key):
    return scores[kind][row]["metrics"][key]


def test_an_exact_copy_scores_like_the_original(scored, spoken_data):
    scores = json.loads((scored / "results.json").read_text())
    keys = ("duration_residual_corr", "rate_corr", "word_f0_corr", "coverage")
    for row in ("original", "copy"):
        for key in (*keys, "utterance_f0_corr", "duration_consistency"):
            assert metric(scores, "reconstruction", row, key)["mean"] == (
                pytest.approx(1)
            ), key
    wer = metric(scores, "reconstruction", "copy", "wer")
    assert wer["values"] == 2 * [
        metric(scores, "reconstruction", "original", "wer")["mean"]
    ]
    assert wer["spread"] == 0 and wer["mean"] < 0.2
    assert metric(scores, "reconstruction", "copy", "unit_top1")["mean"] == 0.5
    assert scores["rtf"] == {"copy: vocoder": 0.25}


def test_missing_and_empty_utterances_are_counted(scored, spoken_data):
    scores = json.loads((scored / "results.json").read_text())
    broken = scores["reconstruction"]["broken"]
    assert broken["failures"] == [{"missing": 1, "no audio": 1}]
    count = scores["num_utterances"]
    assert broken["metrics"]["coverage"]["mean"] == pytest.approx(1 - 2 / count)
    lines = list(csv.DictReader(open(scored / "utterances.csv")))
    lost = [line for line in lines if line["row"] == "broken" and line["failure"]]
    assert [line["failure"] for line in lost] == ["missing", "no audio"]
    assert all(line["del"] == line["words"] for line in lost)


def test_codes_and_continuation(scored):
    scores = json.loads((scored / "results.json").read_text())
    codes = scores["codes"]
    assert codes["codebook_size"] == [4, 4] and codes["utilisation"] == 0.25
    assert codes["entropy_bitrate"] == 0
    assert codes["nominal_bitrate"] == pytest.approx(4 * codes["vectors_per_second"])
    more = scores["continuation"]["more"]
    assert more["metrics"]["coverage"]["mean"] == 1
    assert more["metrics"]["wer"]["mean"] < 0.2
    assert more["metrics"]["continuation_rate_corr"]["mean"] is not None


def test_table_and_espnet_files(scored):
    table = (scored / "table.md").read_text()
    assert "| 0 " not in table.split("## Word errors")[0]
    assert "±" in table and "n/a" in table
    assert "Reconstruction|broken|missing" in table.replace(" ", "")
    result = (scored / "score_wer" / "copy_seed1" / "result.txt").read_text()
    assert "Sum/Avg" in result


def test_rerun_measures_only_what_changed(command, scored, tmp_path, caplog):
    shutil.copytree(scored, tmp_path / "again")
    caplog.set_level("INFO")
    main([*command, "--output_dir", str(tmp_path / "again")])
    assert " 0 to do" in caplog.text
    for name in ("results.json", "table.md", "utterances.csv"):
        assert (tmp_path / "again" / name).read_text() == (scored / name).read_text()


def test_sharding_changes_nothing(command, scored, tmp_path):
    main([*command, "--output_dir", str(tmp_path), "--nj", "2"])
    expected = (scored / "results.json").read_text()
    assert (tmp_path / "results.json").read_text() == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--rows", "x"], "row 'x': expected name=folder"),
        (["--rows", "x=/nowhere"], "row x: no file /nowhere/wav.scp"),
        (["--rows", "original={copy}"], "is the reference itself"),
        (["--rows", "x={copy}", "x={copy}"], "row x is given twice"),
        (["--rows", "x={foreign}"], "utterance nobody is not in the reference"),
        (["--continuation_rows", "x={copy}"], "no file .*prompt_text"),
        (["--taste", "{copy}/wav.scp"], "no file .*num_codebooks"),
    ],
)
def test_bad_input_is_one_line(spoken_data, rows, tmp_path, options, message):
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "wav.scp").write_text("nobody x.wav\n")
    shutil.copytree(rows / "copy", tmp_path / "copy")
    filled = [o.format(copy=tmp_path / "copy", foreign=foreign) for o in options]
    one = tmp_path / "one"
    shutil.copytree(spoken_data, one)
    grammar = str(spoken_data / "grammar.jsgf")
    base = ["--ref_dir", str(one), "--grammar", grammar, "--meters"]
    with pytest.raises((ValueError, OSError), match=message):
        main([*base, *filled, "--output_dir", str(tmp_path / "out")])
