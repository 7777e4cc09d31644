import pytest
import torch

from espnet2_taste.nn.backbone import HFCausalBackbone

CONFIG = {
    "model_type": "llama",
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "tie_word_embeddings": True,
}


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    from transformers import AutoConfig, AutoModelForCausalLM

    folder = tmp_path_factory.mktemp("llama")
    config = {"vocab_size": 20, "bos_token_id": 18, "eos_token_id": [19, 3], **CONFIG}
    AutoModelForCausalLM.from_config(AutoConfig.for_model(**config)).save_pretrained(
        folder
    )
    return str(folder)


def wrap(backbone):
    return torch.nn.ModuleDict({"lm": backbone})


def test_only_lora_is_saved_and_the_base_comes_back(pretrained):
    model = wrap(HFCausalBackbone(18, model=pretrained, lora={"r": 2}))
    for parameter in model.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter)
    state = model.state_dict()
    assert state and all(".lora_" in name for name in state)
    again = wrap(HFCausalBackbone(18, model=pretrained, lora={"r": 2}))
    again.load_state_dict(state)
    x = torch.randn(2, 5, 16)
    torch.testing.assert_close(again["lm"](x).hidden, model["lm"](x).hidden)
    state.pop(next(iter(state)))
    with pytest.raises(RuntimeError, match="Missing key"):
        again.load_state_dict(state)


def test_the_base_is_the_same_weights_without_lora(pretrained):
    """The KL's target: no second copy of the weights."""
    plain = HFCausalBackbone(18, model=pretrained)
    alone = sum(p.numel() for p in plain.parameters())
    lora = {"r": 2, "lora_dropout": 0.5}
    backbone = HFCausalBackbone(18, model=pretrained, lora=lora).train()
    added = sum(p.numel() for n, p in backbone.named_parameters() if "lora_" in n)
    assert sum(p.numel() for p in backbone.parameters()) == alone + added
    trained = sum(p.numel() for p in backbone.parameters() if p.requires_grad)
    assert trained == added
    for parameter in backbone.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter)
    x, mask = torch.randn(2, 9, 16), torch.ones(2, 9, dtype=torch.bool)
    hidden = backbone.base_hidden(x, mask)
    assert not hidden.requires_grad and backbone.training
    torch.testing.assert_close(hidden, plain(x, mask).hidden)
    logits = backbone.logits(hidden, base=True)
    torch.testing.assert_close(logits, plain.logits(hidden))
    assert not torch.allclose(hidden, backbone.eval()(x, mask).hidden)


def test_the_base_has_no_adapter_at_its_output_either():
    config = CONFIG | {"tie_word_embeddings": False}
    lora = {"r": 2, "target_modules": ["q_proj", "lm_head"]}
    backbone = HFCausalBackbone(18, config=config, lora=lora).train()
    head = backbone.causal_lm.get_output_embeddings()
    torch.nn.init.normal_(head.lora_B["default"].weight)
    hidden = torch.randn(2, 16, requires_grad=True)
    base = backbone.logits(hidden, base=True)
    assert not base.requires_grad and backbone.logits(hidden).requires_grad
    torch.testing.assert_close(base, hidden @ head.base_layer.weight.T)
    assert not torch.allclose(base, backbone.logits(hidden))


@pytest.mark.parametrize(
    "family,conf",
    [
        ("llama", {}),
        ("qwen2", {}),
        ("gemma2", {"final_logit_softcapping": 0.5, "head_dim": 8}),
        ("granite", {"logits_scaling": 3.0}),
        ("cohere", {"logit_scale": 0.2}),
        ("gpt2", {"n_embd": 16, "n_layer": 1, "n_head": 2}),
    ],
)
def test_logits_are_those_of_the_whole_lm(family, conf):
    torch.manual_seed(0)
    config = CONFIG | {"model_type": family, "num_key_value_heads": 2} | conf
    backbone = HFCausalBackbone(18, config=config, lora={"r": 2}).eval()
    x = torch.randn(2, 3, 16)
    expected = backbone.causal_lm(inputs_embeds=x).logits
    torch.testing.assert_close(backbone.logits(backbone(x).hidden), expected)


def test_a_random_base_is_saved_even_when_frozen():
    backbone = HFCausalBackbone(18, config=CONFIG, lora={"r": 2})
    assert any("base_layer.weight" in name for name in backbone.state_dict())
    assert backbone.sos_id == 18 and backbone.eos_id == 19
    assert backbone.vocab_size == 20


