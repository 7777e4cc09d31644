"""TASTE2's files -> packed model -> the same files; sizes as published."""

import math

import pytest
import torch
import yaml
from taste2_names import FULL, TINY, stage1, stage2

from espnet2_taste.hub.taste2 import plan_taste2
from espnet2_taste.inference import SpeechToTaste, TaslmGenerate, TasteToSpeech

NAMES = {
    "llm.pt": lambda sizes: stage1(sizes),
    "slm.pt": lambda sizes: stage2(sizes, lora=True),
    "full/slm.pt": lambda sizes: stage2(sizes, lora=False, linear=True),
}
MLPS = "taste_tokenizer.vq.rvq.mlps."


def tied(name):
    """The table that an output layer shares; any other tensor's own name."""
    return name.replace("lm_head.weight", "model.embed_tokens.weight")


def tensors(table, seed=0):
    """Random weights of a table, tied ones once."""
    generator, made = torch.Generator().manual_seed(seed), {}
    for name, (shape, dtype) in table.items():
        value = torch.randn(shape, generator=generator) * 0.3
        if "_codebook." in name and not name.endswith(("embed", "embed_avg")):
            value = torch.ones(shape)
        made[name] = value.to(dtype)
    return {name: made[tied(name)] for name in made}


@pytest.fixture
def publish(tmp_path, llama_tokenizer):
    """Callable (name) that writes a file beside the LM's tokenizer."""
    import shutil

    def write(name):
        path = tmp_path / "published" / name
        path.parent.mkdir(parents=True)
        state = tensors(NAMES[name](TINY))
        torch.save(state, path)
        shutil.copytree(llama_tokenizer, path.parent / "tokenizer")
        return path, state

    return write


@pytest.mark.parametrize("name", NAMES)
def test_there_and_back(publish, convert, name):
    path, state = publish(name)
    packed = convert(path)
    back = convert(packed, output="back")
    found = torch.load(back / path.name, weights_only=True)
    assert found.keys() == {key for key in state if MLPS not in key}
    for key, tensor in found.items():
        assert tensor.dtype == state[key].dtype and tensor.shape == state[key].shape
        assert torch.equal(tensor, state[key]), key
    assert (back / "tokenizer" / "tokenizer.json").is_file()


def test_both_stages_run(publish, convert, wav):
    """Speech to codes, more of them, and what they say, as latents too."""
    packed = convert(publish("slm.pt")[0])
    tokens = SpeechToTaste.from_pretrained(packed)(wav, "set the red lamp")
    spoken = TaslmGenerate.from_pretrained(packed, max_tokens=5, end_symbol=False)
    more = spoken(["set the red lamp"], [tokens.codes])[0]
    assert len(more.codes) == len(more.latents) > 0
    speak = TasteToSpeech.from_pretrained(packed)
    for said in ({"codes": more.codes}, {"latents": more.latents}):
        assert len(speak(more.text, torch.zeros(192), **said).units)


@pytest.mark.parametrize("name", NAMES)
def test_published_sizes(name):
    """On the meta device; counts by hand."""
    table = NAMES[name](FULL)
    with torch.device("meta"):
        info = {k: torch.empty(s, dtype=d) for k, (s, d) in table.items()}
    plan = plan_taste2(info, name)
    given = {key for part in plan.parts for key in part.tensors.values()}
    assert given == {key for key in table if MLPS not in key}

    def numel(prefix):
        shapes = {tied(k): s for k, (s, _) in table.items() if k.startswith(prefix)}
        return sum(map(math.prod, shapes.values()))

    start = "" if name == "llm.pt" else "taste_stage1."
    llm = ("llm.", "llm_", "speech_embedding.")
    assert sum(numel(start + part) for part in llm) == 505_803_812  # CosyVoice 2's
    whisper = start + "taste_tokenizer.audio_joint_encoder_segmenter."
    # the published TASTE's tower with another token table
    assert numel(whisper) == 756_405_760 + (151936 - 51866) * 1280
    if name == "slm.pt":
        adapters = [s for k, (s, _) in table.items() if ".lora_" in k]
        assert sum(map(math.prod, adapters)) == 35_192_832
        trained = adapters + [s for k, (s, _) in table.items() if "_module." in k]
        conf = plan.parts[-1].args.lm_conf
        assert (conf["lora"]["r"], conf["lora"]["lora_alpha"]) == (64, 128)
        bridge, head = 896 * 896 + 896 + 2 * 896 + 2, 896 * 256 + 2 * 256
        assert sum(map(math.prod, trained)) == 35_192_832 + bridge + head


@pytest.mark.parametrize(
    "change,message",
    [
        (lambda state: state.pop("llm_decoder.bias"), "missing.*llm_decoder.bias"),
        (lambda state: state.update(other=torch.ones(1)), "unexpected.*other"),
        (lambda state: state.pop("speech_embedding.weight"), "it has no 'speech_emb"),
    ],
)
def test_files_that_do_not_fit_are_named(convert, tmp_path, change, message):
    state = tensors(stage1(TINY))
    change(state)
    torch.save(state, tmp_path / "llm.pt")
    with pytest.raises(ValueError, match=rf"llm.pt .*{message}"):
        convert(tmp_path / "llm.pt")


def test_the_lm_may_be_described(publish, convert, tmp_path):
    """--config: heads of another width than the sizes suggest."""
    import json

    from transformers import Qwen2Config

    path, _ = publish("full/slm.pt")
    config = Qwen2Config(
        vocab_size=300,
        hidden_size=128,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=True,
        eos_token_id=299,
    ).to_dict()
    (tmp_path / "lm.json").write_text(json.dumps(config))
    packed = convert(path, "--config", tmp_path / "lm.json")
    conf = yaml.safe_load((packed / "taslm" / "config.yaml").read_text())["lm_conf"]
    assert conf["config"]["num_attention_heads"] == 4 and conf["eos_id"] == 299
