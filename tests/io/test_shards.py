"""Killed anywhere and started again, a shard ends with what one run would have made."""

import errno
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import kaldiio
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet2_taste.io import journal, shards
from espnet2_taste.io.rtf import read_rtf
from espnet2_taste.io.shards import Shard
from espnet2_taste.io.tables import read_table

LENGTHS = {f"utt{i:02d}": 3 + 7 * i % 11 for i in range(11)}
BAD = ("utt03", "utt08")


class Killed(Exception):
    pass


def options(folder, **others):
    return Namespace(output_dir=Path(folder), batch_size=3, device="cpu", **others)


def work(args, die_after=None, die=None, seen=None) -> Shard:
    """The program: an array, a line and words of each key; two keys are bad."""
    shard = Shard(args, arks=("a", "b"), tables=("text", "words.ctm", "all.jsonl"))
    if shard.done:
        return shard
    for number, keys in enumerate(shard.batches(LENGTHS)):
        if seen is not None:
            seen += keys
        with shard.clock("step"):
            pass
        for key in keys:
            if key in BAD:
                shard.skip(key, "no audio")
                continue
            array = np.arange(LENGTHS[key], dtype=np.float32)
            lines = [f"{key} 1 0 1 {word}" for word in ("a", "b")]
            values = {"a": array, "text": f"of {key}", "words.ctm": lines}
            values["all.jsonl"] = {"n": LENGTHS[key]}
            if key != "utt05":
                values["b"] = array[:2].astype(np.int32)
            shard.write(key, values, audio_s=2.0)
            if die_after == number:
                die()
    return shard


def contents(folder):
    names = ("text", "words.ctm", "all.jsonl", ".done", "a.scp", "b.scp")
    found = {name: (Path(folder) / name).read_text() for name in names}
    found = {k: v.replace(str(folder), "") for k, v in found.items()}
    for name in ("a", "b"):
        arrays = kaldiio.load_scp(f"{folder}/{name}.scp")
        found |= {(name, key): arrays[key].tolist() for key in arrays}
        found[name] = (Path(folder) / f"{name}.ark").read_bytes()
    return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    work(options(folder))
    return contents(folder)


def test_outputs_are_sorted_and_complete(whole, tmp_path, caplog):
    caplog.set_level("INFO")
    work(options(tmp_path))
    good = sorted(LENGTHS.keys() - set(BAD))
    assert read_table(tmp_path / "text") == {key: f"of {key}" for key in good}
    assert list(read_table(tmp_path / "a.scp")) == good
    assert "utt05" not in read_table(tmp_path / "b.scp")
    lines = [json.loads(line) for line in open(tmp_path / "all.jsonl")]
    assert lines == [{"key": key, "n": LENGTHS[key]} for key in good]
    assert (tmp_path / "words.ctm").read_text().split()[4:10:5] == ["a", "b"]
    assert "9 utterances done, 2 skipped: utt03, utt08" in caplog.text
    (step,) = read_rtf(tmp_path).values()
    assert (step.audio_s, step.device, step.batch_size) == (18, "cpu", 3)
    assert contents(tmp_path) == whole
    assert not (tmp_path / ".journal").exists()


def test_a_finished_shard_is_not_touched(tmp_path):
    work(options(tmp_path))
    before = {p: p.stat().st_mtime_ns for p in [tmp_path, *tmp_path.iterdir()]}
    shard = work(options(tmp_path))
    assert shard.done
    assert before == {p: p.stat().st_mtime_ns for p in [tmp_path, *tmp_path.iterdir()]}


@pytest.mark.parametrize("die_after", [0, 1, 3])
def test_killed_and_resumed(whole, tmp_path, die_after, caplog):
    caplog.set_level("INFO")
    program = (
        f"import os, sys; sys.path[:0] = {sys.path!r}\n"
        "import test_shards as t\n"
        f"die = lambda: os.kill(os.getpid(), {signal.SIGKILL})\n"
        f"t.work(t.options({str(tmp_path)!r}), {die_after}, die)\n"
    )
    folder = Path(__file__).parent
    done = subprocess.run([sys.executable, "-c", program], cwd=folder, check=False)
    assert done.returncode == -signal.SIGKILL
    assert not (tmp_path / "a.scp").exists() and not (tmp_path / "text").exists()
    seen = []
    work(options(tmp_path), seen=seen)
    order = sorted(LENGTHS, key=lambda key: (-LENGTHS[key], key))
    assert seen == order[3 * die_after :]
    assert contents(tmp_path) == whole
    assert "9 utterances done, 2 skipped: utt03, utt08" in caplog.text  # of both runs
    assert read_rtf(tmp_path)["step"].audio_s == 18


