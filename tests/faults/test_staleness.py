"""What changed runs again, what did not does not, and nothing is deleted unasked.

Ruling place: ``local/mark.py`` (and ``train`` in ``local/steps.sh``, whose tests are in
``tests/recipe/test_steps.py`` and ``test_pipeline.py``).
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "local"))
import mark  # noqa: E402

MANY = 1100
INPUTS = "wav.scp segments conf.yaml folder big.scp"
OUTPUTS = "exp/out.scp exp/model.pth exp/folder"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Inputs of several kinds, and a step that was done."""
    monkeypatch.chdir(tmp_path)
    for name in ("audio", "folder/sub", "exp/folder", "many audio"):
        Path(name).mkdir(parents=True)
    for name in ("a.wav", "b.sph", "c d.wav", "e.wav", "f.ark", "g.wav"):
        Path("audio", name).write_bytes(name.encode() * 50)
    Path("wav.scp").write_text(
        "a audio/a.wav\nb sph2pipe -f wav audio/b.sph |\n"
        "c sox 'audio/c d.wav' -t wav - | sox -t wav - -r 8000 -t wav - |\n"
        "e\taudio/e.wav\nf audio/f.ark:3\ng cat \"audio/g.wav' |\ng2 cat audio/g.wav|\n"
    )
    Path("segments").write_text("a1 a 0.0 1.0\na2 a 1.0 2.0\n")
    Path("conf.yaml").write_text("max_epoch: 1\n")
    Path("folder/x").write_text("x")
    Path("folder/sub/y").write_text("y")
    for i in range(MANY):
        Path(f"many audio/{i}.wav").write_text(f"{i:8d}" * 4)
    table = "".join(f"{i} many audio/{i}.wav\n" for i in range(MANY))
    Path("big.scp").write_text(table)
    assert step()
    assert not step()
    return tmp_path


def step(command="make", inputs=INPUTS, outputs=OUTPUTS) -> bool:
    """Run the step as run_step does; False: done before."""
    if not mark.todo("exp/.done", inputs, outputs, *command.split()):
        return False
    make_outputs()
    mark.finish("exp/.done")
    return True


def make_outputs():
    Path("exp/folder").mkdir(parents=True, exist_ok=True)
    Path("exp/model.pth").write_bytes(b"weights")
    Path("exp/out.ark").write_bytes(b"0123456789")
    Path("exp/out.scp").write_text("a exp/out.ark:2\nb exp/out.ark:6[0:1]\n")
    Path("exp/folder/z").write_text("z")


FILES = [*(f"audio/{n}" for n in ("a.wav", "b.sph", "c d.wav", "e.wav", "f.ark"))]
FILES += ["audio/g.wav", "wav.scp", "segments", "conf.yaml", "folder/x", "folder/sub/y"]
FILES += [f"many audio/{i}.wav" for i in (0, 1, 549, 1099)]
FILES += ["exp/out.scp", "exp/out.ark", "exp/model.pth", "exp/folder/z"]


def change_a_byte(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def change_with_the_old_time(path):
    """As rsync -t or an editor that keeps times: the size tells."""
    stat = path.stat()
    path.write_bytes(path.read_bytes() + b"!")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def empty(path):
    path.write_bytes(b"")


def remove(path):
    path.unlink()


def swap(path):
    path.rename(path.with_name("kept"))
    path.write_bytes(path.with_name("kept").read_bytes()[::-1])


CHANGES = [change_a_byte, change_with_the_old_time, empty, remove, swap]


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_runs_the_step_again(folder, change):
    for name in FILES:
        path = Path(name)
        before = path.read_bytes()
        if change is swap and before == before[::-1]:
            continue
        change(path)
        if change is remove and name in INPUTS.split():
            with pytest.raises(SystemExit, match=f"no {name}, which exp/.done needs"):
                step()
        else:
            assert mark.todo("exp/.done", INPUTS, OUTPUTS, "make"), name
        # What it was before: done again, once the step has run.
        path.with_name("kept").unlink(missing_ok=True)
        path.write_bytes(before)
        make_outputs()
        step()
        assert not step(), name


def test_other_commands_inputs_and_outputs(folder):
    for words in ("make --max_epoch 2", "make 'a b'", "make a b"):
        assert step(words) and not step(words)
    assert step(inputs=INPUTS.replace(" segments", "")) and step()
    assert step(outputs=OUTPUTS + " exp/out.ark") and step()
    Path("folder/new").write_text("another file in a folder")
    assert step() and not step()


@pytest.mark.parametrize("copy", [shutil.copy2, shutil.copyfile])
def test_what_is_no_change(folder, tmp_path_factory, monkeypatch, copy):
    for path in folder.rglob("*"):
        os.utime(path)
    assert not step()
    other = tmp_path_factory.mktemp("elsewhere") / "recipe"
    shutil.copytree(folder, other, copy_function=copy)
    monkeypatch.chdir(other)
    assert not step()


@pytest.mark.parametrize("mark_file", ["", "{", "[]", "null", '{"command": 1}'])
def test_a_damaged_mark_is_none(folder, mark_file):
    Path("exp/.done").write_text(mark_file)
    assert step() and not step()


def test_a_step_that_makes_nothing_is_not_done(folder):
    Path("exp/model.pth").unlink()
    assert mark.todo("exp/.done", INPUTS, OUTPUTS, "make")
    with pytest.raises(SystemExit, match="exp/model.pth was to be made"):
        mark.finish("exp/.done")
    assert step()


def run(recipe, *words):
    return subprocess.run(
        ["./run.sh", "--ngpu", "0", "--stop_stage", "1", "--testsets", "", *words],
        cwd=recipe,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def recipe(tmp_path):
    """The mini recipe without anything made; its data.sh counts its runs."""
    target = tmp_path / "egs2/taste/mini"
    ignored = shutil.ignore_patterns("data", "dump", "exp", "*.md")
    for name in ("TEMPLATE", "mini"):
        source = ROOT / "egs2/taste" / name
        shutil.copytree(source, target.parent / name, symlinks=True, ignore=ignored)
    (tmp_path / "local").symlink_to(ROOT / "local")
    (target / "local/data.sh").write_text(
        "echo x >> runs\nfor set in train dev test; do mkdir -p data/${set}\n"
        "for f in wav.scp text utt2spk; do echo a x > data/${set}/${f}; done; done\n"
        "mkdir -p data/local\n"
        "touch data/local/{grammar,continuation}.jsgf\n"
    )
    return target


def test_data_that_are_gone_are_made_again(recipe):
    done = run(recipe)
    assert done.returncode == 0, done.stderr
    run(recipe)
    assert (recipe / "runs").read_text() == "x\n"
    (recipe / "data/dev/utt2spk").unlink()
    run(recipe)
    assert (recipe / "runs").read_text() == "x\nx\n"


def test_a_try_with_few_data_does_not_replace_all(recipe):
    folder = recipe / "dump/raw/org/train"
    folder.mkdir(parents=True)
    (folder / "wav.scp").write_text("".join(f"{i} x\n" for i in range(97)))
    done = run(recipe, "--fast", "true")
    assert done.returncode and "--fast true would replace dump" in done.stderr
    assert len((folder / "wav.scp").read_text().splitlines()) == 97
