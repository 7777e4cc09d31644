"""Fake hub folder -> packed model -> the same outputs; -> back, bit-equal."""

import json
import shutil

import numpy as np
import pytest
import torch
import yaml
from parity.models import taslm_state, taste_state
from published_names import EMBED, LM_HEAD, TINY, config
from safetensors.torch import load_file

from espnet2_taste.bin import convert as bin_convert
from espnet2_taste.hub import from_published
from espnet2_taste.hub.published_arguments import taslm_arguments, taste_arguments
from espnet2_taste.inference import (
    SpeechToTaste,
    TaslmGenerate,
    TasteToSpeech,
    load_part,
)
from espnet2_taste.taslm.build import build_taslm_model
from espnet2_taste.taste.build import build_taste_model
from espnet2_taste.taste.speech_decoder.abs_speech_decoder import Sampling

TEXT = "set the red lamp"
MLPS = "audio_tower.vq.rvq.mlps."


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
    more = generate([" ".join(tokens.words)], [tokens.codes])[0]
    generate.model = taslm
    again = generate([" ".join(tokens.words)], [tokens.codes])[0]
    assert again.words == more.words and torch.equal(again.codes, more.codes)
    embedding = generate.model.lm.causal_lm.get_input_embeddings().weight
    assert embedding.dtype == torch.bfloat16
    assert (moved / "units" / "speech_tokenizer_v1.onnx").is_file()
    assert (moved / "speaker" / "speaker_embed.onnx").is_file()


@pytest.mark.parametrize("form", ["single", "sharded", "bin"])
@pytest.mark.parametrize("lm_head", ["present", "missing"])
def test_there_and_back(
    make_hub, convert, published_tensors, states, tmp_path, form, lm_head
):
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

    bin_convert.main([str(packed), str(tmp_path / "back")])
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
    bin_convert.main([str(hub), "--dry_run"])
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

    monkeypatch.setattr(from_published, "save_state", die)
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
    with pytest.raises(ValueError, match="model.safetensors is no complete"):
        convert(hub)
    weights.unlink()
    with pytest.raises(FileNotFoundError, match="hub holds no weights"):
        convert(hub)
    (hub / "pytorch_model.bin").write_bytes(b"PK\x03\x04 not a checkpoint")
    with pytest.raises(ValueError, match="pytorch_model.bin is damaged"):
        convert(hub)
    config_json = (hub / "config.json").rename(hub / "renamed.json")
    with pytest.raises(FileNotFoundError, match="hub/config.json does not exist"):
        convert(hub)  # not a CosyVoice folder, though its files are there
    config_json.rename(hub / "config.json")
    (hub / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(ValueError, match="config.json is not of a TASTE model"):
        convert(hub)


def test_shard_that_is_missing(make_hub, convert):
    hub = make_hub(form="sharded")
    (hub / "model-00002-of-00003.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="model-00002-of-00003.safetensors"):
        convert(hub)


def test_tokenizer_that_does_not_fit(make_hub, convert):
    hub = make_hub()
    file = hub / "llama_tokenizer" / "tokenizer.json"
    content = json.loads(file.read_text())
    last = content["added_tokens"][-1]
    extra = last | {"id": last["id"] + 1, "content": "<|extra|>"}
    content["added_tokens"].append(extra)
    file.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="has 301 tokens, the LM embeds 300"):
        convert(hub)
    file.write_text("{}")
    with pytest.raises(ValueError, match="llama_tokenizer is no tokenizer"):
        convert(hub)


def test_folder_without_tokenizer(make_hub, convert, caplog):
    hub = make_hub()
    shutil.rmtree(hub / "llama_tokenizer")
    packed = convert(hub)
    assert "taslm comes without a tokenizer: set token_model" in caplog.text
    with pytest.raises(ValueError, match="taslm/model.pth: its tokenizer: token_type"):
        TaslmGenerate.from_pretrained(packed)


def test_vocoder_of_another_size(make_hub, convert, voice_generator):
    hub = make_hub()
    state = {k: v for k, v in voice_generator.items() if "f0_predictor" not in k}
    torch.save(state, hub / "cosyvoice" / "voice_generator.pth")
    with pytest.raises(ValueError, match="voice_generator.pth does not fit.*missing"):
        convert(hub)


def test_zip(make_hub, convert, tmp_path, wav, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    packed = convert(make_hub(), "--zip")
    tokens = SpeechToTaste.from_pretrained(packed)(wav, TEXT)
    cache = {"cache_dir": str(tmp_path / "cache")}
    file = tmp_path / "packed.zip"
    unzipped = SpeechToTaste.from_pretrained(file, **cache)
    assert torch.equal(unzipped(wav, TEXT).codes, tokens.codes)
    generate = TaslmGenerate.from_pretrained(file, **cache)
    assert generate.tokenizer.vocab_size == TINY["V"]
    vocoder = load_part(file, "vocoder", **cache)
    assert (
        vocoder.sample_rate == TasteToSpeech.from_pretrained(packed).vocoder.sample_rate
    )
    bin_convert.main([str(file), str(tmp_path / "back")])
    assert (tmp_path / "back" / "model.safetensors").is_file()


def test_parts_that_contradict_each_other(make_hub, convert, states, tmp_path):
    packed = convert(make_hub())
    state = states(packed)["taslm"]
    state["quantizer.project_in.bias"] += 1
    torch.save(state, packed / "taslm" / "model.pth")
    with pytest.raises(
        ValueError, match="different audio_tower.vq.rvq.project_in.bias"
    ):
        bin_convert.main([str(packed), str(tmp_path / "back")])
    assert not (tmp_path / "back").exists()


def test_command_ends_in_one_line(make_hub, tmp_path):
    from espnet2_taste.bin import run

    hub = make_hub(sizes=TINY | {"units": 21})
    with pytest.raises(SystemExit) as error:
        run(lambda: bin_convert.main([str(hub), str(tmp_path / "packed")]))
    message = str(error.value)
    assert message.startswith(f"error: {hub} does not fit its configuration: other")
    assert "speech_decoder.llm_decoder.bias [21] instead of [22]" in message
    assert "\n" not in message
