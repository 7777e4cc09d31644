"""Two gloo processes on CPU train one model: parameters and codebooks agree.

On a GPU (TASTE_TEST_DEVICE=cuda) one nccl process trains it, wrapped all the same.
"""

import os
import subprocess
import sys
from pathlib import Path

import torch
import yaml
from on_device import DEVICE

ROOT = Path(__file__).parents[2]
RANKS, BACKEND = (2, "gloo") if DEVICE == "cpu" else (1, "nccl")

# Trains as each rank; writes a digest of every tensor of its model. One interpreter
# imports, which is what takes time, and forks into the ranks.
DRIVER = """
import hashlib, os, sys
from espnet2.tasks import abs_task
from espnet2_taste.tasks.taste import TasteTask
from espnet2_taste.taste.espnet_model import TasteModel

folder, ranks, *options = sys.argv[1:]
rank = 0
for other in range(1, int(ranks)):
    child = os.fork()
    if child == 0:
        rank = other
        break
# ESPnet alone would not wrap the model of a single rank
abs_task.resolve_distributed_mode = lambda args: vars(args).update(
    distributed=True, multiprocessing_distributed=False
)
built, build = [], TasteTask.build_model.__func__
def remember(cls, args):
    built.append(build(cls, args))
    return built[-1]
TasteTask.build_model = classmethod(remember)
epoch_statistics = TasteModel.epoch_statistics
said = open(f"{folder}/said.{rank}", "w")
def of_epoch(self):
    own = self.code_counter.counts.sum().item()
    print("EPOCH", own, *epoch_statistics(self).values(), flush=True, file=said)
    return {}
TasteModel.epoch_statistics = of_epoch
TasteTask.main(cmd=[*options, "--dist_rank", str(rank)])
# running statistics of BatchNorm are each rank's own
state = {k: v for k, v in built[0].state_dict().items() if "standardise" not in k}
raw = {k: v.cpu().numpy().tobytes() for k, v in state.items()}
digest = {k: hashlib.md5(v).hexdigest() for k, v in raw.items()}
digests = (f"{k}={v}" for k, v in sorted(digest.items()))
print("DIGEST", *digests, flush=True, file=said)
if rank == 0 and int(ranks) > 1:
    os.wait()
"""


def test_processes_train_one_model(taste_options, tmp_path):
    options = taste_options(
        tmp_path / "exp",
        {"max_epoch": 1, "keep_nbest_models": 1}
        | {"num_att_plot": 1, "use_matplotlib": True},
    )
    options += ["--dist_world_size", str(RANKS), "--dist_backend", BACKEND]
    options += ["--dist_init_method", f"file://{tmp_path}/init"]
    options += ["--unused_parameters", "true"]
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, str(tmp_path), str(RANKS), *options],
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    # gloo's other process may abort at exit: rank 0 judges.
    assert done.returncode == 0, done.stdout[-3000:]
    outputs = [(tmp_path / f"said.{rank}").read_text() for rank in range(RANKS)]
    digests = [
        [line for line in output.splitlines() if line.startswith("DIGEST")]
        for output in outputs
    ]
    assert digests[0] and all(digest == digests[0] for digest in digests)
    # What an epoch's codes say is counted over all ranks' words (19, 2 codebooks).
    epochs = [
        [line.split()[1:] for line in output.splitlines() if line.startswith("EPOCH")]
        for output in outputs
    ]
    owns = zip(*([int(own) for own, *_ in epoch] for epoch in epochs), strict=True)
    assert [sum(own) for own in owns] == [38, 38]
    said = [[statistics for _, *statistics in epoch] for epoch in epochs]
    assert all(statistics == said[0] for statistics in said)
    states = torch.load(tmp_path / "exp/checkpoint.pth", weights_only=False)
    trained = states["reporter"]["stats"][1]["train"]
    assert trained["effective_batch_size"] == 2  # in all, as without DDP
    assert (tmp_path / "exp/att_ws/utt0/1ep.png").exists()
    assert "quantizer.rvq.layers.0._codebook.embed" in digests[0][0]
    config = yaml.safe_load((tmp_path / "exp/config.yaml").read_text())
    assert config["dist_world_size"] == RANKS
