"""CosyVoice 2's ``llm.pt``: names, shapes and counts; there and back."""

import pytest
import torch
import yaml

from espnet2_taste.hub.published_llm import LLM
from espnet2_taste.hub.published_names import to_published
from espnet2_taste.nn.fusion import WeightedSumFusion
from espnet2_taste.taste.speech_decoder.interleaved_lm import InterleavedLMDecoder

#: of CosyVoice2-0.5B: width, feed-forward, heads, key and value heads, layers, text
#: vocabulary, units
PUBLISHED = (896, 4864, 14, 2, 24, 151936, 6561)
TINY = (128, 96, 2, 1, 2, 50, 20)


def shapes(width, ffn, heads, kv_heads, layers, vocab, units):
    """Name -> shape, as published; the LM's output layer is its text table."""
    lm, kv = "llm.model.model.", width // heads * kv_heads
    found = {
        "llm_embedding.weight": (2, width),
        "llm_decoder.weight": (units + 3, width),
        "llm_decoder.bias": (units + 3,),
        "speech_embedding.weight": (units + 3, width),
        "llm.model.lm_head.weight": (vocab, width),
        f"{lm}embed_tokens.weight": (vocab, width),
        f"{lm}norm.weight": (width,),
    }
    for i in range(layers):
        layer = f"{lm}layers.{i}."
        for name, size in {"q": width, "k": kv, "v": kv}.items():
            found[f"{layer}self_attn.{name}_proj.weight"] = (size, width)
            found[f"{layer}self_attn.{name}_proj.bias"] = (size,)
        found[f"{layer}self_attn.o_proj.weight"] = (width, width)
        found[f"{layer}mlp.gate_proj.weight"] = (ffn, width)
        found[f"{layer}mlp.up_proj.weight"] = (ffn, width)
        found[f"{layer}mlp.down_proj.weight"] = (width, ffn)
        found[f"{layer}input_layernorm.weight"] = (width,)
        found[f"{layer}post_attention_layernorm.weight"] = (width,)
    return found


def test_published_names_shapes_and_counts():
    config = {
        "model_type": "qwen2",
        "hidden_size": 896,
        "intermediate_size": 4864,
        "num_hidden_layers": 24,
        "num_attention_heads": 14,
        "num_key_value_heads": 2,
    }
    conf = {"lm_conf": {"config": config}}
    with torch.device("meta"):
        decoder = InterleavedLMDecoder(
            151936, 896, 6561, 192, WeightedSumFusion, **conf
        )
    found = {
        to_published(LLM, name): tuple(value.shape)
        for name, value in decoder.state_dict().items()
        if not name.startswith("fusion.")
    }
    wanted = shapes(*PUBLISHED)
    assert found == wanted and len(wanted) == 295
    own = sum(p.numel() for p in decoder.parameters()) - 2  # of the fusion
    assert own == 505_803_812


@pytest.fixture
def folder(tmp_path):
    """A made-up CosyVoice2-0.5B with its LM alone."""
    generator = torch.Generator().manual_seed(0)
    state = {k: torch.randn(s, generator=generator) for k, s in shapes(*TINY).items()}
    tables = "llm.model.lm_head.weight", "llm.model.model.embed_tokens.weight"
    state[tables[0]] = state[tables[1]]
    (tmp_path / "CosyVoice2").mkdir()
    torch.save(state, tmp_path / "CosyVoice2" / "llm.pt")
    (tmp_path / "CosyVoice2" / "campplus.onnx").write_bytes(b"campplus")
    return tmp_path / "CosyVoice2"


def read(path):
    return torch.load(path, weights_only=True)


def test_there_and_back(folder, convert):
    packed = convert(folder)
    conf = yaml.safe_load((packed / "speech_decoder" / "config.yaml").read_text())
    assert conf["speech_decoder"] == "interleaved_lm"
    decoder = InterleavedLMDecoder(
        conf["vocab_size"],
        6,
        conf["num_units"],
        192,
        WeightedSumFusion,
        **conf["speech_decoder_conf"],
    )
    state = read(packed / "speech_decoder" / "model.pth")
    state = {k.removeprefix("speech_decoder."): v for k, v in state.items()}
    absent, extra = decoder.load_state_dict(state, strict=False)
    assert not extra and all(name.startswith("fusion.") for name in absent)

    back = convert(packed, output="back")
    want, got = read(folder / "llm.pt"), read(back / "llm.pt")
    assert got.keys() == want.keys()
    assert all(torch.equal(got[name], want[name]) for name in want)
    heads = [got[f"llm.model.{n}.weight"] for n in ("lm_head", "model.embed_tokens")]
    assert heads[0].data_ptr() == heads[1].data_ptr()
    assert (back / "campplus.onnx").read_bytes() == b"campplus"


def test_another_output_layer_and_none(folder, convert):
    """Not tied it is kept; left out it is the table."""
    state = read(folder / "llm.pt")
    head = state.pop("llm.model.lm_head.weight")
    torch.save(state, folder / "llm.pt")
    made = read(convert(folder, output="none") / "speech_decoder" / "model.pth")
    assert torch.equal(made["speech_decoder.llm.lm.lm_head.weight"], head)
    torch.save(state | {"llm.model.lm_head.weight": head + 1}, folder / "llm.pt")
    packed = convert(folder, output="other")
    conf = yaml.safe_load((packed / "speech_decoder" / "config.yaml").read_text())
    config = conf["speech_decoder_conf"]["lm_conf"]["config"]
    assert config["tie_word_embeddings"] is False
    back = read(convert(packed, output="back") / "llm.pt")
    assert torch.equal(back["llm.model.lm_head.weight"], head + 1)


@pytest.mark.parametrize(
    "name, message",
    [
        ("llm_decoder.bias", r"missing \(1\): speech_decoder.llm_decoder.bias"),
        ("speech_embedding.weight", "it has no .*speech_embedding.weight"),
        ("llm.model.model.layers.1.mlp.up_proj.weight", "missing .*up_proj"),
    ],
)
def test_a_file_that_lacks_something(folder, convert, name, message):
    state = read(folder / "llm.pt")
    del state[name]
    torch.save(state, folder / "llm.pt")
    with pytest.raises(ValueError, match="llm.pt is no LM of CosyVoice 2: " + message):
        convert(folder)
