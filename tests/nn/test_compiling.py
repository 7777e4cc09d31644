import copy
import logging

import pytest
import torch
from gpu_cases import TINY, batch, build

from espnet2_taste.nn.compiling import compile_blocks, trained_blocks

#: runs the graphs that a compiler would get, and needs none
BACKEND = "eager"
#: as conf/train_taslm.yaml has it
RECOMPUTED = TINY["taslm"]["lm_conf"] | {"gradient_checkpointing": True}


def step(model, data):
    """Loss and gradients."""
    torch.manual_seed(1)
    model.zero_grad()
    loss = model(**data)[0]
    loss.backward()
    gradients = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    return {"loss": loss.detach()} | {n: g.clone() for n, g in gradients.items()}


@pytest.mark.parametrize(
    "section, changes, blocks",
    [
        ("taste", {}, 1 + 1 + 1 + 2),  # aggregator, two encoders, unit LM
        ("taslm", {"lm_conf": RECOMPUTED}, 2),  # LoRA, and its base for the KL
    ],
)
def test_the_same_loss_and_gradients(section, changes, blocks):
    """Of two batches of different lengths, with the weights' names as they were."""
    model = build(section, "cpu", **changes).train()
    compiled = copy.deepcopy(model)
    names = list(model.state_dict())
    assert compile_blocks(compiled, "cpu", BACKEND) == blocks
    assert list(compiled.state_dict()) == names
    torch._dynamo.utils.counters.clear()
    for size in (4, 3):
        want, got = (step(each, batch("cpu", size)) for each in (model, compiled))
        assert want.keys() == got.keys()
        for name, value in want.items():
            torch.testing.assert_close(got[name], value, msg=name)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > 0
    assert not torch._dynamo.utils.counters["graph_break"]
    model.load_state_dict(compiled.state_dict())
    assert not any(m._compiled_call_impl for m in copy.deepcopy(compiled).modules())


def test_frozen_blocks_are_left_out():
    model = build("taste", "cpu")
    model.aggregator.requires_grad_(False)
    model.speech_decoder.requires_grad_(False)
    assert not list(trained_blocks(model))
    model.encoder.requires_grad_(True)
    assert {type(b).__name__ for b in trained_blocks(model)} == {"WhisperEncoderLayer"}


def test_without_a_compiler_there_is_one_line(caplog, monkeypatch):
    def refuse(*args, **named):
        raise RuntimeError("No working C++ compiler found\nin a long story")

    monkeypatch.setattr(torch, "compile", refuse)
    model = build("taslm", "cpu")
    with caplog.at_level(logging.WARNING):
        assert compile_blocks(model, "cpu") == 0
    (record,) = caplog.records
    assert record.getMessage() == (
        "compile: no working compiler for cpu, trained uncompiled "
        "(No working C++ compiler found)"
    )
    assert not any(m._compiled_call_impl for m in model.modules())
