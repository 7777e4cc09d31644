"""Two gloo processes on CPU train one model: parameters and codebooks agree."""

import os
import subprocess
import sys
from pathlib import Path

import torch
import yaml

ROOT = Path(__file__).parents[2]

# Trains with the given options, then prints a digest of every tensor of the model.
DRIVER = """
import hashlib, sys
from espnet2_taste.tasks.taste import TasteTask
from espnet2_taste.taste.espnet_model import TasteModel
built, build = [], TasteTask.build_model.__func__
def remember(cls, args):
    built.append(build(cls, args))
    return built[-1]
TasteTask.build_model = classmethod(remember)
epoch_statistics = TasteModel.epoch_statistics
def of_epoch(self):
    own = self.code_counter.counts.sum().item()
    print("EPOCH", own, *epoch_statistics(self).values(), flush=True)
    return {}
TasteModel.epoch_statistics = of_epoch
TasteTask.main(cmd=sys.argv[1:])
# running statistics of BatchNorm are each rank's own
state = {k: v for k, v in built[0].state_dict().items() if "standardise" not in k}
digest = {k: hashlib.md5(v.numpy().tobytes()).hexdigest() for k, v in state.items()}
print("DIGEST", *(f"{k}={v}" for k, v in sorted(digest.items())), flush=True)
"""


def test_two_processes_train_one_model(train_taste, tmp_path, monkeypatch):
    commands = []
    monkeypatch.setattr("espnet2_taste.bin.taste_train.main", commands.append)
    train_taste(
        tmp_path / "exp", {"max_epoch": 1, "keep_nbest_models": 1, "num_att_plot": 1}
    )
    shared = ["--dist_world_size", "2", "--dist_backend", "gloo", "--ngpu", "0"]
    shared += ["--dist_init_method", f"file://{tmp_path}/init"]
    shared += ["--unused_parameters", "true"]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", DRIVER, *commands[0], *shared]
            + ["--dist_rank", str(rank)],
            env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(2)
    ]
    outputs = [process.communicate(timeout=300)[0] for process in processes]
    # gloo's other process may abort at exit: rank 0 judges.
    assert processes[0].returncode == 0, outputs[0][-3000:]
    digests = [
        [line for line in output.splitlines() if line.startswith("DIGEST")]
        for output in outputs
    ]
    assert digests[0] and digests[0] == digests[1]
    # What an epoch's codes say is counted over both ranks' words (19, 2 codebooks).
    epochs = [
        [line.split()[1:] for line in output.splitlines() if line.startswith("EPOCH")]
        for output in outputs
    ]
    assert [int(a[0]) + int(b[0]) for a, b in zip(*epochs, strict=True)] == [38, 38]
    assert [line[1:] for line in epochs[0]] == [line[1:] for line in epochs[1]]
    states = torch.load(tmp_path / "exp/checkpoint.pth", weights_only=False)
    trained = states["reporter"]["stats"][1]["train"]
    assert trained["effective_batch_size"] == 2  # one utterance a rank
    assert (tmp_path / "exp/att_ws/utt0/1ep.png").exists()
    assert "quantizer.rvq.layers.0._codebook.embed" in digests[0][0]
    config = yaml.safe_load((tmp_path / "exp/config.yaml").read_text())
    assert config["dist_world_size"] == 2
