"""A training that was killed, or ran into a full disk, goes on as if it had not been.

A kill is played at every single change of the file system: from then
on nothing is changed any more, what was being written is cut off. Then the training is
started again.
"""

import hashlib
import os
import random
import resource
import sys
from contextlib import contextmanager, suppress
from dataclasses import fields

import pytest
import torch
from espnet2.iterators.abs_iter_factory import AbsIterFactory
from espnet2.train.abs_espnet_model import AbsESPnetModel
from espnet2.train.distributed_utils import DistributedOption
from espnet2.train.trainer import TrainerOptions

from espnet2_taste.io.atomic import replacing, write_text
from espnet2_taste.io.checkpoint import load_state, save_tensors
from espnet2_taste.tasks.saving_trainer import BEFORE, LAST, SavingTrainer

EPOCHS = 3


class Model(AbsESPnetModel):
    """Its validation loss goes up and down."""

    def __init__(self):
        super().__init__()
        self.line = torch.nn.Linear(30, 30)

    def forward(self, x, **_):
        loss = (self.line(x) ** 2).mean() if self.training else self.line(x).mean()
        return loss, {"loss": loss.detach()}, torch.tensor(len(x))

    def collect_feats(self, **_):
        return {}


class Batches(AbsIterFactory):
    def build_iter(self, epoch, shuffle=None):
        generator = torch.Generator().manual_seed(epoch)
        return [(["u"], {"x": torch.randn(3, 30, generator=generator)})] * 2


def train(folder):
    folder.mkdir(exist_ok=True)
    torch.manual_seed(0)
    model = Model()
    given = dict.fromkeys(f.name for f in fields(TrainerOptions))
    given |= dict.fromkeys([k for k in given if k.startswith("use_")], False)
    given |= dict(ngpu=0, resume=True, train_dtype="float32", grad_noise=False)
    given |= dict(accum_grad=1, grad_clip=1.0, grad_clip_type=2.0, log_interval=9)
    given |= dict(no_forward_run=False, adapter="", save_strategy="all", seed=0)
    given |= dict(output_dir=folder, max_epoch=EPOCHS, sharded_ddp=False)
    given |= dict(keep_nbest_models=2, nbest_averaging_interval=0)
    given |= dict(early_stopping_criterion=("valid", "loss", "min"))
    given |= dict(best_model_criterion=[("valid", "loss", "min")])
    given |= dict(val_scheduler_criterion=("valid", "loss"), unused_parameters=False)
    given |= dict(wandb_model_log_interval=-1, create_graph_in_tensorboard=False)
    SavingTrainer.run(
        model=model,
        optimizers=[torch.optim.Adam(model.parameters(), lr=0.1)],
        schedulers=[None],
        train_iter_factory=Batches(),
        valid_iter_factory=Batches(),
        plot_attention_iter_factory=None,
        trainer_options=TrainerOptions(**given),
        distributed_option=DistributedOption(),
    )


def tensors(value):
    if isinstance(value, dict):
        return [t for key in sorted(value, key=str) for t in tensors(value[key])]
    if isinstance(value, list | tuple):
        return [t for item in value for t in tensors(item)]
    return [value] if isinstance(value, torch.Tensor) else []


def contents(folder):
    """name -> where a link leads, or digest of a file's tensors."""
    found = {}
    for path in folder.iterdir():
        if path.is_symlink():
            found[path.name] = path.readlink().name
        else:
            digest = hashlib.sha256()
            for tensor in tensors(torch.load(path, weights_only=False)):
                digest.update(tensor.numpy().tobytes())
            found[path.name] = digest.hexdigest()
    return found


class Killed(BaseException):
    pass


class Kill:
    """Counts changes of the file system below a folder; all fail from one on."""

    def __init__(self):
        self.folder = self.left = None
        self.count = 0
        sys.addaudithook(self.hook)

    def hook(self, event, args):
        if self.folder is None:
            return
        writes = event == "open" and isinstance(args[1], str) and args[1][0] in "wax"
        changes = ("os.rename", "os.remove", "os.symlink", "os.link", "os.mkdir")
        if not (writes or event in changes) or str(self.folder) not in str(args):
            return
        self.count += 1
        if self.left is not None and self.count > self.left:
            raise Killed

    @contextmanager
    def after(self, changes, folder):
        self.folder, self.left, self.count = folder, changes, 0
        try:
            with suppress(Killed):
                yield
        finally:
            self.folder = None
        for path in folder.glob(".*.tmp"):
            size = path.lstat().st_size
            if not path.is_symlink():
                os.truncate(path, random.Random(changes).randint(0, size))


KILL = Kill()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """What a training leaves, and how many changes of the file system it takes."""
    folder = tmp_path_factory.mktemp("undisturbed") / "exp"
    with KILL.after(None, folder):
        train(folder)
    found = contents(folder)
    assert {LAST, BEFORE, f"{EPOCHS}epoch.pth", "valid.loss.best.pth"} <= found.keys()
    assert len([name for name in found if name[0].isdigit()]) < EPOCHS
    return found, KILL.count


