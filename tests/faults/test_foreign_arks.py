"""Tables and arks of others are data: no command of theirs runs, no pickle is opened.

The one exception, commands in stage 2's wav.scp, is in test_audio.
"""

import pickle
from pathlib import Path

import kaldiio
import numpy as np
import pytest
import soundfile

from espnet2_taste.io.arks import Arks, ArkWriter, first_array, read_arks, read_codes
from espnet2_taste.io.audio import audio_identity, audio_rate, load_audio, read_audio
from espnet2_taste.io.wav_dir import WavDir, try_read
from espnet2_taste.tasks.ark_data import read_ark_data


class Trap:
    """Touches a file when it is unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.fixture
def sprung(tmp_path):
    return tmp_path / "sprung"


def commands(sprung: Path) -> list[str]:
    touch = f"touch {sprung}"
    return [f"{touch} |", f"| {touch}", f"{touch}|", f" {touch} | ", f"{touch} |:5"] + [
        f"|{touch}:3",
        f"{touch} | cat |",
        "-",
        f"x.ark:0[0:1] ; {touch} |",
    ]


def pickles(folder: Path, sprung: Path) -> list[str]:
    pickled = pickle.dumps(Trap(sprung))
    (folder / "a.ark").write_bytes(b"u PKL" + pickled)
    (folder / "b.ark").write_bytes(b"PKL" + pickled)
    trapped = np.array([Trap(sprung)], dtype=object)
    np.save(folder / "c.npy", trapped, allow_pickle=True)
    data = (folder / "c.npy").read_bytes()
    size = len(data).to_bytes(4, "little")
    (folder / "c.ark").write_bytes(b"u NPY\4" + size + data)
    (folder / "d.ark").write_bytes(pickled)
    ends = ("a.ark:2", "b.ark", "b.ark:0", "a.ark:2[0:1]", "c.ark:2", "c.npy", "d.ark")
    return [str(folder / end) for end in ends]


READERS = {
    "read_arks": lambda path: read_arks(path, ["u"])["u"],
    "first_array": first_array,
    "read_codes": lambda path: read_codes(path, 1, ["u"]),
    "items": lambda path: dict(Arks(path).items()),
    "training": lambda path: read_ark_data(str(path))["u"],
}


@pytest.mark.parametrize("reader", READERS)
def test_arrays(tmp_path, sprung, reader):
    for entry in [*commands(sprung), *pickles(tmp_path, sprung)]:
        (tmp_path / "x.scp").write_text(f"u {entry}\n")
        with pytest.raises((ValueError, OSError)) as error:
            READERS[reader](tmp_path / "x.scp")
        assert not sprung.exists(), entry
        if reader != "training":
            assert "x.scp" in str(error.value) and "u" in str(error.value)


@pytest.mark.parametrize("read", [read_audio, load_audio])
def test_audio_outside_stage_2(tmp_path, sprung, read):
    for entry in [*commands(sprung), *pickles(tmp_path, sprung)]:
        with pytest.raises((ValueError, OSError)):
            read(entry, "u", *([16000] if read is read_audio else []))
        with pytest.raises((ValueError, OSError)):
            audio_rate(entry)
        assert audio_identity(entry) is not None
        assert try_read(entry, "u", 16000)[0] is None
        assert not sprung.exists(), entry


def test_data_directories_of_the_programs(tmp_path, sprung):
    class Skipped(dict):
        skip = dict.__setitem__

    for entry in [*commands(sprung), *pickles(tmp_path, sprung)]:
        (tmp_path / "wav.scp").write_text(f"u {entry}\n")
        skipped = Skipped()
        assert WavDir(tmp_path, None).read(["u"], 16000, skipped) == {}
        assert "u" in skipped and not sprung.exists(), entry


VALUES = {
    "nan": np.array([1.0, np.nan], "f"),
    "infinite": np.array([[1.0, -np.inf]], "f"),
}


@pytest.mark.parametrize("name", VALUES)
def test_arrays_that_are_no_numbers(tmp_path, name):
    with ArkWriter(tmp_path, "spk_emb") as writer:
        writer["good"], writer["u"] = np.ones(2, "f"), VALUES[name]
    arks = read_arks(tmp_path / "spk_emb.scp")
    assert arks["good"].tolist() == [1, 1]
    with pytest.raises(ValueError, match="spk_emb.scp: u holds values that are no num"):
        arks["u"]


def test_what_is_no_array(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(9), 16000)
    (tmp_path / "text.ark").write_text("u hello\n")
    entries = {
        "audio": str(tmp_path / "a.wav"),
        "gone": str(tmp_path / "gone.ark:5"),
        "beyond": f"{tmp_path}/text.ark:5000",
        "text": f"{tmp_path}/text.ark:2",
        "folder": str(tmp_path),
    }
    lines = "".join(f"{key} {value}\n" for key, value in entries.items())
    (tmp_path / "x.scp").write_text(lines)
    arks = Arks(tmp_path / "x.scp")
    assert len(arks) == len(entries) and "other" not in arks
    for key in entries:
        assert key in arks  # whatever it holds: looking is not reading
        with pytest.raises((ValueError, OSError), match=f"x.scp: {key}"):
            arks[key]


def test_what_kaldi_and_espnet_write_is_read(tmp_path):
    """Matrices, vectors, slices, text arks, audio in arks."""
    rng = np.random.default_rng(0)
    arrays = {
        "float": rng.standard_normal((4, 3)).astype("f"),
        "double": rng.standard_normal(5),
        "int": np.arange(5, dtype="int32"),
        "empty": np.zeros(0, "f"),
    }
    kaldiio.save_ark(f"{tmp_path}/a.ark", arrays, scp=f"{tmp_path}/a.scp")
    for key, array in read_arks(tmp_path / "a.scp", arrays).items():
        assert np.array_equal(array, arrays[key]), key
        assert np.array_equal(read_ark_data(str(tmp_path / "a.scp"))[key], arrays[key])
    entry = (tmp_path / "a.scp").read_text().split()[1]
    (tmp_path / "b.scp").write_text(f"rows {entry}[1:2]\n")
    assert np.array_equal(read_arks(tmp_path / "b.scp")["rows"], arrays["float"][1:3])
    kaldiio.save_ark(
        f"{tmp_path}/c.ark", {"t": arrays["float"]}, scp=f"{tmp_path}/c.scp", text=True
    )
    assert read_arks(tmp_path / "c.scp")["t"] == pytest.approx(arrays["float"])
    samples = (1000 * rng.standard_normal(50)).astype("int16")
    kaldiio.save_ark(
        f"{tmp_path}/d.ark",
        {"s": (16000, samples)},
        scp=f"{tmp_path}/d.scp",
        write_function="soundfile",
        write_kwargs={"format": "flac"},
    )
    speech = read_ark_data(str(tmp_path / "d.scp"), "float32")["s"]
    assert speech == pytest.approx(samples / 32768)