def test_full_training_saves_everything(pretrained):
    backbone = HFCausalBackbone(18, model=pretrained)
    assert "lm.model.embed_tokens.weight" in backbone.state_dict()
    assert (backbone.sos_id, backbone.eos_id) == (18, 19)


def test_frozen_stays_in_eval_mode(pretrained):
    backbone = HFCausalBackbone(18, model=pretrained, freeze=True)
    assert not backbone.train().training and not backbone.state_dict()


def test_dtypes_survive_espnets_cast(pretrained):
    backbone = HFCausalBackbone(
        18, model=pretrained, lora={"r": 2}, dtype="bfloat16"
    ).to(dtype=torch.float32)
    dtypes = {
        name: p.dtype for name, p in backbone.named_parameters() if "_proj" in name
    }
    for name, dtype in dtypes.items():
        assert dtype == (torch.float32 if "lora" in name else torch.bfloat16)


def test_padding_side_and_cache_do_not_matter():
    torch.manual_seed(0)
    backbone = HFCausalBackbone(18, config=CONFIG).eval()
    x = torch.randn(1, 4, 16)
    padded = torch.cat([torch.zeros(1, 2, 16), x], 1)
    mask = torch.tensor([[0, 0, 1, 1, 1, 1]]).bool()
    expected = backbone(x).hidden
    torch.testing.assert_close(backbone(padded, mask).hidden[:, 2:], expected)
    first = backbone(padded[:, :4], mask[:, :4], use_cache=True)
    rest = backbone(padded[:, 4:], mask, first.cache, use_cache=True)
    torch.testing.assert_close(rest.hidden, expected[:, 2:])


@pytest.mark.parametrize(
    "conf,message",
    [
        ({}, "either `model` or `config`"),
        ({"config": CONFIG | {"vocab_size": 9}, "sos_id": 1, "eos_id": 2}, "embeds 9"),
        ({"config": CONFIG, "sos_id": 40}, "outside"),
        ({"config": CONFIG, "lora": {"target_modules": ["qproj"]}}, "qproj.*not found"),
        ({"config": CONFIG, "lora": {"use_dora": True}}, "remove use_dora"),
    ],
)
def test_wrong_settings_are_named(conf, message):
    with pytest.raises(ValueError, match=message):
        HFCausalBackbone(18, **conf)


def test_a_merged_adapter_is_part_of_the_base(pretrained):
    """A new one begins at nothing; what is saved brings all of it back."""
    torch.manual_seed(0)
    first = HFCausalBackbone(18, model=pretrained, lora={"r": 2}).eval()
    for parameter in first.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter)
    x = torch.randn(2, 5, 16)
    want, plain = first(x).hidden, HFCausalBackbone(18, model=pretrained)
    assert not torch.allclose(want, plain(x).hidden, atol=1e-2)
    options = {"model": pretrained, "lora": {"r": 3}, "save_base": True}
    second = HFCausalBackbone(18, base=first.merged(), **options).eval()
    torch.testing.assert_close(second(x).hidden, want, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(second.base_hidden(x), second(x).hidden)
    trained = [n for n, p in second.named_parameters() if p.requires_grad]
    assert trained and all(".lora_" in name for name in trained)
    for name in trained:
        torch.nn.init.normal_(second.get_parameter(name))
    again = HFCausalBackbone(18, **options).eval()
    again.load_state_dict(second.state_dict())
    torch.testing.assert_close(again(x).hidden, second(x).hidden)
    assert not torch.allclose(again(x).hidden, want, atol=1e-2)
    whole = HFCausalBackbone(18, model=pretrained, base=again.merged(), save_base=True)
    torch.testing.assert_close(
        whole.eval()(x).hidden, again(x).hidden, atol=1e-5, rtol=1e-5
    )
    assert all(p.requires_grad for p in whole.parameters())


def test_adapters_that_cannot_be_merged(pretrained):
    with pytest.raises(ValueError, match="it has no LoRA"):
        HFCausalBackbone(18, model=pretrained).merged()
    lora = {"r": 2, "target_modules": ["q_proj", "embed_tokens"]}
    with pytest.raises(ValueError, match="adapts the table of tokens, which is"):
        HFCausalBackbone(18, model=pretrained, lora=lora).merged()
