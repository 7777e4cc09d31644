"""Fake hub folder -> packed model -> the same outputs; -> back, bit-equal."""

import argparse
import copy
import json
import shutil
import zipfile

import numpy as np
import pytest
import torch
import yaml
from conftest import EMBED, LM_HEAD, save_weights
from published_names import LLAMA, TINY, TOWER, config
from safetensors.torch import load_file, save_file

from espnet2_taste.convert import from_published, to_published
from espnet2_taste.convert.arguments import taslm_arguments, taste_arguments
from espnet2_taste.convert.names import taslm_state, taste_state
from espnet2_taste.inference import SpeechToTaste, TaslmGenerate, TasteToSpeech
from espnet2_taste.packed import load_part
from espnet2_taste.taslm.build import build_taslm_model
from espnet2_taste.taste.build import build_taste_model
from espnet2_taste.taste.speech_decoder.abs_speech_decoder import Sampling

TEXT = "set the red lamp"
MLPS = "audio_tower.vq.rvq.mlps."


@pytest.fixture
def convert(tmp_path):
    def run(source, *options, output="packed"):
        from_published.main([str(source), str(tmp_path / output), *map(str, options)])
        return tmp_path / output

    return run


@pytest.fixture(scope="module")
def wav():
    return np.random.default_rng(0).standard_normal(8000).astype(np.float32) * 0.1


@pytest.fixture(scope="module")
def speaker():
    return np.random.default_rng(1).standard_normal(TINY["spk"]).astype(np.float32)


def direct(tensors):
    """TASTE model and TASLM with the tensors, without conversion."""
    taste = build_taste_model(taste_arguments(config(TINY), tensors))
    taste.load_state_dict(taste_state(tensors))
    taslm = build_taslm_model(taslm_arguments(config(TINY), "bfloat16"))
    taslm.load_state_dict(taslm_state(tensors))
    return taste.eval(), taslm.eval()


def states(packed):
    return {
        part: torch.load(packed / part / "model.pth", weights_only=True)
        for part in ("taste", "taslm")
    }


def test_packed_model_computes_what_the_weights_say(
    make_hub, convert, published_tensors, wav, speaker, tmp_path, monkeypatch
):
    packed = convert(make_hub())
    moved = tmp_path / "moved"
    packed.rename(moved)  # nothing in it knows where it lies
    shutil.rmtree(tmp_path / "hub")
    monkeypatch.chdir("/")
    taste, taslm = direct(published_tensors)

    tokenizer = SpeechToTaste.from_pretrained(moved)
    tokens = tokenizer(wav, TEXT)
    tokenizer.model = taste
    assert torch.equal(tokenizer(wav, TEXT).codes, tokens.codes)
    assert tokens.codes.shape == (4, TINY["R"])

    speak = TasteToSpeech.from_pretrained(moved, sampling=Sampling(top_k=5, seed=3))
    out = speak(TEXT, speaker, tokens.codes)
    speak.model = taste
    again = speak(TEXT, speaker, tokens.codes)
    assert torch.equal(again.units, out.units) and len(out.units)
    vocoder = load_part(moved, "vocoder")
    expected = vocoder([out.units], torch.from_numpy(speaker)[None])[0]
    torch.testing.assert_close(out.wav, expected)
    assert TasteToSpeech.from_pretrained(moved, vocoder=None).vocoder is None

    generate = TaslmGenerate.from_pretrained(moved, max_words=3)
    more = generate([tokens.words], [tokens.codes])[0]
    generate.model = taslm
    again = generate([tokens.words], [tokens.codes])[0]
    assert again.words == more.words and torch.equal(again.codes, more.codes)
    embedding = generate.model.lm.causal_lm.get_input_embeddings().weight
    assert embedding.dtype == torch.bfloat16
    assert (moved / "units" / "speech_tokenizer_v1.onnx").is_file()
    assert (moved / "speaker" / "speaker_embed.onnx").is_file()


