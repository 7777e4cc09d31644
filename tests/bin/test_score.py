import csv
import json
import shutil

import kaldiio
import numpy as np
import pytest
import soundfile

from espnet2_taste.bin.measure import main as measure
from espnet2_taste.bin.score import main
from espnet2_taste.evaluate.score_folder import read_statistics
from espnet2_taste.evaluate.word_errors import find_sclite
from espnet2_taste.io.model_folder import save_model
from espnet2_taste.io.rtf import Work, write_rtf
from espnet2_taste.speaker.xvector import XVector


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
    accuracy = {"key": "f-0", "top1": 0.5, "top5": 0.75, "count": 10}
    (root / "copy" / "unit_accuracy.jsonl").write_text(json.dumps(accuracy))
    write_rtf(root / "copy", {"vocoder": Work(1.0, 4.0, "cpu", 8)})
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
    judged = [
        {"key": utt, "score": 1 + i % 2, "model": "a judge", "answer": "", "digest": ""}
        for i, utt in enumerate(ids)
    ]
    (root / "more" / "judge.jsonl").write_text(
        "".join(json.dumps(line) + "\n" for line in judged)
    )
    codes = root / "taste"
    codes.mkdir()
    spec = "num_codebooks: 2\ncodebook_size: 4\ngranularity: word\n"
    (codes / "taste_spec.yaml").write_text(spec)
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
        *("--bitrate_of", "copy=codes"),
    ]


@pytest.fixture(scope="module")
def scored(command, tmp_path_factory):
    folder = tmp_path_factory.mktemp("scores")
    main([*command, "--output_dir", str(folder)])
    return folder


def read(folder, name="results.json"):
    """A file but for when and where it was made."""
    text = (folder / name).read_text()
    if name == "results.json":
        text = json.loads(text)
        assert text.pop("environment")["python version"].startswith("3.")
    return text


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
    rtf = {"rtf": 0.25, "device": "cpu", "batch_size": 8}
    assert scores["rtf"] == {"copy: vocoder": rtf}


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
    rate = metric(scores, "reconstruction", "copy", "bitrate")
    assert rate["values"] == 2 * [pytest.approx(codes["nominal_bitrate"])]
    assert "bitrate" not in scores["reconstruction"]["broken"]["metrics"]
    assert scores["made_from"] == {"copy": "codes"}
    more = scores["continuation"]["more"]
    assert more["metrics"]["coverage"]["mean"] == 1
    assert more["metrics"]["wer"]["mean"] < 0.2
    assert more["metrics"]["continuation_rate_corr"]["mean"] is not None
    assert more["metrics"]["judge"]["mean"] == 1.5
    assert scores["scorers"]["judge"] == "a judge"
    assert not {"mcd", "vde"} & set(more["metrics"])  # other words than the original's


def test_table_and_espnet_files(scored):
    table = (scored / "table.md").read_text()
    assert "| 0 " not in table.split("## Word errors")[0]
    assert "±" in table and "n/a" in table
    assert "Reconstruction|broken|missing" in table.replace(" ", "")
    folder = scored / "score_wer" / "copy_seed1"
    spoken = (scored / "score_wer" / "original" / "ref.trn").read_text()
    assert (folder / "ref.trn").read_text() == spoken
    assert (folder / "result.txt").exists() == bool(find_sclite())


def test_rerun_measures_only_what_changed(command, scored, tmp_path, caplog):
    shutil.copytree(scored, tmp_path / "again")
    caplog.set_level("INFO")
    main([*command, "--output_dir", str(tmp_path / "again")])
    assert " 0 to do" in caplog.text
    for name in ("results.json", "results.csv", "table.md", "utterances.csv"):
        assert read(tmp_path / "again", name) == read(scored, name)


def test_shards_change_nothing(spoken_data, command, scored, tmp_path, caplog):
    """What bin.measure did in parts is found, and found again by a later shard."""
    shared = command[: command.index("--taste")]
    del shared[2:4]  # --train_dir is bin.score's
    ids = [line.split()[0] for line in open(spoken_data / "text")]
    cache = tmp_path / "measures"
    for number, keys in enumerate((ids[:3], ids[3:]), 1):
        (tmp_path / "keys").write_text("\n".join(keys) + "\n")
        shard = ["--key_file", str(tmp_path / "keys")]
        measure([*shared, *shard, "--output_dir", str(cache / f"output.{number}")])
    caplog.set_level("INFO")
    main([*command, "--output_dir", str(tmp_path)])
    assert " 0 to do" in caplog.text
    for name in ("results.json", "utterances.csv"):
        assert read(tmp_path, name) == read(scored, name)
    shutil.rmtree(cache / "output.1")
    shutil.rmtree(cache / "output.2")
    caplog.clear()
    measure([*shared, *shard, "--output_dir", str(cache / "output.1")])
    assert " 0 to do" in caplog.text
    (tmp_path / "keys").write_text("nobody\n")
    with pytest.raises(ValueError, match="keys: nobody is not in the reference set"):
        measure([*shared, *shard, "--output_dir", str(cache / "output.1")])