def test_killed_at_any_change_of_the_file_system(undisturbed, tmp_path):
    expected, changes = undisturbed
    assert changes > 30
    for count in range(changes // 3, changes):  # from the second epoch on
        folder = tmp_path / str(count)
        with KILL.after(count, folder):
            train(folder)
        train(folder)
        assert contents(folder) == expected, count


def test_the_disk_is_full(undisturbed, tmp_path):
    """Sizes that let small files pass, checkpoints or none."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    failures = 0
    for size in (0, 1, 3000, 5000, 9000, 12000, 20000):
        folder = tmp_path / str(size)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
        try:
            train(folder)
        except OSError as error:
            failures += 1
            assert str(folder) in str(error)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        train(folder)
        assert contents(folder) == undisturbed[0]
    assert failures > 3


@pytest.fixture
def trained(tmp_path):
    train(tmp_path / "exp")
    return tmp_path / "exp"


def damage(path, how):
    """Other bytes, in a file of its own: another name may share them."""
    content = bytearray(path.read_bytes())
    middle = len(content) // 3
    if how == "flip":
        content[middle] ^= 255
    elif how == "zeros":
        content[middle:] = bytes(len(content) - middle)
    else:
        del content[how if how >= 0 else len(content) + how :]
    path.unlink()
    path.write_bytes(content)


@pytest.mark.parametrize("name", [LAST, BEFORE, f"{EPOCHS}epoch.pth"])
@pytest.mark.parametrize("how", ["flip", "zeros", 0, 10, 4000, 9999, -1, -500])
def test_damaged_files_are_made_again(undisturbed, trained, name, how, caplog):
    """The checkpoint by training on from the one before."""
    damage(trained / name, how)
    train(trained)
    said = f"{trained / LAST} is damaged: going on from {BEFORE}" in caplog.text
    assert said == (name == LAST)
    found, expected = contents_without(trained, BEFORE), dict(undisturbed[0])
    del expected[BEFORE]
    assert found == expected


def contents_without(folder, name):
    (folder / name).unlink()
    return contents(folder)


def test_nothing_whole_is_left(undisturbed, trained, tmp_path, caplog):
    for name in (LAST, BEFORE):
        damage(trained / name, 100)
    with pytest.raises(ValueError, match=f"{LAST} is damaged and there is none before"):
        train(trained)
    for path in trained.glob("*epoch.pth"):
        path.rename(trained / "1epoch.pth")  # killed in its first epoch
    train(trained)
    assert "is damaged: training from the start" in caplog.text
    assert contents(trained) == undisturbed[0]


def test_another_epochs_weights_are_damaged(trained):
    path = min(trained.glob("*epoch.pth"))
    damage(path, 500)
    with pytest.raises(ValueError, match=f"{path} is damaged, or no plain checkpoint"):
        train(trained)


class Hostile:
    def __reduce__(self):
        return print, ("executed",)


def test_a_checkpoint_runs_no_code(trained, capsys):
    states = torch.load(trained / LAST, weights_only=False)
    torch.save(states | {"scaler": Hostile()}, trained / LAST)
    with pytest.raises(ValueError, match=f"{LAST} is damaged, or no plain checkpoint"):
        train(trained)
    assert "executed" not in capsys.readouterr().out


@pytest.mark.parametrize("error", [OSError(28, "No space left"), KeyboardInterrupt()])
def test_what_lies_there_stays(tmp_path, error):
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(type(error)) as raised, replacing(path) as temporary:
        temporary.write_text("half")
        raise error
    assert [p.read_text() for p in tmp_path.iterdir()] == ["old"]
    assert not isinstance(error, OSError) or str(path) in str(raised.value)


@pytest.mark.parametrize("how", ["flip", "zeros", 0, 10, 700, -1, -500])
def test_damaged_weights_are_not_used(tmp_path, how):
    path = tmp_path / "model.pth"
    save_tensors(path, {"weight": torch.arange(500.0)})
    assert torch.equal(load_state(path)["weight"], torch.arange(500.0))
    damage(path, how)
    with pytest.raises(RuntimeError, match=f"{path} is (not a plain|damaged)"):
        load_state(path)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
def test_weights_that_are_no_numbers(tmp_path, value, dtype):
    path, dtype = tmp_path / "model.pth", getattr(torch, dtype)
    good = {"a": torch.ones(3, dtype=dtype), "n": torch.tensor(3), "e": torch.empty(0)}
    save_tensors(path, good)
    load_state(path)
    bad = torch.ones(2, 500, dtype=dtype)
    bad[1, 77] = value
    save_tensors(path, good | {"b.weight": bad})
    with pytest.raises(RuntimeError, match="model.pth: b.weight has NaN or infinite"):
        load_state(path)
