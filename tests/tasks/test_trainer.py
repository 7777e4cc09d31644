"""What training reports and draws besides ESPnet's own."""

import re
from contextlib import closing
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image

from espnet2_taste.bin.tokenize import main as tokenize
from espnet2_taste.io.arks import read_arks, read_codes
from espnet2_taste.io.checkpoint import load_state
from espnet2_taste.nn.compiling import compile_blocks
from espnet2_taste.tasks import part_task
from espnet2_taste.tasks.statistics import MEANINGS, meaning
from espnet2_taste.tasks.trainer import Counted, draw_attention, where_and_how

DRAWN = {"num_att_plot": 2, "use_matplotlib": True}
OVERRIDES = DRAWN | {"use_tensorboard": True, "accum_grad": 3}


def read_statistics(folder):
    """{epoch: {phase: {name: value}}} as ESPnet's reporter saved it."""
    saved = torch.load(folder / "checkpoint.pth", weights_only=False)
    times = ("time", "total_count")
    return {
        epoch: {
            phase: {k: v for k, v in values.items() if k not in times}
            for phase, values in phases.items()
        }
        for epoch, phases in saved["reporter"]["stats"].items()
    }


@pytest.fixture(scope="module")
def experiment(train_taste, tmp_path_factory):
    """Two epochs of three batches of two utterances, one update each."""
    return train_taste(tmp_path_factory.mktemp("exp") / "taste", OVERRIDES)


def test_statistics(experiment, tiny_taste, tiny_data):
    found, durations = read_statistics(experiment), tiny_data / "durations.scp"
    for phases in found.values():
        train, valid = phases["train"], phases["valid"]
        losses = {"loss", "ce", "commit", "prosody", "guidance"}
        names = losses | {"acc", "acc5", "codebook_perplexity", "dead_codes"}
        assert set(valid) == names and names < set(train)
        assert all(np.isfinite(value) for value in train.values())
        assert train["effective_batch_size"] == 2 * 3
        assert np.isnan(valid["commit"])
        for values in (train, valid):
            weighted = np.nan_to_num(values["commit"]) + 0.5 * values["prosody"]
            weighted += values["ce"] + 0.1 * values["guidance"]
            assert values["loss"] == pytest.approx(weighted, rel=1e-5)
            # 19 words of two codebooks of 8: the whole epoch, not the last batch
            assert 1 <= values["codebook_perplexity"] <= 8
            assert 0 <= values["dead_codes"] <= 14
            assert values["dead_codes"] == int(values["dead_codes"])
        size = sum(v.numel() for v in load_state(experiment / "1epoch.pth").values())
        assert 0 < train["trainable_parameters"] < size
        assert train["units_per_second"] > 0 and 0 < train["mfu"] < 1
        units = np.array([sum(d) for d in read_arks(durations).values()])
        padded = 2 * units.reshape(3, 2).max(1).sum()  # batches of two
        assert train["padding"] == pytest.approx(1 - units.sum() / padded)
        assert all(meaning(name) for name in train | valid)
    assert read_statistics(tiny_taste)[2]["train"]["effective_batch_size"] == 2
    # Nothing was counted as a batch: three steps an epoch.
    log = torch.load(experiment / "checkpoint.pth", weights_only=False)
    assert log["reporter"]["stats"][2]["train"]["total_count"] == 6


def text_batch(*lengths):
    """Names, and texts of one number a position."""
    text = torch.ones(len(lengths), max(lengths), 1)
    return [], {"text": text, "text_lengths": torch.tensor(lengths)}


def test_padding_and_operations_by_hand():
    """6 of 8 positions and 3 of 3; those of the first batch cost 10 each forward and 10
    backward, and only those that are no padding count."""
    linear, counted = torch.nn.Linear(1, 5), Counted([text_batch(4, 2), text_batch(3)])
    for _, batch in counted:
        linear(batch["text"]).sum().backward()
    assert (counted.units, counted.positions) == (9, 11)
    assert counted.padding == pytest.approx(2 / 11) and counted.flops == 9 * 20


def test_an_error_ends_the_counting():
    counted = Counted([text_batch(4, 2)])
    with pytest.raises(ZeroDivisionError), closing(counted):
        for _ in counted:
            1 / 0  # noqa: B018
    torch.ones(2, 2) @ torch.ones(2, 2)
    assert counted.flops == 0


def test_the_dtype_is_that_of_most_weights():
    model = torch.nn.Sequential(torch.nn.Linear(9, 9).bfloat16(), torch.nn.Linear(1, 1))
    for use_amp in (False, True):  # no autocast on a CPU
        assert where_and_how(model, use_amp) == (torch.device("cpu"), torch.bfloat16)


