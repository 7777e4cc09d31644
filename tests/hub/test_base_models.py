"""Packed models that leave out the weights of Whisper and of the LLM."""

import copy
import json

import pytest
import torch
import yaml
from published_names import LLAMA, LM_HEAD, TINY, TOWER, config
from safetensors.torch import load_file, save_file

from espnet2_taste.bin import convert as bin_convert
from espnet2_taste.inference import SpeechToTaste, TaslmGenerate

TEXT = "set the red lamp"


def save_bases(folder, tensors):
    """Whisper and the LLM as they are published themselves."""
    lm = {
        name.removeprefix(LLAMA).replace(".base_layer", ""): tensor
        for name, tensor in tensors.items()
        if name.startswith(LLAMA) and ".lora_" not in name and name != LM_HEAD
    }
    prefix = TOWER + "audio_encoder."
    whisper = {
        "model." + name.removeprefix(prefix): tensor.float()
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }
    for name, state, section in (
        ("lm", lm, "text_config"),
        ("whisper", whisper, "asr_config"),
    ):
        (folder / name).mkdir()
        save_file(state, folder / name / "model.safetensors", {"format": "pt"})
        conf = copy.deepcopy(config(TINY)[section])
        conf["architectures"] = [
            {"lm": "LlamaForCausalLM", "whisper": "WhisperModel"}[name]
        ]
        if name == "whisper":  # a whole model; only its encoder is read
            conf |= {"decoder_layers": 1}
        (folder / name / "config.json").write_text(json.dumps(conf))
    return folder / "lm", folder / "whisper"


def test_base_models_left_out(
    make_hub, convert, published_tensors, states, tmp_path, wav
):
    lm, whisper = save_bases(tmp_path, published_tensors)
    hub = make_hub()
    packed = convert(hub, "--base_lm", lm, "--whisper", whisper)
    small = states(packed)
    assert not any(name.startswith("encoder.encoder.") for name in small["taste"])
    assert all(".lora_" in k for k in small["taslm"] if k.startswith("lm.lm."))
    whole = convert(hub, output="whole")
    tokens = [SpeechToTaste.from_pretrained(x)(wav, TEXT) for x in (packed, whole)]
    assert torch.equal(tokens[0].codes, tokens[1].codes)
    more = [
        TaslmGenerate.from_pretrained(x, max_words=2)([" ".join(t.words)], [t.codes])[0]
        for x, t in zip((packed, whole), tokens, strict=True)
    ]
    assert more[0].words == more[1].words
    with pytest.raises(ValueError, match="leaves out .*convert without --whisper"):
        bin_convert.main([str(packed), str(tmp_path / "back")])
    other = load_file(lm / "model.safetensors")
    other["model.norm.weight"] += 1
    save_file(other, lm / "model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match="1 tensors differ, such as .*norm.weight"):
        convert(hub, "--base_lm", lm, output="third")


def test_base_model_that_is_not_here(make_hub, convert, caplog, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    packed = convert(make_hub(), "--base_lm", "nobody/nothing-1b")
    assert "nobody/nothing-1b is not on this machine: not compared" in caplog.text
    conf = yaml.safe_load((packed / "taslm" / "config.yaml").read_text())["lm_conf"]
    assert conf["model"] == "nobody/nothing-1b" and "config" not in conf
