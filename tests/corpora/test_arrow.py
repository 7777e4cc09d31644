"""Hugging Face data sets and TASTE-Dump."""

import io

import fake_corpora
import kaldiio
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import soundfile

from espnet2_taste.io.audio import load_audio
from espnet2_taste.units.unit_spec import S3, UnitSpec

AUDIO = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def wav_bytes(seconds=0.5):
    file = io.BytesIO()
    soundfile.write(file, np.full(int(seconds * 16000), 0.1), 16000, format="WAV")
    return file.getvalue()


def table(rows, audio="audio"):
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    columns[audio] = pa.array(columns[audio], AUDIO)
    return pa.table(columns)


def rows(count=3, **changes):
    return [
        {
            "audio": {"bytes": wav_bytes(0.1 * (i + 1)), "path": f"clip {i}.wav"},
            "sentence": f"Text {i}",
            "speaker_id": i % 2,
        }
        | changes
        for i in range(count)
    ]


def write_arrow(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    with pa.OSFile(str(path), "wb") as file:
        with pa.ipc.new_stream(file, data.schema) as out:
            out.write_table(data, max_chunksize=2)


def write_parquet(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(data, path)


def lengths(found):
    return [len(load_audio(e, k)[0]) for k, e in sorted(found.wavs.items())]


def test_save_to_disk(tmp_path, prepare):
    write_arrow(tmp_path / "train/data-00000-of-00002.arrow", table(rows()))
    write_arrow(tmp_path / "train/cache-1.arrow", table(rows()))
    found = prepare("huggingface", tmp_path, "train")
    assert found.text == {f"clip_{i}": f"Text {i}" for i in range(3)}
    assert found.speakers == {"clip_0": "0", "clip_1": "1", "clip_2": "0"}
    assert lengths(found) == [1600, 3200, 4800]
    assert not list(found.folder.glob("audio*"))  # read where they lie
    with pytest.raises(FileNotFoundError, match="no file of split dev"):
        prepare("huggingface", tmp_path, "dev")


@pytest.mark.parametrize("name", ["data/test-00000-of-00001", "test/0000", "test"])
def test_parquet(name, tmp_path, prepare):
    write_parquet(tmp_path / f"{name}.parquet", table(rows()))
    found = prepare("huggingface", tmp_path, "test")
    assert found.count == 3 and lengths(found) == [1600, 3200, 4800]
    assert prepare("huggingface", tmp_path).count == 3


def test_columns(tmp_path, prepare):
    data = [
        r | {"said": r.pop("sentence"), "key": f"k/{i}"} for i, r in enumerate(rows())
    ]
    write_parquet(tmp_path / "train-0.parquet", table(data))
    with pytest.raises(
        ValueError, match="no column of text, but audio, speaker_id, sa"
    ):
        prepare("huggingface", tmp_path, "train")
    options = ("--layout_conf", "text=said")
    found = prepare("huggingface", tmp_path, "train", *options)
    assert list(found.text) == ["k-0", "k-1", "k-2"]
    with pytest.raises(ValueError, match="has no column talker"):
        prepare("huggingface", tmp_path, "train", "--layout_conf", "speaker=talker")


def test_bad_rows_and_files(tmp_path, prepare):
    data = rows(4)
    data[0]["sentence"] = None
    data[1]["audio"] = {"bytes": None, "path": "own.wav"}
    data[2]["audio"] = {"bytes": b"", "path": "gone.wav"}
    fake_corpora.write_audio(tmp_path / "train/own.wav")
    write_parquet(tmp_path / "train/0.parquet", table(data))
    whole = tmp_path / "train/1.arrow"
    write_arrow(whole, table(rows(6, audio={"bytes": wav_bytes(), "path": None})))
    whole.write_bytes(whole.read_bytes()[:-20000])
    (tmp_path / "train/2.arrow").write_bytes(b"junk")
    with pytest.raises(ValueError, match="2.arrow is no Arrow stream or parquet"):
        prepare("huggingface", tmp_path, "train")
    (tmp_path / "train/2.arrow").unlink()
    found = prepare("huggingface", tmp_path, "train")
    more = [f"train-1-{i:07d}" for i in range(found.count - 2)]
    assert list(found.text) == ["clip_3", "own", *more]
    assert found.count >= 4
    assert found.skipped["empty text"] == ["clip 0"]
    assert found.skipped["text without audio"] == ["gone"]
    assert (
        "1.arrow is truncated"
        in found.skipped["rest of a truncated or damaged file"][0]
    )


def test_compressed_arrow_is_copied(tmp_path, prepare):
    data = table(rows())
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    path = tmp_path / "train.arrow"
    with pa.OSFile(str(path), "wb") as file:
        with pa.ipc.new_stream(file, data.schema, options=options) as out:
            out.write_table(data)
    found = prepare("huggingface", tmp_path)
    assert lengths(found) == [1600, 3200, 4800]
    assert (found.folder / "audio.pack").is_file()


@pytest.mark.parametrize("limit, count", [("--num_utts", 2), ("--max_hours", 3)])
def test_only_what_is_chosen_is_written(limit, count, tmp_path, prepare):
    """Of parquet files, audio; of TASTE-Dump, arrays; lengths are found, if need be."""
    data = rows(20, audio={"bytes": wav_bytes(), "path": None})
    data = [row | {"id": f"u{i}"} for i, row in enumerate(data)]
    data[7]["audio"] = {"bytes": b"no audio", "path": None}
    data[9]["sentence"] = " "
    write_parquet(tmp_path / "train-0.parquet", table(data))
    most = str(2 if limit == "--num_utts" else 1.6 / 3600)
    found = prepare("huggingface", tmp_path, "train", limit, most, "--seed", "1")
    assert found.count == count and lengths(found) == [8000] * count
    pack = found.folder / "audio.pack"
    assert pack.stat().st_size <= (count + 1) * len(wav_bytes())  # perhaps u9's
    assert not (found.folder / "utt2dur").exists()
    skipped = {"empty text": ["u9"]}
    if count == 3:
        skipped["audio that cannot be read"] = ["u7 (Format not recognised.)"]
    assert found.skipped == skipped

    fake_corpora.taste_dump(tmp_path / "dump", ["train"], 30)
    most = str(count if limit == "--num_utts" else (count + 0.5) / 3600)
    found = prepare("taste_dump", tmp_path / "dump", "train", limit, most)
    assert found.count == len(found.seconds()) == count
    ark = (found.folder / "units.ark").read_bytes()
    assert ark.count(b"EN_B00000") == count


def test_taste_dump(tmp_path, prepare):
    fake_corpora.taste_dump(tmp_path)
    found = prepare("taste_dump", tmp_path, "dev")
    assert found.text["EN_B00001_S00000_W000001"] == "You can help my mother 1."
    assert set(found.seconds().values()) == {1.0}
    assert all(23000 < n < 27000 for n in lengths(found))
    units = kaldiio.load_scp(str(found.folder / "units.scp"))
    vectors = kaldiio.load_scp(str(found.folder / "spk_emb.scp"))
    assert list(units) == list(vectors) == list(found.text)
    for key in found.text:
        assert units[key].dtype == np.int32
        assert units[key].tolist() == [(7 * i) % 4096 for i in range(50)]
        share = 0.1 * (1 + int(key[-1]))
        np.testing.assert_allclose(vectors[key], [share] * 192, rtol=1e-6)
    assert UnitSpec.beside(found.folder / "units.scp") == S3
    few = prepare("taste_dump", tmp_path, "train dev test", "--num_utts", "3")
    assert list(kaldiio.load_scp(str(few.folder / "units.scp"))) == list(few.text)
    without = prepare("taste_dump", tmp_path, "dev", "--layout_conf", "arrays=false")
    assert not list(without.folder.glob("unit*"))