def test_codes_of_an_epoch_are_those_of_its_model(experiment, tiny_data, tmp_path):
    """Validation's statistics against codes that the epoch's model gives one by one."""
    tokenize(
        ["--model_file", str(experiment / "2epoch.pth"), "--data_dir", str(tiny_data)]
        + ["--output_dir", str(tmp_path), "--batch_size", "1"]
    )
    codes = np.concatenate(list(read_codes(tmp_path / "taste.scp", 2).values()))
    counts = np.array([np.bincount(column, minlength=8) for column in codes.T])
    assert counts.sum() == 2 * 19
    share = counts / len(codes)
    entropy = -np.sum(share * np.log(np.where(share > 0, share, 1)), axis=1)
    valid = read_statistics(experiment)[2]["valid"]
    assert valid["dead_codes"] == (counts == 0).sum()
    assert valid["codebook_perplexity"] == pytest.approx(np.exp(entropy).mean())


def test_every_statistic_has_a_picture_and_a_curve(experiment):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    phases = read_statistics(experiment)[2]
    pictures = {path.stem for path in (experiment / "images").glob("*.png")}
    assert pictures == set(phases["train"]) | set(phases["valid"])
    for phase in ("train", "valid"):
        events = EventAccumulator(str(experiment / "tensorboard" / phase))
        events.Reload()
        assert set(phases[phase]) <= set(events.Tags()["scalars"])
    events = EventAccumulator(str(experiment / "tensorboard/train"))
    events.Reload()
    assert events.Tags()["images"] == ["attention/utt0", "attention/utt1"]
    assert [e.step for e in events.Images("attention/utt1")] == [1, 2]


def test_attention_is_drawn_every_epoch(experiment):
    """Of the first utterances of the validation set, in every epoch the same ones."""
    found = {path.relative_to(experiment) for path in experiment.glob("att_ws/*/*")}
    assert {str(path) for path in found} == {
        f"att_ws/utt{i}/{epoch}ep.png" for i in (0, 1) for epoch in (1, 2)
    }
    pictures = [np.array(Image.open(experiment / path)) for path in sorted(found)]
    assert all(len(np.unique(picture)) > 50 for picture in pictures)
    assert (pictures[0] != pictures[1]).any()  # of two epochs


def test_drawing_does_not_change_training(experiment, train_taste, tmp_path):
    """Nor does resuming: the same weights, pictures of the second epoch included."""
    train_taste(tmp_path, {**OVERRIDES, "num_att_plot": 0}, "--max_epoch", "1")
    train_taste(tmp_path, OVERRIDES, "--resume", "true")
    for name, value in load_state(experiment / "2epoch.pth").items():
        assert torch.equal(value, load_state(tmp_path / "2epoch.pth")[name]), name
    drawn = list(tmp_path.glob("att_ws/*/*"))
    assert sorted(p.name for p in drawn) == ["2ep.png", "2ep.png"]
    assert (
        drawn[0].read_bytes()
        == (experiment / drawn[0].relative_to(tmp_path)).read_bytes()
    )


def test_compiled(experiment, train_taste, tmp_path, monkeypatch):
    """The same weights under the same names; first batches run uncompiled, to be
    counted."""
    graphs = torch._dynamo.utils.counters["stats"]
    graphs.clear()
    backend = {"backend": "eager"}  # needs no compiler
    monkeypatch.setattr(part_task, "compile_blocks", partial(compile_blocks, **backend))
    train_taste(tmp_path, OVERRIDES | {"compile": True}, "--max_epoch", "1")
    assert graphs["unique_graphs"] > 0
    got, want = (load_state(f / "1epoch.pth") for f in (tmp_path, experiment))
    assert got.keys() == want.keys()
    for name, value in want.items():
        torch.testing.assert_close(got[name], value, msg=name)


def test_text_only_has_no_attention_and_no_codes(train_taste, tmp_path):
    overrides = DRAWN | {"model_conf": {"text_only": True}, "max_epoch": 1}
    phases = read_statistics(train_taste(tmp_path, overrides))[1]
    assert set(phases["valid"]) == {"loss", "ce", "acc", "acc5"}
    assert not (tmp_path / "att_ws").exists()


def test_a_map_shows_words_by_frames():
    attention = np.zeros((2, 40))
    attention[0, :10] = attention[1, 20:] = 1.0
    picture = draw_attention(attention, ["caf\u00e9", "$\\bad{$"], "u_1 $")
    assert picture.dtype == np.uint8 and picture.shape[2] == 3
    dark = (picture < 50).all(-1)
    rows = np.flatnonzero(dark.sum(1) > 0.2 * dark.shape[1])
    # a quarter on the left above, half on the right below
    above, below = (np.flatnonzero(dark[r]) for r in (rows[0] + 5, rows[-1] - 5))
    assert np.median(above) < np.median(below)
    assert len(below) == pytest.approx(2 * len(above), rel=0.1)


def test_meanings_are_of_one_statistic_each():
    assert meaning("taste_acc3") and not meaning("taste_accuracy")
    for name in MEANINGS:
        example = name.replace(r"\d+", "1")
        assert sum(bool(re.fullmatch(key, example)) for key in MEANINGS) == 1