@settings(max_examples=25, deadline=None)
@given(
    cut=st.integers(0, 4000), tail=st.binary(max_size=20), ark_cut=st.integers(0, 99)
)
def test_cut_at_any_byte(whole, tmp_path_factory, cut, tail, ark_cut):
    """Also of an ark that lost what the journal promises: power failed."""

    def die():
        raise Killed

    folder = tmp_path_factory.mktemp("cut")
    with pytest.raises(Killed):
        work(options(folder), 3, die)
    journal = (folder / ".journal").read_bytes()
    (folder / ".journal").write_bytes(journal[:cut] + tail)
    ark = (folder / "a.ark").read_bytes()
    (folder / "a.ark").write_bytes(ark[: len(ark) - ark_cut] if ark_cut else ark + tail)
    work(options(folder))
    assert contents(folder) == whole
    shutil.rmtree(folder)


def test_other_options_or_inputs_clear_what_was_written(tmp_path, monkeypatch):
    data = tmp_path / "data"
    data.mkdir()
    (data / "text").write_text("what the user wrote")
    out = tmp_path / "out"
    first = options(out, data_dir=data)
    for change in (
        lambda: (data / "text").write_text("something else"),  # by hand: files' times
        lambda: monkeypatch.setenv("STEP_SIGNATURE", "1"),  # in a recipe
        lambda: monkeypatch.setenv("STEP_SIGNATURE", "2"),
        lambda: setattr(first, "seed", 5),
    ):
        work(first)
        assert work(first, seen=(again := [])).done and not again
        (out / "mine").write_text("not of this program")
        change()
        shard = Shard(first, tables=("text",))
        assert not shard.done
        next(shard.batches(["x"]))
        assert not {"a.ark", "a.scp", "all.jsonl", ".done"} & set(os.listdir(out))
        assert (out / "mine").exists()
    keys = tmp_path / "keys"
    first.key_file = keys
    for text in ("utt01", "utt02"):
        keys.write_text(text)
        assert not work(first).done
    monkeypatch.setenv("STEP_SIGNATURE", "2")
    (data / "text").write_text("is not looked at")
    assert work(first).done


def test_tables_of_the_data_directory_itself_are_replaced_at_the_end(tmp_path):
    args = options(tmp_path, data_dir=tmp_path)
    (tmp_path / "text").write_text("what the user wrote")
    for seed in (1, 2):
        args.seed = seed
        shard = Shard(args, tables=("text",))
        before = (tmp_path / "text").read_text()
        for keys in shard.batches(["x"]):
            assert (tmp_path / "text").read_text() == before
            shard.write(*keys, {"text": str(seed)})
    assert (tmp_path / "text").read_text() == "x 2\n"


def test_nothing_usable(tmp_path):
    def skip_all(**others):
        shard = Shard(options(tmp_path / "out", **others), arks=("a",))
        for keys in shard.batches(["x"]):
            shard.skip(*keys, "no audio")

    with pytest.raises(RuntimeError, match=r"no utterance could be used \(no audio\)"):
        skip_all()
    (tmp_path / "keys").write_text("x")
    skip_all(key_file=tmp_path / "keys")
    assert (tmp_path / "out/a.scp").read_text() == ""


def test_full_disk_is_one_line(tmp_path, monkeypatch):
    append = journal._append

    def full(ark, key, array):
        if key == "utt05":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return append(ark, key, array)

    monkeypatch.setattr(journal, "_append", full)
    with pytest.raises(OSError, match="No space left on device.*run again"):
        work(options(tmp_path))
    monkeypatch.undo()
    seen = []
    work(options(tmp_path), seen=seen)
    assert 0 < len(seen) < len(LENGTHS)


def test_progress_says_the_time_left(tmp_path, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    seconds = iter(range(0, 1000, 20))
    monkeypatch.setattr(shards.time, "monotonic", lambda: float(next(seconds)))
    shard = Shard(options(tmp_path), tables=("text",))
    for keys in shard.batches(list(LENGTHS)):
        for key in keys:
            shard.write(key, {"text": key})
    assert "3 of 11, 53 s left" in caplog.text
