"""GPUs of the recipe: which one a job gets, what --ngpu auto finds; all of it faked."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

LOCAL = Path(__file__).parents[2] / "local"
# A job ends when the other of two has started, so both hold their GPUs at once.
MEET = "echo got $CUDA_VISIBLE_DEVICES; touch met.$$; n=0; while [ $(ls met.* | wc -l)"
MEET += " -lt %d ] && [ $((n++)) -lt 200 ]; do sleep 0.05; done"


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Sets how many GPUs nvidia-smi lists, and whether torch can use them."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def build(gpus: int, torch: bool = True) -> Path:
        lines = [f"GPU {i}: NVIDIA X (UUID: GPU-{i}a)" for i in range(gpus)]
        nvidia_smi = folder / "nvidia-smi"
        nvidia_smi.write_text(
            "#!/bin/sh\n" + "".join(f"echo '{line}'\n" for line in lines)
            if gpus
            else "#!/bin/sh\necho 'NVIDIA-SMI has failed'\nexit 9\n"
        )
        nvidia_smi.chmod(0o755)
        (tmp_path / "modules").mkdir(exist_ok=True)
        (tmp_path / "modules/torch.py").write_text(
            "__version__ = '2.0'\nclass version: cuda = None\n"
            f"class cuda: is_available = staticmethod(lambda: {torch})\n"
        )
        monkeypatch.setenv("PYTHONPATH", str(tmp_path / "modules"))
        return tmp_path

    return build


def start(folder: Path, *arguments: str, log: str = "j.log") -> subprocess.Popen:
    if any(word.startswith("JOB=") for word in arguments):
        log = log.replace(".log", ".JOB.log")
    options, command = arguments[:-1], arguments[-1]
    return subprocess.Popen(
        [LOCAL / "run.pl", *options, log, "bash", "-c", command],
        cwd=folder,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(*launchers: subprocess.Popen) -> None:
    for launcher in launchers:
        assert launcher.wait(timeout=60) == 0, launcher.stderr.read()


def given(folder: Path) -> Counter:
    """How many jobs saw which CUDA_VISIBLE_DEVICES, as their logs' headers say, too."""
    counts = Counter()
    for log in folder.glob("*.log"):
        (got,) = [x[4:] for x in log.read_text().splitlines() if x.startswith("got ")]
        assert f"\n# CUDA_VISIBLE_DEVICES={got}\n" in log.read_text()
        counts[got] += 1
    return counts


def test_each_job_has_its_own_gpu(machine):
    folder = machine(3)
    finish(start(folder, "--gpu", "1", "JOB=1:3", MEET % 3))
    assert given(folder) == {"0": 1, "1": 1, "2": 1}
    assert not list(folder.glob("espnet2_taste_gpus_*/*@*"))  # all claims are gone


def test_jobs_of_several_launchers_spread(machine):
    folder = machine(2)
    finish(*[start(folder, "--gpu", "1", MEET % 2, log=f"{i}.log") for i in range(2)])
    assert given(folder) == {"0": 1, "1": 1}


def test_more_jobs_than_gpus_share_evenly(machine):
    folder = machine(2)
    finish(start(folder, "--gpu", "1", "JOB=1:4", MEET % 4))
    assert given(folder) == {"0": 2, "1": 2}


def test_max_jobs_run_waits_for_a_free_gpu(machine):
    folder = machine(2)
    job = "echo got $CUDA_VISIBLE_DEVICES; mkdir gpu.$CUDA_VISIBLE_DEVICES && sleep 0.2"
    job += "; code=$?; rmdir gpu.$CUDA_VISIBLE_DEVICES; exit $code"
    finish(start(folder, "--gpu", "1", "--max_jobs_run", "2", "JOB=1:6", job))
    assert sum(given(folder).values()) == 6  # no two at once on one


