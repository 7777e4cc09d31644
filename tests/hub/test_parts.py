"""What each part packs of itself opens like its source, and is no more than that."""

import pytest
import torch
from tiny_onnx import write_campplus, write_s3
from tiny_vocoder import SPEAKER, TINY, UNITS, published_state, tiny_voice_generator

from espnet2_taste.speaker import load_speaker_encoder, speaker_choices
from espnet2_taste.units import load_unit_extractor, unit_extractor_choices
from espnet2_taste.vocoder import load_vocoder, vocoder_choices
from espnet2_taste.vocoder.cosyvoice import checkpoint


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def target(tmp_path):
    (tmp_path / "target").mkdir()
    return tmp_path / "target"


def test_griffin_lim(tmp_path, target):
    from espnet2_taste.vocoder.griffin_lim import GriffinLimVocoder

    vocoder = GriffinLimVocoder(torch.randn(UNITS, 4, 80))
    vocoder.save(tmp_path / "units")
    (tmp_path / "units" / "checkpoint.pth").touch()
    cls = vocoder_choices.get_class("griffin_lim")
    cls.pack(tmp_path / "units", target)
    assert names(target) == ["griffin_lim.pth"]
    loaded = load_vocoder("griffin_lim", str(target))
    units = [torch.arange(5)]
    assert torch.equal(loaded(units)[0], vocoder(units)[0])


@pytest.mark.parametrize("layout", ["own", "one file", "two files", "trained flow"])
def test_cosyvoice(tmp_path, target, layout):
    model = tiny_voice_generator()
    source = tmp_path / "source"
    source.mkdir()
    state = model.state_dict()
    if layout == "own":
        checkpoint.save(source, state, TINY)
    elif layout == "trained flow":  # ESPnet's options beside it
        checkpoint.save(source, state, TINY)
        (source / "model.pth").rename(source / "valid.loss.best.pth")
        with (source / "config.yaml").open("a") as config:
            config.write(f"output_dir: {source}\n")
    else:
        published = published_state(state)
        files = {"voice_generator.pth": ""}
        if layout == "two files":
            files = {"flow.pt": "flow.", "hift.pt": "hift."}
        for file, prefix in files.items():
            part = {
                k.removeprefix(prefix): v
                for k, v in published.items()
                if k.startswith(prefix)
            }
            torch.save(part, source / file)
    options = {"flow_conf": TINY["flow_conf"]}  # heads: no shape tells
    before = load_vocoder("cosyvoice", source, **options)
    vocoder_choices.get_class("cosyvoice").pack(source, target)
    assert names(target) == ["config.yaml", "model.pth"]
    assert str(tmp_path) not in (target / "config.yaml").read_text()
    after = load_vocoder("cosyvoice", target, **options)
    inputs = [torch.arange(6)], torch.ones(1, SPEAKER)
    assert torch.equal(after(*inputs)[0], before(*inputs)[0])


@pytest.mark.parametrize("name", ["speech_tokenizer_v1.onnx", "renamed.onnx"])
def test_s3(tmp_path, target, name):
    pytest.importorskip("onnx")
    file = write_s3(tmp_path / name)
    unit_extractor_choices.get_class("s3").pack(str(file), target)
    assert names(target) == ["speech_tokenizer_v1.onnx"]
    assert (target / "speech_tokenizer_v1.onnx").read_bytes() == file.read_bytes()
    assert load_unit_extractor("s3", str(target)).num_units == 48


@pytest.mark.parametrize("name", ["speaker_embed.onnx", "renamed.onnx"])
def test_campplus(tmp_path, target, name):
    pytest.importorskip("onnx")
    write_campplus(tmp_path / name, 6)
    speaker_choices.get_class("campplus").pack(str(tmp_path / name), target)
    assert len(names(target)) == 1
    assert load_speaker_encoder("campplus", str(target)).embed_dim == 6
    with pytest.raises(FileNotFoundError, match="no file or folder .*gone"):
        speaker_choices.get_class("campplus").pack(str(tmp_path / "gone"), target)
