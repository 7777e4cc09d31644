"""Rows whose tables are in another order, or lack something; meters that fail."""

import csv
import json

import numpy as np
import pytest
import soundfile

from espnet2_taste.asr.abs_recogniser import AbsRecogniser
from espnet2_taste.asr.recognisers import recogniser_choices
from espnet2_taste.asr.transcript import Transcript
from espnet2_taste.bin.compare import main as compare
from espnet2_taste.bin.score import main
from espnet2_taste.evaluate.score_folder import read_statistics
from espnet2_taste.evaluate.scorers.abs_scorer import AbsScorer, Column
from espnet2_taste.io.audio import read_audio

UTTS = [f"u{i}" for i in range(6)]


class Level(AbsScorer):
    """A metric of its own file: loudness; no number for the loudest."""

    name, columns = "level", (Column("level", "Level", "loudness", unit="FS"),)
    identity = "of a test"

    def __call__(self, recordings):
        found = []
        for recording in recordings:
            peak = float(
                np.abs(read_audio(recording.entry, recording.utt, 16000)).max()
            )
            found.append({"level": [peak if peak < 0.55 else float("nan"), 1.0]})
        return found


def write_scp(folder, entries):
    folder.mkdir()
    lines = "".join(f"{utt} {path}\n" for utt, path in entries)
    (folder / "wav.scp").write_text(lines)
    return folder


@pytest.fixture
def rows(tmp_path):
    """Originals, u5 the loudest; the same backwards; and without u0 and u3."""
    wavs = {}
    for i, utt in enumerate(UTTS):
        time = np.arange(8000) / 16000
        tone = 0.1 * (i + 1) * np.sin(2 * np.pi * 100 * (1 + i / 10) * time)
        wavs[utt] = tmp_path / f"{utt}.wav"
        soundfile.write(wavs[utt], tone, 16000, "FLOAT")
    original = write_scp(tmp_path / "original", wavs.items())
    (original / "text").write_text("".join(f"{utt} word\n" for utt in UTTS))
    (original / "utt2spk").write_text("".join(f"{utt} s\n" for utt in UTTS))
    write_scp(tmp_path / "backwards", reversed(wavs.items()))
    some = [(utt, path) for utt, path in wavs.items() if utt not in ("u0", "u3")]
    write_scp(tmp_path / "fewer", some)
    return tmp_path


class Deaf(Level):
    """It measures nothing."""

    name = "deaf"

    def __call__(self, recordings):
        return [{} for _ in recordings]


def test_a_meter_that_fails_throughout_is_counted(rows):
    (rows / "fewer/prompt_text").write_text("".join(f"{utt} word\n" for utt in UTTS))
    command = ["--ref_dir", str(rows / "original"), "--asr", "none", "--aligner"]
    command += ["none", "--meters", f"{__name__}.Deaf", "--output_dir"]
    main([*command, str(rows / "out"), "--continuation_rows", f"fewer={rows}/fewer"])
    results = json.loads((rows / "out" / "results.json").read_text())
    failures = results["reconstruction"]["original"]["failures"]
    assert failures == [{"(deaf failed)": len(UTTS)}]
    # A meter of recordings that say the same has nothing to say of continuations.
    assert results["continuation"]["fewer"]["failures"] == [{"missing": 2}]


