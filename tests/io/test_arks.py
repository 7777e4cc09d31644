import resource
import signal
import subprocess
import sys
from pathlib import Path

import kaldiio
import numpy as np
import pytest
import soundfile

from espnet2_taste.io.arks import ArkWriter, read_arks, read_codes
from espnet2_taste.io.audio import write_wav
from espnet2_taste.io.shards import length_batches
from espnet2_taste.io.tables import read_selected, read_table

ROOT = Path(__file__).parents[2]


def test_ark_round_trip(tmp_path):
    with ArkWriter(tmp_path, "units") as writer:
        writer["a"] = np.arange(3, dtype=np.int32)
        writer["b"] = np.arange(2, dtype=np.int32)
    table = kaldiio.load_scp(str(tmp_path / "units.scp"))
    assert table["a"].tolist() == [0, 1, 2] and table["a"].dtype == np.int32


def test_a_failed_writer_leaves_nothing_that_looks_finished(tmp_path):
    with pytest.raises(KeyError), ArkWriter(tmp_path, "units") as writer:
        writer["a"] = np.arange(3, dtype=np.int32)
        raise KeyError
    assert list(tmp_path.iterdir()) == []


def test_disk_full_is_one_line_and_leaves_nothing(tmp_path):
    """A limit on file sizes stands in for a full disk: write() fails."""

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    code = (
        "import numpy as np, sys\n"
        "from espnet2_taste.bin import run\n"
        "from espnet2_taste.io.arks import ArkWriter\n"
        "def main():\n"
        "    with ArkWriter(sys.argv[1], 'units') as writer:\n"
        "        for i in range(9):\n"
        "            writer[str(i)] = np.zeros(3000, np.int32)\n"
        "run(main)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        preexec_fn=limit,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {tmp_path}/units.ark: cannot be written")
    assert len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_tables_refuse_duplicates_and_empty_values(tmp_path):
    table = tmp_path / "text"
    table.write_text("a one\na two\n")
    with pytest.raises(ValueError, match="id a appears twice"):
        read_table(table)
    table.write_text("a one\nb\n")
    with pytest.raises(ValueError, match="b has no value"):
        read_table(table)


def test_key_file_with_unknown_ids(tmp_path):
    keys, table = tmp_path / "keys", tmp_path / "text"
    table.write_text("a 1\nb 2\n")
    keys.write_text("a x\nc y\n")
    with pytest.raises(ValueError, match="c and 0 more are not in the data"):
        read_selected(table, keys)
    keys.write_text("b y\n")
    assert read_selected(table, keys) == {"b": "2"}


def test_wave_files_appear_whole(tmp_path):
    path = tmp_path / "new" / "a.wav"
    write_wav(path, np.array([0.0, 0.5, -2.0]), 16000)
    assert [p.name for p in path.parent.iterdir()] == ["a.wav"]
    assert soundfile.info(path).subtype == "PCM_16"
    np.testing.assert_allclose(soundfile.read(path)[0], [0, 0.5, -1], atol=1e-4)


def test_codes_are_whole_words_of_the_wanted_utterances(tmp_path):
    with ArkWriter(tmp_path, "taste") as taste:
        taste["a"] = np.arange(6, dtype=np.int32)
    path = tmp_path / "taste.scp"
    assert read_codes(path, 2, ["a"])["a"].tolist() == [[0, 1], [2, 3], [4, 5]]
    with pytest.raises(ValueError, match="taste.scp: a has 6 values, no multiple of 4"):
        read_codes(path, 4)
    with pytest.raises(ValueError, match=r"taste.scp: b is missing \(1 of 2\)"):
        read_codes(path, 2, ["a", "b"])
    assert read_arks(path, ["a"])["a"].tolist() == list(range(6))
    with pytest.raises(ValueError, match=r"taste.scp: b is missing \(1 of 1\)"):
        read_arks(path, ["b"])


def test_batches_are_sorted_by_length_and_complete():
    batches = list(length_batches({"a": 1, "b": 5, "c": 3}, 2))
    assert batches == [["b", "c"], ["a"]]