def test_values_come_from_the_statistics(scored):
    """The tables, the CSV files and statistics.npz say the same."""
    results = json.loads((scored / "results.json").read_text())
    statistics = read_statistics(scored / "statistics.npz")
    assert ("continuation", "more", "wer") in statistics
    for (table, key, name), entry in statistics.items():
        row, _, seed = key.partition(":")
        position = results[table][row]["seeds"].index(seed)
        value = results[table][row]["metrics"][name]["values"][position]
        if np.isnan(entry.value()):
            assert value is None
        else:
            assert value == pytest.approx(entry.value())
    lines = list(csv.DictReader(open(scored / "results.csv")))
    wer = [line for line in lines if line["metric"] == "wer" and line["row"] == "copy"]
    assert [line["seed"] for line in wer] == ["mean", "0", "1"]
    expected = metric(results, "reconstruction", "copy", "wer")["mean"]
    assert float(wer[0]["value"]) == expected
    units = {line["metric"]: line["unit"] for line in lines}
    assert units["mcd"] == "dB" and units["wer"] == ""
    for line in csv.DictReader(open(scored / "utterances.csv")):
        if line["words"] and line["table"] == "reconstruction":
            wrong = sum(int(line[kind]) for kind in ("sub", "del", "ins"))
            assert float(line["wer"]) == pytest.approx(
                wrong / int(line["words"]), abs=1e-5
            )
    # Eight utterances are too few for an interval.
    assert metric(results, "reconstruction", "copy", "wer")["interval"] is None


def test_scorers_are_named(scored):
    scorers = json.loads((scored / "results.json").read_text())["scorers"]
    assert "grammar.jsgf (" in scorers["words"] and "pocketsphinx" in scorers["words"]
    assert "forced alignment" in scorers["times"] and "pyworld" in scorers["pitch"]
    assert json.loads((scored / "results.json").read_text())["rough"] == []
    assert scorers["cleaner"].startswith("words (")
    assert scorers["frames"] and scorers["word errors"]
    assert scorers["words"] in (scored / "table.md").read_text()


def test_any_two_wav_scp_and_a_text(spoken_data, tmp_path, rows):
    """No speakers, a wav.scp instead of a folder, another system's word times."""
    mine = tmp_path / "mine"
    mine.mkdir()
    for name in ("wav.scp", "text", "words.ctm"):
        shutil.copy(spoken_data / name, mine)
    beside = tmp_path / "system.scp"
    shutil.copy(rows / "copy" / "wav.scp", beside)
    (tmp_path / "text").write_text("not read\n")
    main(
        [
            *("--ref_dir", str(mine), "--rows", f"mine={beside}", f"same={mine}"),
            *("--asr", "none", "--aligner", "ctm", "--meters"),
            *("--output_dir", str(tmp_path / "out")),
        ]
    )
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    same = results["reconstruction"]["same"]["metrics"]
    assert "wer" not in same and same["rate_corr"]["mean"] == pytest.approx(1)
    assert same["utterance_f0_corr"]["mean"] is None  # of speakers with one utterance
    mine = results["reconstruction"]["mine"]
    assert mine["metrics"]["coverage"]["mean"] == 0 and mine["errors"] == [None]
    assert mine["failures"] == [{"not in words.ctm": results["num_utterances"]}]
    assert not (tmp_path / "out" / "score_wer").exists()
    table = (tmp_path / "out" / "table.md").read_text()
    assert "WER" not in table and "Speaking rate" in table


def test_what_cannot_be_measured_is_said(spoken_data, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "no weights"))
    main(
        [
            *("--ref_dir", str(spoken_data), "--asr", "none", "--aligner", "none"),
            *("--meters", "utmos", "speaker", "--output_dir", str(tmp_path)),
        ]
    )
    results = json.loads((tmp_path / "results.json").read_text())
    assert "speaker.model=" in results["not_computed"]["Speaker"]
    assert "UTMOS" in results["not_computed"]
    known = results["reconstruction"]["original"]["metrics"]
    assert list(known) == ["utterance_f0_corr"]
    table = (tmp_path / "table.md").read_text()
    assert "## Not computed" in table and "|UTMOS" in table.replace(" ", "")