def test_order_and_what_is_missing(rows, capsys):
    command = ["--ref_dir", str(rows / "original"), "--asr", "none", "--aligner"]
    command += ["none", "--meters", f"{__name__}.Level", "frames", "--output_dir"]
    command += [str(rows / "out"), "--rows"]
    command += [f"{name}={rows}/{name}" for name in ("backwards", "fewer")]
    for _ in range(2):  # measured, then read back
        main(command)
        results = json.loads((rows / "out" / "results.json").read_text())
        found = results["reconstruction"]
        level = {name: row["metrics"]["level"]["mean"] for name, row in found.items()}
        assert level["original"] == level["backwards"] == pytest.approx(0.3, abs=1e-3)
        assert level["fewer"] == pytest.approx((0.2 + 0.3 + 0.5) / 3, abs=1e-3)
        # u5 is not what makes a mean undefined, but it is counted
        assert found["backwards"]["failures"] == [{"(level failed)": 1}]
        assert found["fewer"]["failures"] == [{"missing": 2, "(level failed)": 1}]
        for name, expected in (("mcd", 0), ("f0_rmse", 0), ("utterance_f0_corr", 1)):
            for row in ("backwards", "fewer"):
                value = found[row]["metrics"][name]["mean"]
                assert value == pytest.approx(expected, abs=1e-6), (row, name)
    with open(rows / "out" / "utterances.csv", encoding="utf-8") as file:
        lines = {(line["row"], line["utt"]): line for line in csv.DictReader(file)}
    for i, utt in enumerate(UTTS[:5]):
        value = float(lines["backwards", utt]["level"])
        assert value == pytest.approx((i + 1) / 10, abs=1e-3)
    assert lines["original", "u5"]["level"] == lines["fewer", "u0"]["level"] == ""
    # One file is all that a metric takes: it is in every table, and compared.
    assert "Level (FS) ↑" in (rows / "out" / "table.md").read_text()
    compare([f"{rows}/out:backwards", f"{rows}/out:fewer", "--resamples", "20"])
    assert "|Level (FS) ↑" in capsys.readouterr().out
    statistics = read_statistics(rows / "out" / "statistics.npz")
    assert statistics["reconstruction", "fewer", "level"].ids == ["u1", "u2", "u4"]


class Parrot(AbsRecogniser):
    """Hears the same again and again in what is loud."""

    identity = "of a test"

    def transcribe(self, wavs):
        times = [60 if np.abs(wav).max() > 0.45 else 1 for wav in wavs]
        return [Transcript.of("word " * count) for count in times]


def test_a_recogniser_that_repeats_itself_is_counted(rows, monkeypatch, caplog):
    parrot = {"pocketsphinx": f"{__name__}.Parrot"}
    monkeypatch.setattr(recogniser_choices, "classes", parrot)
    command = ["--ref_dir", str(rows / "original"), "--aligner", "none", "--meters"]
    command += ["--output_dir", str(rows / "out"), "--rows", f"fewer={rows}/fewer"]
    main(command)
    results = json.loads((rows / "out" / "results.json").read_text())
    found = results["reconstruction"]
    # It hears 60 words where one is said: no score of any row means a thing.
    (warning,) = results["warnings"]
    assert warning.startswith("WER of the originals is ") and warning in caplog.text
    assert f"> **Warning.** {warning}" in (rows / "out" / "table.md").read_text()
    assert found["original"]["failures"] == [{"(recogniser repeats itself)": 2}]
    again = {"missing": 2, "(recogniser repeats itself)": 2}
    assert found["fewer"]["failures"] == [again]


def test_a_row_made_elsewhere_is_refused(rows):
    """All of it lacks; one recording that does is counted, see above."""
    away = write_scp(rows / "away", [("u0", "exp/u0.wav"), ("u1", "exp/u1.wav")])
    command = ["--ref_dir", str(rows / "original"), "--asr", "none", "--aligner"]
    command += ["none", "--output_dir", str(rows / "out"), "--rows"]
    with pytest.raises(FileNotFoundError, match="row away:0: none of the 2 .*u0.wav"):
        main([*command, f"away:0={away}"])
    (away / "wav.scp").write_text(f"u0 exp/u0.wav\nu1 {rows}/u1.wav\n")
    main([*command, f"away:0={away}"])
    results = json.loads((rows / "out" / "results.json").read_text())
    assert results["reconstruction"]["away"]["failures"] == [
        {"missing": 4, "unreadable audio": 1}
    ]
