"""Marks of done steps: what was read and what was made, by content."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

MARK = Path(__file__).parents[2] / "local/mark.py"
INPUTS, OUTPUTS = "in.scp conf.yaml", "exp/out.scp exp/model.pth"


@pytest.fixture
def recipe(tmp_path):
    """A folder with inputs; the step's outputs do not exist."""
    (tmp_path / "conf.yaml").write_text("a: 1\n")
    (tmp_path / "in.wav").write_bytes(b"123")
    (tmp_path / "in.scp").write_text("a in.wav\nb cat x |\n")
    return tmp_path


def mark(folder, *arguments):
    done = subprocess.run(
        [sys.executable, "-I", MARK, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.returncode, done.stderr
    return done.stdout


def step(folder, *command):
    """Run the step as run_step does; True if there was something to do."""
    if not mark(folder, "todo", "exp/.done", INPUTS, OUTPUTS, *command or ["make"]):
        return False
    (folder / "exp/model.pth").write_bytes(b"weights")
    (folder / "exp/out.ark").write_bytes(b"0123456789")
    (folder / "exp/out.scp").write_text("a exp/out.ark:2\nb exp/out.ark:6[0:1]\n")
    mark(folder, "finish", "exp/.done")
    return True


def write(name, content):
    def change(folder):
        (folder / name).write_bytes(content)

    return change


@pytest.mark.parametrize(
    "change",
    [
        write("conf.yaml", b"a: 2\n"),
        write("in.wav", b"124"),  # the table names it
        write("exp/model.pth", b"Weights"),  # retrained, or another one copied there
        write("exp/out.ark", b"0123456780"),  # the table names it
        write("exp/out.scp", b"a exp/out.ark:2\n"),
        lambda folder: (folder / "exp/model.pth").unlink(),
        lambda folder: (folder / "exp/out.ark").unlink(),
        lambda folder: shutil.rmtree(folder / "exp"),
    ],
)
def test_a_change_of_what_is_read_or_made_runs_the_step(recipe, change):
    assert step(recipe) and not step(recipe)
    change(recipe)
    assert step(recipe) and not step(recipe)


def test_another_command_runs_the_step(recipe):
    assert step(recipe) and step(recipe, "make", "other") and step(recipe)


def test_times_and_places_do_not_count(recipe, tmp_path_factory):
    assert step(recipe)
    copy = tmp_path_factory.mktemp("other") / "name"
    shutil.copytree(recipe, copy, copy_function=shutil.copyfile)  # new times
    assert not step(copy)
    os.utime(recipe / "exp/model.pth", (1, 1))
    assert not step(recipe)


def test_what_was_made_is_what_the_next_step_reads(recipe):
    """A step after a deleted experiment, which is made again with other weights."""
    mark(recipe, "todo", "exp/.done", "conf.yaml", "exp/model.pth", "train")
    write("exp/model.pth", b"one")(recipe)
    mark(recipe, "finish", "exp/.done")
    after = ["todo", "codes/.done", "exp/model.pth", "codes/x", "tokenize"]
    assert mark(recipe, *after)
    write("codes/x", b"codes")(recipe)
    mark(recipe, "finish", "codes/.done")
    assert not mark(recipe, *after)
    write("exp/model.pth", b"two")(recipe)
    assert mark(recipe, *after)


def test_signature_is_new_where_outputs_were_lost(recipe):
    """Else a sharded program would take its part for done."""
    arguments = ["todo", "exp/.done", INPUTS, OUTPUTS, "make"]
    first = mark(recipe, *arguments)
    assert mark(recipe, *arguments) == first  # killed: it goes on
    step(recipe)
    (recipe / "exp/out.ark").unlink()
    again = mark(recipe, *arguments)
    assert again != first
    assert mark(recipe, *arguments) == again  # killed again


def test_two_runs_that_make_the_same_at_the_same_time(recipe):
    arguments = ["todo", "exp/.done", INPUTS, OUTPUTS, "make"]
    assert mark(recipe, *arguments)  # one run begins
    assert step(recipe)  # another begins, and ends first
    assert not mark(recipe, "finish", "exp/.done")
    assert not mark(recipe, *arguments)


def test_guard_names_what_changed(recipe):
    arguments = ["guard", "exp/.data", "in.scp conf.yaml"]
    assert mark(recipe, *arguments) == mark(recipe, *arguments) == ""
    (recipe / "in.wav").write_bytes(b"other")
    assert mark(recipe, *arguments) == mark(recipe, *arguments) == "in.scp"


def test_missing_files_are_named(recipe):
    (recipe / "conf.yaml").unlink()
    with pytest.raises(AssertionError, match="no conf.yaml, which exp/.done needs"):
        step(recipe)
    mark(recipe, "todo", "exp/.done", "", "never_made", "make")
    with pytest.raises(AssertionError, match="never_made was to be made for exp/.done"):
        mark(recipe, "finish", "exp/.done")


def test_large_files_are_read_in_parts(recipe):
    path = recipe / "exp/model.pth"
    path.parent.mkdir()
    with open(path, "wb") as file:
        file.truncate(1 << 30)
        file.write(b"start")
    started = time.monotonic()
    arguments = ["guard", "exp/.data", "exp/model.pth"]
    assert mark(recipe, *arguments) == ""
    assert time.monotonic() - started < 2
    with open(path, "rb+") as file:
        file.write(b"other")
    assert mark(recipe, *arguments) == "exp/model.pth"