@pytest.mark.parametrize("form", ["single", "sharded", "bin"])
@pytest.mark.parametrize("lm_head", ["present", "missing"])
def test_there_and_back(make_hub, convert, published_tensors, tmp_path, form, lm_head):
    tensors = dict(published_tensors)
    if lm_head == "missing":
        del tensors[LM_HEAD]
    hub = make_hub(tensors=tensors, form=form)
    packed = convert(hub)
    for part, state in states(packed).items():
        names = yaml.safe_load((packed / part / "config.yaml").read_text())
        assert str(tmp_path) not in json.dumps(names)
        assert not any("mlps" in name for name in state)
    lm = states(packed)["taslm"]
    prefix = "lm.lm.base_model.model."
    tied = [lm[prefix + n] for n in ("lm_head.weight", "model.embed_tokens.weight")]
    assert tied[0].data_ptr() == tied[1].data_ptr()

    to_published.main([str(packed), str(tmp_path / "back")])
    back = load_file(tmp_path / "back" / "model.safetensors")
    expected = {k: v for k, v in published_tensors.items() if not k.startswith(MLPS)}
    assert back.keys() == expected.keys()
    for name, value in expected.items():
        assert back[name].dtype == value.dtype, name
        assert torch.equal(back[name], value), name
    weights = {"model.safetensors", "pytorch_model.bin", "model.safetensors.index.json"}
    for file in hub.rglob("*"):
        relative = file.relative_to(hub)
        if file.is_file() and relative.name not in weights and "-of-" not in file.name:
            assert (tmp_path / "back" / relative).read_bytes() == file.read_bytes()


def test_embedding_and_output_layer_that_contradict_each_other(
    make_hub, convert, published_tensors
):
    tensors = published_tensors | {LM_HEAD: published_tensors[EMBED] + 1}
    with pytest.raises(ValueError, match="hub: tie_word_embeddings is true, but"):
        convert(make_hub(tensors=tensors))


def test_dry_run(make_hub, published_tensors, tmp_path, capsys):
    hub = make_hub()
    before = sorted(tmp_path.rglob("*"))
    from_published.main([str(hub), "--dry_run"])
    lines = capsys.readouterr().out.splitlines()
    mapped = {line.split(" -> ")[0]: line.split(" -> ")[1] for line in lines}
    assert published_tensors.keys() <= mapped.keys()
    name = "speech_decoder.fuse_encoded_audio_text_module.weights"
    assert mapped[name] == "taste/speech_decoder.fusion.weights  [2] float32"
    project = mapped["audio_tower.vq.rvq.project_in.bias"]
    assert project.startswith("taste/quantizer.project_in.bias, taslm/quantizer.")
    dropped = [name for name, to in mapped.items() if "dropped" in to]
    assert len(dropped) == 54 and all(name.startswith(MLPS) for name in dropped)
    assert mapped["cosyvoice/voice_generator.pth"] == "vocoder/voice_generator.pth"
    assert sorted(tmp_path.rglob("*")) == before


