"""Sources other than the hub folder: STAGE1_TRAIN and CosyVoice."""

import argparse

import pytest
import torch
import yaml
from published_names import TINY, config

from espnet2_taste.hub.published_arguments import taste_arguments
from espnet2_taste.inference import TaslmGenerate, load_part
from espnet2_taste.taste.build import build_taste_model


def stage1_names(tensors):
    """As STAGE1_TRAIN names them."""
    out = {"epoch": 3}
    for name, tensor in tensors.items():
        if name.startswith("audio_tower.vq."):
            out["audio_tokenizer.audio_quantizer" + name[14:]] = tensor
        elif name.startswith("audio_tower."):
            out["audio_tokenizer." + name[12:]] = tensor
        elif name.startswith("speech_decoder."):
            out[name[15:]] = tensor
    return out


def test_stage1_training_checkpoint(
    make_hub, convert, published_tensors, states, tmp_path
):
    file = tmp_path / "epoch_3.pt"
    torch.save(stage1_names(published_tensors), file)
    got = states(convert(file, output="stage1"))["taste"]
    want = states(convert(make_hub()))["taste"]
    assert got.keys() == want.keys()
    assert all(torch.equal(got[name], want[name]) for name in want)
    conf = yaml.safe_load((tmp_path / "stage1" / "taste" / "config.yaml").read_text())
    build_taste_model(argparse.Namespace(**conf)).load_state_dict(got)
    assert yaml.safe_load((tmp_path / "stage1" / "parts.yaml").read_text()) == {
        "taste": "model"
    }


def test_cosyvoice_folder(convert, published_tensors, voice_generator, tmp_path):
    folder = tmp_path / "CosyVoice-300M"
    folder.mkdir()
    for part in ("flow", "hift"):
        state = {
            k.removeprefix(part + "."): v
            for k, v in voice_generator.items()
            if k.startswith(part)
        }
        torch.save(state, folder / f"{part}.pt")
    (folder / "campplus.onnx").write_bytes(b"campplus")
    llm = {
        k: v
        for k, v in stage1_names(published_tensors).items()
        if not k.startswith(("audio_", "fuse_"))
    }
    torch.save(llm, folder / "llm.pt")
    packed = convert(folder)
    parts = yaml.safe_load((packed / "parts.yaml").read_text())
    assert parts == {
        "speech_decoder": "init_param",
        "vocoder": "cosyvoice",
        "speaker": "campplus",
    }
    units = [torch.arange(5)]
    assert len(load_part(packed, "vocoder")(units, torch.ones(1, TINY["spk"]))[0])
    # what training takes as --init_param
    state = torch.load(packed / "speech_decoder" / "model.pth", weights_only=True)
    model = build_taste_model(taste_arguments(config(TINY), published_tensors))
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected
    left = [k for k in missing if k.startswith("speech_decoder.")]
    assert left and all("audio" in k or "fusion" in k for k in left)
    conf = yaml.safe_load((packed / "speech_decoder" / "config.yaml").read_text())
    assert conf["speech_decoder_conf"]["llm_heads"] == TINY["h"]
    llm.pop("llm_decoder.bias")
    torch.save(llm, folder / "llm.pt")
    with pytest.raises(ValueError, match="llm.pt is no CosyVoice LM: missing"):
        convert(folder, output="again")


def test_file_that_is_no_checkpoint_of_the_reference(convert, tmp_path):
    torch.save({"weight": torch.zeros(2)}, tmp_path / "other.pt")
    with pytest.raises(ValueError, match="other.pt is no STAGE1_TRAIN or CosyVoice"):
        convert(tmp_path / "other.pt")


def test_folder_without_the_part(convert, published_tensors, tmp_path):
    torch.save(stage1_names(published_tensors), tmp_path / "stage1.pt")
    packed = convert(tmp_path / "stage1.pt")
    with pytest.raises(FileNotFoundError, match="packed has no taslm, only taste"):
        TaslmGenerate.from_pretrained(packed)
    with pytest.raises(ValueError, match="has no vocoder, only "):
        load_part(packed, "vocoder")