def test_the_encoder_that_conditions_the_decoder_is_marked(spoken_data, tmp_path):
    """Its similarity is an upper bound; that of another encoder is none."""
    for name in ("own", "other"):
        conf = {"embed_dim": 8, "hidden_size": 16, "num_mels": 20}
        save_model(tmp_path / name, XVector(**conf), {"model_conf": conf})
    command = ["--ref_dir", str(spoken_data), "--asr", "none", "--aligner", "none"]
    command += ["--meters", "speaker", "--conditioned_by", f"xvector={tmp_path}/own"]
    tables = []
    for name in ("own", "other"):
        model = ["--meter_conf", f"speaker.model={tmp_path / name}"]
        main([*command, *model, "--output_dir", str(tmp_path / f"by_{name}")])
        tables.append((tmp_path / f"by_{name}" / "table.md").read_text())
        assert f"- speaker: xvector {name} (" in tables[-1]
    assert "Speaker ↑ †" in tables[0] and "Speaker ↑" in tables[1]
    assert "† measured with the encoder that conditions the decoder" in tables[0]
    assert "†" not in tables[1]


def test_test_sets_alone(tmp_path):
    """A spoken language model without recordings to score."""
    qa = tmp_path / "questions"
    qa.mkdir()
    answers = [{"key": f"q{i}", "answers": ["Paris"]} for i in range(12)]
    lines = [json.dumps(answer) + "\n" for answer in answers]
    (qa / "answers.jsonl").write_text("".join(lines))
    said = [f"q{i} it is {'paris' if i % 3 else 'rome'}\n" for i in range(12)]
    (qa / "text").write_text("".join(said))
    main(["--qa", f"capitals={qa}", "--output_dir", str(tmp_path / "out")])
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    accuracy = results["qa"]["capitals"]["metrics"]["accuracy"]
    assert accuracy["mean"] == pytest.approx(2 / 3)
    low, high = accuracy["interval"]
    assert 0.3 < low < 2 / 3 < high <= 1
    assert "Question answering" in (tmp_path / "out" / "table.md").read_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--rows", "x=/nowhere"], "row x: no file /nowhere/wav.scp"),
        (["--rows", "original={copy}"], "is the reference itself"),
        (["--rows", "x={copy}", "x={copy}"], "row x is given twice"),
        (["--rows", "x={foreign}"], "nobody of .* is not in the reference set's text"),
        (["--continuation_rows", "x={copy}"], "no file .*prompt_text"),
        (["--taste", "{copy}/wav.scp"], "taste_spec.yaml"),
        (["--asr_conf", "beam=3"], "recogniser pocketsphinx: .*no option beam"),
        (["--bitrate_of", "x=y"], "expected row=text, row=codes or row=units"),
        (["--rows", "../x={copy}"], "row '../x': a name is letters, digits"),
        (["--ref_dir", "{more}", "--aligner", "ctm"], "ctm: no file .*/words.ctm"),
        (
            ["--ref_dir", "{more}", "--asr", "none", "--aligner", "none"],
            "more/wav.scp: no audio can be read",
        ),
    ],
)
def test_bad_input_is_one_line(spoken_data, rows, tmp_path, options, message):
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (tmp_path / "damaged.wav").touch()
    (foreign / "wav.scp").write_text(f"nobody {tmp_path}/damaged.wav\n")
    shutil.copytree(rows / "copy", tmp_path / "copy")
    more = shutil.copytree(foreign, tmp_path / "more")
    (more / "text").write_text("nobody says this\n")
    folders = {"copy": tmp_path / "copy", "foreign": foreign, "more": more}
    filled = [o.format(**folders) for o in options]
    one = tmp_path / "one"
    shutil.copytree(spoken_data, one)
    grammar = str(spoken_data / "grammar.jsgf")
    base = ["--ref_dir", str(one), "--grammar", grammar, "--meters"]
    with pytest.raises((ValueError, OSError), match=message):
        main([*base, *filled, "--output_dir", str(tmp_path / "out")])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "nothing to score: give --ref_dir"),
        (["--rows", "x=y"], "need --ref_dir"),
    ],
)
def test_nothing_to_score_is_one_line(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        main([*options, "--output_dir", str(tmp_path)])