def test_killed_conversion_leaves_nothing(make_hub, convert, tmp_path, monkeypatch):
    def die(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(from_published, "write_yaml", die)
    with pytest.raises(KeyboardInterrupt):
        convert(make_hub())
    assert [p.name for p in tmp_path.iterdir()] == ["hub"]


def test_output_that_exists_is_kept(make_hub, convert, tmp_path):
    (tmp_path / "packed").mkdir()
    (tmp_path / "packed" / "mine").touch()
    with pytest.raises(FileExistsError, match="packed exists: remove it"):
        convert(make_hub())
    assert (tmp_path / "packed" / "mine").exists()


def test_sources_that_are_something_else(make_hub, convert, tmp_path):
    hub = make_hub()
    with pytest.raises(FileNotFoundError, match="nowhere does not exist"):
        convert(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="llama_tokenizer is neither a TASTE folder"):
        convert(hub / "llama_tokenizer")
    weights = hub / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(
        ValueError, match="model.safetensors is no complete safetensors"
    ):
        convert(hub)
    weights.unlink()
    with pytest.raises(FileNotFoundError, match="hub holds no weights"):
        convert(hub)
    (hub / "pytorch_model.bin").write_bytes(b"PK\x03\x04 not a checkpoint")
    with pytest.raises(ValueError, match="pytorch_model.bin is not a plain checkpoint"):
        convert(hub)
    (hub / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(ValueError, match="config.json is not of a TASTE model"):
        convert(hub)


def test_shard_that_is_missing(make_hub, convert):
    hub = make_hub(form="sharded")
    (hub / "model-00002-of-00003.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="model-00002-of-00003.safetensors"):
        convert(hub)


def test_vocoder_of_another_size(make_hub, convert, voice_generator):
    hub = make_hub()
    state = {k: v for k, v in voice_generator.items() if "f0_predictor" not in k}
    torch.save(state, hub / "cosyvoice" / "voice_generator.pth")
    with pytest.raises(ValueError, match="voice_generator.pth does not fit.*missing"):
        convert(hub)


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


def test_base_models_left_out(make_hub, convert, published_tensors, tmp_path, wav):
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
        TaslmGenerate.from_pretrained(x, max_words=2)([t.words], [t.codes])[0]
        for x, t in zip((packed, whole), tokens, strict=True)
    ]
    assert more[0].words == more[1].words
    with pytest.raises(
        ValueError, match="taste leaves out .*convert without --whisper"
    ):
        to_published.main([str(packed), str(tmp_path / "back")])
    other = load_file(lm / "model.safetensors")
    other["model.norm.weight"] += 1
    save_file(other, lm / "model.safetensors", {"format": "pt"})
    with pytest.raises(
        ValueError, match="1 tensors differ, such as .*model.norm.weight"
    ):
        convert(hub, "--base_lm", lm, output="third")


def test_base_model_that_is_not_here(make_hub, convert, caplog, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    packed = convert(make_hub(), "--base_lm", "nobody/nothing-1b")
    assert "nobody/nothing-1b is not on this machine: not compared" in caplog.text
    conf = yaml.safe_load((packed / "taslm" / "config.yaml").read_text())["lm_conf"]
    assert conf["model"] == "nobody/nothing-1b" and "config" not in conf


def test_zips(make_hub, convert, tmp_path, wav):
    packed = convert(make_hub(), "--zip")
    tokens = SpeechToTaste.from_pretrained(packed)(wav, TEXT)
    cache = {"cache_dir": str(tmp_path / "cache")}
    unzipped = SpeechToTaste.from_pretrained(packed / "taste.zip", **cache)
    assert torch.equal(unzipped(wav, TEXT).codes, tokens.codes)
    generate = TaslmGenerate.from_pretrained(packed / "taslm.zip", **cache)
    assert generate.tokenizer.vocab_size == TINY["V"]
    with zipfile.ZipFile(packed / "vocoder.zip") as archive:
        assert set(archive.namelist()) == {"meta.yaml", "voice_generator.pth"}


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


def test_stage1_training_checkpoint(make_hub, convert, published_tensors, tmp_path):
    file = tmp_path / "epoch_3.pt"
    torch.save(stage1_names(published_tensors), file)
    got = states_of_taste(convert(file, output="stage1"))
    want = states_of_taste(convert(make_hub()))
    assert got.keys() == want.keys()
    assert all(torch.equal(got[name], want[name]) for name in want)
    conf = yaml.safe_load((tmp_path / "stage1" / "taste" / "config.yaml").read_text())
    build_taste_model(argparse.Namespace(**conf)).load_state_dict(got)
    assert yaml.safe_load((tmp_path / "stage1" / "parts.yaml").read_text()) == {
        "taste": "model"
    }


def states_of_taste(packed):
    return torch.load(packed / "taste" / "model.pth", weights_only=True)


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


def test_parts_that_contradict_each_other(make_hub, convert, tmp_path):
    packed = convert(make_hub())
    state = states(packed)["taslm"]
    state["quantizer.project_in.bias"] += 1
    torch.save(state, packed / "taslm" / "model.pth")
    with pytest.raises(
        ValueError, match="different audio_tower.vq.rvq.project_in.bias"
    ):
        to_published.main([str(packed), str(tmp_path / "back")])
    assert not (tmp_path / "back").exists()


def test_folder_without_the_part(make_hub, convert, tmp_path):
    torch.save(
        stage1_names(torch.load(make_weights(make_hub), weights_only=True)),
        tmp_path / "s.pt",
    )
    packed = convert(tmp_path / "s.pt")
    with pytest.raises(FileNotFoundError, match="packed has no taslm, only taste"):
        TaslmGenerate.from_pretrained(packed)
    with pytest.raises(ValueError, match="has no vocoder to load; it has: none"):
        load_part(packed, "vocoder")


def make_weights(make_hub):
    return make_hub(form="bin") / "pytorch_model.bin"
