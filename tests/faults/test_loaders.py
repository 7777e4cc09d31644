"""No door opens a file of another model, of no numbers, or that runs code.

Every loader of weights is given a file that lacks a tensor,
has one too many, one of another shape or one with NaN, and a pickled object.
"""

import numpy as np
import pytest
import torch
import yaml
from tiny_asr import save_asr
from tiny_whisper import save_openai, save_transformers

from espnet2_taste.asr.ctc_aligner import CTCAligner
from espnet2_taste.asr.recognisers import load_recogniser
from espnet2_taste.io.checkpoint import build_model_from_file, load_state
from espnet2_taste.io.model_folder import load_model
from espnet2_taste.nn.backbone import HFCausalBackbone
from espnet2_taste.taste.tokenizer.whisper_encoder import WhisperEncoder


class Small(torch.nn.Module):
    def __init__(self, size=3):
        super().__init__()
        self.a = torch.nn.Linear(size, size)
        self.b = torch.nn.BatchNorm1d(size)


class Hostile:
    def __reduce__(self):
        return print, ("executed",)


def save_small(folder):
    folder.mkdir()
    torch.save(Small().state_dict(), folder / "model.pth")
    (folder / "config.yaml").write_text(yaml.safe_dump({"model_conf": {"size": 3}}))
    return folder


def save_whisper(folder):
    folder.mkdir()
    return save_openai(folder / "tiny.pt")


def save_llama(folder):
    from transformers import LlamaConfig, LlamaForCausalLM

    conf = dict.fromkeys(("hidden_size", "intermediate_size", "vocab_size"), 8)
    config = LlamaConfig(**conf, num_hidden_layers=1, num_attention_heads=1)
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def open_espnet(folder):
    conf = {"ctc_weight": 1.0, "beam_size": 1}
    return load_recogniser("espnet", str(folder), **conf)([np.zeros(9000, "f")])


def open_files(folder):
    return build_model_from_file(lambda _: Small(), None, folder / "model.pth")


ASR_WEIGHT = "encoder.encoders.0.feed_forward.w_1.weight"
#: door -> makes a model's folder, its file, a matrix in it, and what opens it
DOORS = {
    "build_model_from_file": (save_small, "model.pth", "a.weight", open_files),
    "model_folder": (
        *(save_small, "model.pth", "a.weight"),
        lambda folder: load_model(str(folder), Small, "a test", "cpu"),
    ),
    "espnet recogniser": (
        *(
            save_asr,
            "valid.loss.best.pth",
            ASR_WEIGHT,
        ),
        open_espnet,
    ),
    "espnet aligner": (
        *(
            save_asr,
            "valid.loss.best.pth",
            ASR_WEIGHT,
        ),
        lambda f: CTCAligner(str(f / "config.yaml"), str(f / "valid.loss.best.pth")),
    ),
    "whisper recogniser": (
        *(save_transformers, "model.safetensors", "model.encoder.conv1.weight"),
        lambda folder: load_recogniser("whisper", str(folder)).parts,
    ),
    "whisper encoder": (
        *(save_transformers, "model.safetensors", "model.encoder.conv1.weight"),
        lambda folder: WhisperEncoder(8, model=str(folder), value_layer=1),
    ),
    "openai-whisper": (
        *(save_whisper, "tiny.pt", "encoder.conv1.weight"),
        lambda folder: load_recogniser("openai_whisper", str(folder / "tiny.pt")).parts,
    ),
    "LM": (
        *(save_llama, "model.safetensors", "model.layers.0.mlp.up_proj.weight"),
        lambda folder: HFCausalBackbone(8, model=str(folder)),
    ),
}
HOW = ["missing", "unexpected", "other shape", "nan", "pickle"]
#: Those that take what they need of a larger model.
PARTIAL = {"whisper encoder", "LM"}


def tamper(state, name, how):
    weight = state[name]
    if how == "missing":
        del state[name]
    elif how == "unexpected":
        state[name.replace("0", "1", 1) + "_more"] = weight.clone()
    elif how == "other shape":
        state[name] = weight[:-1].clone()
    elif how == "nan":
        state[name] = weight.clone()
        state[name].view(-1)[-1] = torch.nan
    return state


@pytest.fixture(scope="module")
def make(tmp_path_factory):
    """Callable (door, how) -> folder; its model is made once."""
    kept = {}

    def make(door, how):
        save, name, weight, _ = DOORS[door]
        folder = tmp_path_factory.mktemp("door") / "model"
        if save not in kept:
            torch.manual_seed(0)
            save(folder)
            kept[save] = {p.name: p.read_bytes() for p in folder.iterdir()}
        folder.mkdir(exist_ok=True)
        for file, content in kept[save].items():
            (folder / file).write_bytes(content)
        path = folder / name
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file, save_file

            if how == "pickle":
                path.unlink()
                torch.save({weight: Hostile()}, folder / "pytorch_model.bin")
            else:
                state = tamper(load_file(path), weight, how)
                save_file(state, path, {"format": "pt"})
            return folder
        state = torch.load(path, weights_only=True)
        inner = state.get("model_state_dict", state)
        tamper(inner, weight, how)
        torch.save(state | {"x": Hostile()} if how == "pickle" else state, path)
        return folder

    return make


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("door", DOORS)
def test_door(make, door, how, capsys):
    folder = make(door, how)
    if how == "unexpected" and door in PARTIAL:
        DOORS[door][3](folder)
        return
    with pytest.raises((RuntimeError, ValueError, OSError)) as raised:
        DOORS[door][3](folder)
    message = str(raised.value)
    assert "executed" not in capsys.readouterr().out
    assert message.count("\n") == 0 and str(folder) in message


@pytest.mark.parametrize("door", DOORS)
def test_doors_open(make, door):
    assert DOORS[door][3](make(door, "")) is not None


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04", bytes(999)])
def test_files_that_are_none(tmp_path, content):
    path = tmp_path / "a.pth"
    path.write_bytes(content)
    with pytest.raises(RuntimeError, match=f"{path} is (not a plain|damaged)"):
        load_state(path)