def test_jobs_stay_within_what_the_parent_offers(machine, monkeypatch):
    folder = machine(8)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,GPU-7a,2,-1,6")
    finish(start(folder, "--gpu", "2", "JOB=1:1", MEET % 1))
    finish(start(folder, "--gpu", "3", MEET % 1, log="all.log"))
    assert given(folder) == {"5,GPU-7a": 1, "5,GPU-7a,2": 1}


def test_a_killed_launcher_frees_its_gpu(machine):
    folder = machine(2)
    killed = start(folder, "--gpu", "1", "touch begun; sleep 60", log="killed.txt")
    while not (folder / "begun").exists():
        time.sleep(0.05)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert len(list(folder.glob("espnet2_taste_gpus_*/0@*"))) == 1
    finish(start(folder, "--gpu", "1", MEET % 1))
    assert given(folder) == {"0": 1}
    assert not list(folder.glob("espnet2_taste_gpus_*/*@*"))


@pytest.mark.parametrize("options", [[], ["--gpu", "0"]])
def test_jobs_that_ask_for_none_are_left_alone(machine, monkeypatch, options):
    folder = machine(2)
    job = "echo sees ${CUDA_VISIBLE_DEVICES-all}"
    finish(start(folder, *options, job))
    assert "sees all\n" in (folder / "j.log").read_text()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    finish(start(folder, *options, job))
    text = (folder / "j.log").read_text()
    assert "sees 1\n" in text and "# CUDA_VISIBLE_DEVICES" not in text


@pytest.mark.parametrize(
    "gpus, variable, count, message",
    [
        (0, None, 1, "1 GPU(s) wanted, but nvidia-smi -L lists none"),
        (2, None, 3, "3 GPU(s) wanted, but nvidia-smi -L lists 2"),
        (2, "", 1, "1 GPU(s) wanted, but CUDA_VISIBLE_DEVICES= shows none"),
        (8, "4,5", 3, "3 GPU(s) wanted, but CUDA_VISIBLE_DEVICES=4,5 shows 2"),
    ],
)
def test_too_few_gpus(machine, monkeypatch, gpus, variable, count, message):
    folder = machine(gpus)
    if variable is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", variable)
    launcher = start(folder, "--gpu", str(count), "touch begun")
    assert launcher.wait(timeout=60) == 1
    assert launcher.stderr.read() == f"run.pl: --gpu {count}: {message}\n"
    assert not (folder / "begun").exists()


def run_recipe(recipe: Path, *arguments: str, **environment: str):
    """``run.sh``, without a stage unless the arguments name one."""
    return subprocess.run(
        ["./run.sh", "--stage", "11", "--skip_stages", "11", *arguments],
        cwd=recipe,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    "gpus, torch, arguments, says",
    [
        (2, True, [], "training on 1 GPU (--ngpu 0: CPU)"),
        (0, True, [], "training on the CPU: no GPU found that it can use"),
        (2, False, [], "training on the CPU: no GPU found that it can use"),
        (2, True, ["--ngpu", "0"], ""),
        (2, True, ["--ngpu", "2", "--gpu_inference", "true"], ""),
    ],
)
def test_training_takes_the_gpu_it_finds(machine, recipe, gpus, torch, arguments, says):
    machine(gpus, torch)
    done = run_recipe(recipe, *arguments)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("training on") == bool(says) and says in done.stdout
    assert ("a build for CPUs" in done.stderr) == (not torch)


@pytest.mark.parametrize(
    "gpus, torch, option, message",
    [
        (
            0,
            True,
            "--ngpu 1",
            "--ngpu 1: 1 GPU(s) wanted, but nvidia-smi -L lists none",
        ),
        (1, True, "--ngpu 2", "--ngpu 2: 2 GPU(s) wanted, but nvidia-smi -L lists 1"),
        (1, False, "--ngpu 1", "is a build for CPUs"),
        (0, True, "--gpu_inference true", "--gpu_inference true: 1 GPU(s) wanted"),
        (1, True, "--ngpu all", "--ngpu takes a number or auto, not 'all'"),
        (1, True, "--gpu_inference 1", "takes auto, true or false, not '1'"),
    ],
)
def test_a_gpu_that_is_not_here(machine, recipe, gpus, torch, option, message):
    machine(gpus, torch)
    done = run_recipe(recipe, *option.split(" "))
    assert done.returncode == 1 and "finished" not in done.stdout
    assert message in done.stderr and len(done.stderr.splitlines()) == 1


