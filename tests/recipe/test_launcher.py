"""Training on two nodes as recipes start it: by ESPnet's launcher, slurm.pl, srun."""

import os
import subprocess
import sys

import torch
import yaml
from test_helpers import FAKE_SCHEDULER, LOCAL, ROOT, program

SRUN = """#!/bin/bash
# Two tasks with what Slurm tells them, here.
[ "$1" = --export=ALL ] && shift || exit 2
export SLURM_NTASKS=2 SLURM_STEP_NUM_NODES=2 SLURM_LOCALID=0
export "SLURM_STEP_NODELIST=n[1-2]"
for rank in 0 1; do
    SLURM_PROCID=$rank SLURM_NODEID=$rank "$@" > rank.$rank 2>&1 & tasks+=($!)
done
for task in "${tasks[@]}"; do wait "$task" || failed=1; done
exit ${failed:-0}
"""


def test_two_nodes_train_one_model(taste_options, tmp_path):
    fake = FAKE_SCHEDULER.format(
        python=sys.executable, variable="SLURM_ARRAY_TASK_ID", printed="'7'"
    )
    program(tmp_path / "bin/sbatch", fake)
    program(tmp_path / "bin/srun", SRUN)
    exp = tmp_path / "exp"
    conf = {"max_epoch": 1, "keep_nbest_models": 1, "unused_parameters": True}
    command = [sys.executable, "-m", "espnet2.bin.launch"]
    command += ["--cmd", str(LOCAL / "slurm.pl"), "--log", str(exp / "train.log")]
    command += ["--ngpu", "0", "--num_nodes", "2", "--init_file_prefix", f"{exp}/.init"]
    command += ["--multiprocessing_distributed", "true", "--"]
    command += [sys.executable, "-m", "espnet2_taste.bin.taste_train"]
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    search = f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [*command, *taste_options(exp, conf)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path, "PATH": search, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    logs = [(tmp_path / f"rank.{rank}").read_text() for rank in (0, 1)]
    assert done.returncode == 0, done.stderr[-1000:] + logs[0][-1000:]
    assert "--nodes" in (tmp_path / "submitted").read_text()
    assert "The training was finished at 1 epochs" in logs[0]
    states = torch.load(exp / "checkpoint.pth", weights_only=False)
    assert states["reporter"]["stats"][1]["train"]["effective_batch_size"] == 2
    config = yaml.safe_load((exp / "config.yaml").read_text())
    assert config["distributed"] and config["dist_launcher"] == "slurm"
