"""The real-time factors of all steps reach the scores."""

import pytest

from espnet2_taste.bin.datadir import main as datadir
from espnet2_taste.evaluate.rtf import real_time_factors
from espnet2_taste.io.rtf import Work, read_rtf, write_rtf


def shards(folder, **steps):
    """Two jobs, the second one slower, on less audio and in smaller batches."""
    for job, (slower, seconds, batch) in enumerate([(1, 30.0, 8), (5, 10.0, 4)], 1):
        output = folder / f"output.{job}"
        output.mkdir(parents=True)
        (output / "text").write_text(f"utt{job} some words\n")
        work = {
            step: Work(rtf * slower * seconds, seconds if heard else None, "cpu", batch)
            for step, (rtf, heard) in steps.items()
        }
        write_rtf(output, work)


def merge(folder, target):
    datadir(["merge", str(folder), str(target), "text"])


def test_every_step_of_a_recipe_is_found(tmp_path):
    """Weighted by the shards' audio, with device and batch size."""
    everything, row = tmp_path / "raw/all", tmp_path / "decode/taslm"
    everything.mkdir(parents=True)
    for step in ("unit_extractor", "speaker_encoder"):
        shards(everything / step, **{step: (0.1, True)})
        merge(everything / step, everything)
    for name, value in (("utt2spk", "s"), ("wav.scp", "x.wav")):
        lines = [f"utt{i} {value}\n" for i in (1, 2)]
        (everything / name).write_text("".join(lines))
    datadir(["subset", str(everything), str(tmp_path / "raw/test"), "--first", "1"])
    shards(tmp_path / "taste/shards", tokenizer=(0.2, True))
    merge(tmp_path / "taste/shards", tmp_path / "taste")
    shards(row / "shards", speech_decoder=(0.3, True), vocoder=(0.4, True))
    merge(row / "shards", row)
    shards(row / "generated/shards", taslm=(0.5, False))
    merge(row / "generated/shards", row / "generated")
    found = real_time_factors(
        [tmp_path / "raw/test", tmp_path / "taste", tmp_path / "has none"],
        [("taslm", row), ("taslm", row)],
    )
    assert {step: values["rtf"] for step, values in found.items()} == {
        "unit extractor": pytest.approx(0.2),
        "speaker encoder": pytest.approx(0.2),
        "tokenizer": pytest.approx(0.4),
        "taslm: speech decoder": pytest.approx(0.6),
        "taslm: vocoder": pytest.approx(0.8),
        "taslm: taslm": pytest.approx(1.0),
    }
    assert all(values["device"] == "cpu" for values in found.values())
    assert found["tokenizer"]["batch_size"] == "8, 4"


def test_file_of_another_form_is_named(tmp_path):
    assert read_rtf(tmp_path) == {}
    (tmp_path / "rtf.json").write_text('{"vocoder_rtf": 0.7}')
    with pytest.raises(ValueError, match="rtf.json: expected"):
        read_rtf(tmp_path)