def test_the_host_that_submits_needs_no_gpu(machine, recipe):
    machine(0)
    arguments = ["--ngpu", "4", "--gpu_inference", "true"]
    done = run_recipe(recipe, *arguments, cmd_backend="slurm")
    assert done.returncode == 0 and "training on" not in done.stdout, done.stderr
    done = run_recipe(recipe, cmd_backend="slurm")
    assert "training on the CPU (--ngpu N asks the cluster" in done.stdout


# Runs what only moves files about; notes everything else and makes what it should.
FAKE_PYTHON = """#!{python}
import json, os, sys
from pathlib import Path

_, flag, *rest = sys.argv
module = rest[0].rpartition(".")[2]
if flag != "-m" or module in ("config", "datadir"):
    os.environ["PYTHONPATH"] += ":{root}"
    os.execv("{python}", ["{python}", *sys.argv[1:]])
options = dict(zip(rest, rest[1:]))
device = options.get("--device") or "ngpu " + options.get("--ngpu", "0")
with open("calls", "a") as calls:
    print(module, device, os.environ.get("CUDA_VISIBLE_DEVICES", "-"), file=calls)
folder = Path(options.get("--output_dir") or Path(options.get("--output", "")).parent)
(folder / "relative").mkdir(parents=True, exist_ok=True)
keys = [line.split()[0] for line in open("dump/raw/org/train/wav.scp")]
tables = ["spk_emb.scp", "units.scp", "f0_sum.scp", "prosody.scp", "borders.scp"]
tables += ["words.ctm", "feats.scp", "feats_shape", "speakers.scp"]
tables += ["relative/prosody.scp"]
models = ["valid.loss.best.pth"] if module == "launch" else []
for name in [*tables, "unit_spec.yaml", "spk_embed_dim", "char.txt", *models]:
    (folder / name).write_text("".join(f"{{key}} 1\\n" for key in keys))
if "--output" in options:
    Path(options["--output"]).write_text("")
done = dict(tables=tables, files=["unit_spec.yaml"])
(folder / ".done").write_text(json.dumps(done))
"""


@pytest.mark.parametrize("ngpu", ["auto", "0"])
def test_what_the_recipe_extracts_and_trains_uses_the_gpu(machine, recipe, ngpu):
    folder = machine(1)
    python = folder / "python"
    root = Path(__file__).parents[2]
    python.write_text(FAKE_PYTHON.format(python=sys.executable, root=root))
    python.chmod(0o755)
    (folder / "modules/torch.py").write_text("class cuda: is_available = lambda: True")
    for name in ("train", "dev", "test"):
        data = recipe / "dump/raw/org" / name
        data.mkdir(parents=True)
        for table in ("wav.scp", "text", "utt2spk", "spk2utt", "utt2num_samples"):
            (data / table).write_text(f"{name} {name}\n")
    arguments = ["--stage", "3", "--stop_stage", "3", "--python", str(python)]
    done = run_recipe(recipe, *arguments, "--ngpu", ngpu)
    calls = (recipe / "calls").read_text().splitlines()
    where = "cuda 0" if ngpu == "auto" else "cpu -"
    for name in ("extract_speakers", "extract_units", "align"):
        assert f"{name} {where}" in calls, done.stdout + done.stderr
    launched = f"launch ngpu {int(ngpu == 'auto')} -"
    assert calls.count(launched) == 4  # two speaker encoders, units, recogniser
