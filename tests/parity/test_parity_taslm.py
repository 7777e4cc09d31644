"""TASLM against the reference: inputs, losses, gradients, generation (d_*, e_*)."""

import json

import pytest
import torch

pytest.importorskip("peft")

from espnet2_taste.fusion import WeightedSumFusion  # noqa: E402
from espnet2_taste.taslm.backbone import HFCausalBackbone  # noqa: E402
from espnet2_taste.taslm.espnet_model import TaslmModel  # noqa: E402
from espnet2_taste.taslm.generation import Prompt, generate  # noqa: E402
from espnet2_taste.taslm.heads import LatentHead, TokenHead  # noqa: E402
from espnet2_taste.taslm.sampler import (  # noqa: E402
    SamplingOptions,
    Vocabulary,
    penalise_repetition,
    top_p_filter,
)
from espnet2_taste.taste.quantizer.rvq import ResidualVQQuantizer  # noqa: E402

HEADS = {"cont": "cont", "linear": "linear_last", "multi": "multi_linear_last"}


def assert_close(actual, expected, tolerance=1e-5):
    scale = expected.abs().max().clamp(min=1e-30)
    assert ((actual - expected).abs().max() / scale).item() < tolerance


def state_of(weights, prefix):
    return {
        k[len(prefix) :]: v.float() for k, v in weights.items() if k.startswith(prefix)
    }


def build_quantizer(parity):
    conf = parity.config["audio_tower_config"]["kwargs_for_quantizer"]
    quantizer = ResidualVQQuantizer(
        dim=conf["dim"],
        codebook_dim=conf["codebook_dim"],
        num_codebooks=conf["num_quantizers"],
        codebook_size=conf["codebook_size"],
    )
    state = state_of(parity.model, "audio_tower.vq.rvq.")
    state = {k: v for k, v in state.items() if not k.startswith("mlps.")}
    quantizer.load_state_dict(
        {k if k.startswith("project") else f"rvq.{k}": v for k, v in state.items()}
    )
    return quantizer


def build_model(parity, head="cont", **conf):
    slm = parity.config["spoken_lm_config"]
    text = {
        k: v for k, v in parity.config["text_config"].items() if k != "_name_or_path"
    }
    lora = slm["kwargs_for_lora"]
    lm = HFCausalBackbone(
        vocab_size=text["vocab_size"],
        config=text,
        lora={
            "r": lora["lora_r"],
            "lora_alpha": lora["lora_alpha"],
            "lora_dropout": lora["lora_dropout"],
        },
        sos_id=slm["sos_id"],
        rope_dtype="bfloat16",
    )
    quantizer = build_quantizer(parity)
    fusion = WeightedSumFusion(lm.size, quantizer.dim, project=True)
    if head == "cont":
        speech_head = LatentHead(lm.size, quantizer)
        weights = state_of(parity.model, "spoken_lm.extract_for_bridge_out_llm.")
        weights["logvar"] = weights.pop("b_logvar")
    else:
        speech_head = TokenHead(lm.size, quantizer, multi_linear=head == "multi")
        weights = state_of(parity.load("d_heads"), HEADS[head] + ".")
        weights.pop("b_logvar", None)
    speech_head.load_state_dict(weights)
    model = TaslmModel(
        lm, fusion, speech_head, quantizer, end_symbol=False, **conf
    ).eval()
    missing, unexpected = lm.lm.load_state_dict(
        state_of(parity.model, "spoken_lm.language_model."), strict=False
    )
    assert not unexpected and set(missing) <= {"base_model.model.lm_head.weight"}
    bridge = state_of(parity.model, "spoken_lm.fuse_for_bridge_in_llm.")
    fusion.load_state_dict(
        {k.replace("linear.", "audio_proj."): v for k, v in bridge.items()}
    )
    for name in ("text", "audio"):
        value = parity.model[f"spoken_lm.pad_{name}_unit_embed"].float()
        getattr(model.inputs, f"pad_{name}").data = value
    return model


def batch_of(parity):
    d = parity.load("d_spoken_lm")
    ids, word_ids = d["llm_token_ids"], d["llm_word_ids"].long()
    lengths = d["llm_token_lengths"].long()
    codes = d["llm_indices"]
    rows = codes[..., 0] >= 0
    taste = torch.nn.utils.rnn.pad_sequence(
        [c[r] for c, r in zip(codes, rows, strict=True)], batch_first=True
    )
    return d, (ids, lengths, word_ids, taste), rows.sum(1)


DELAYS = [
    ("word", 0),
    ("word", 1),
    ("word", 2),
    ("word", 3),
    ("token", 1),
    ("token", 3),
]


@pytest.mark.parametrize("level,delay", DELAYS, ids=[f"d2-{x}{y}" for x, y in DELAYS])
def test_inputs(parity, level, delay):
    expected = parity.load("d2_delays")
    model = build_model(parity, delay=delay, delay_level=level)
    inputs = model.assemble(*batch_of(parity)[1])
    name = f"delay{delay}_{level}_"
    assert torch.equal(inputs.lengths, expected[name + "output_lengths"].long())
    assert torch.equal(inputs.mask, expected[name + "attention_mask"])
    assert torch.equal(inputs.taste_labels, expected[name + "taste_labels"])
    assert_close(inputs.embeds, expected[name + "inputs_embeds"])


@pytest.mark.parametrize("kl", ["noref", "kl"])
@pytest.mark.parametrize("mode", ["eval", "train"])
@pytest.mark.parametrize("head", HEADS)
def test_losses(parity, head, mode, kl):
    d, batch, words = batch_of(parity)
    model = build_model(
        parity,
        head,
        reference_labels=True,
        text_kl_weight=0.9 if kl == "kl" else 0.0,
    )
    model.train(mode == "train")
    inputs = model.assemble(*batch)
    case = f"{head}_{mode}_"
    assert torch.equal(inputs.text_labels, d[case + "text_labels"])
    assert torch.equal(inputs.taste_labels, d["taste_labels"])
    output = model.lm(inputs.embeds, inputs.mask)
    mask = inputs.mask[..., None]
    logits = model.lm.logits(output.hidden)
    assert_close(logits * mask, d[case + "text_logits"] * mask)
    if kl == "kl":
        start = torch.full_like(batch[0][:, :1], model.lm.sos_id)
        ids = torch.cat([start, batch[0]], 1)
        read = torch.arange(ids.size(1)) <= batch[1][:, None]
        base = model.lm.base_hidden(model.lm.embed(ids), read)
        base = model.lm.logits(base, base=True)
        assert_close(base * read[..., None], d["ref_logits"] * read[..., None])
    options = {"noise": d["cont_train_eps"]} if head == "cont" else {}
    found = model.speech_head(
        output.hidden, inputs.taste_labels, model.quantizer, **options
    )
    text_loss, _ = model.text_loss(output.hidden, inputs, batch[0], batch[1])
    losses = json.loads((parity.folder / "index.json").read_text())
    losses = losses["cases"]["d_spoken_lm"]["losses"]
    loss = (text_loss + found.loss) / 2
    assert loss.item() == pytest.approx(losses[case + kl], rel=1e-5)
    if head == "cont":
        assert_close(output.hidden * mask, d["last_hidden_state"] * mask)
        argmax = d[case + "taste_argmax"]
        assert torch.equal(found.codes * mask, argmax * mask)
    else:
        logits = model.speech_head.logits(output.hidden)
        expected = d[case + "taste_logits"]
        assert_close(logits * mask[..., None], expected * mask[..., None])
        labelled = inputs.taste_labels[..., 0] >= 0
        log_probs = model.speech_head.log_probs(
            output.hidden[labelled], inputs.taste_labels[labelled], model.quantizer
        )
        assert_close(-log_probs.mean(0), d[f"{case}{kl}_taste_ce"])
    if kl == "noref":  # the recorded gradients are of this loss
        check_gradients(model, loss, d, case)
    if mode == "eval":  # the whole model says the same
        loss_again, stats, weight = model(*batch[:3], batch[1], batch[3], words)
        assert loss_again.item() == pytest.approx(losses[case + kl], rel=1e-5)
        assert weight.item() == len(batch[0])


def check_gradients(model, loss, d, case):
    layer = model.lm.causal_lm.base_model.layers[0]
    named = {
        "fuse_w": model.inputs.fusion.weights,
        "pad_audio": model.inputs.pad_audio,
        "pad_text": model.inputs.pad_text,
        "lora_B_q0": layer.self_attn.q_proj.lora_B["default"].weight,
    }
    for name, parameter in model.speech_head.named_parameters():
        named[f"head_{name.replace('logvar', 'b_logvar')}"] = parameter
    gradients = torch.autograd.grad(loss, list(named.values()))
    for name, gradient in zip(named, gradients, strict=True):
        assert_close(gradient, d[f"{case}grad_{name}"], 1e-4)


def reference_vocabulary(case, size):
    tables = []
    for name in ("word_start_set", "sentence_end_set", "ban_ids"):
        table = torch.zeros(size, dtype=torch.bool)
        table[case[name]] = True
        tables.append(table)
    return Vocabulary(*tables, blank=torch.zeros_like(tables[0]))


def action_names(run):
    """(text, codes, action) per step as the reference names them."""
    steps = []
    for s in range(run.text.size(1)):
        if bool(run.done[0, s]):
            action = "terminate"
        elif not bool(run.emitted[0, s]):
            action = "wait_for_taste"
        elif bool(run.starts[0, s]):
            action = "continue_at_word_start"
        else:
            action = "continue_not_at_word_start"
        steps.append((int(run.text[0, s]), run.codes[0, s].tolist(), action))
    return steps


def prompt_of(parity, name, mode):
    """The prompt of a run: the items of inputs.safetensors."""
    inputs = parity.load("inputs")
    item = 1 if name.endswith("1") else 0
    length = inputs["llm_token_lengths"][item].long()[None]
    count = int(length)
    ids = inputs["llm_token_ids"][item, :count][None]
    codes = parity.load("d_spoken_lm")["llm_indices"][item]
    return Prompt(
        mode=mode,
        text=ids,
        text_lengths=length,
        word_ids=inputs["llm_word_ids"][item, :count].long()[None],
        taste=codes[codes[:, 0] >= 0][None],
    )


RUNS = ["zero", "zero8", "text", "audio", "audio1"]


@pytest.mark.parametrize("use_cache", [True, False], ids=["cached", "uncached"])
@pytest.mark.parametrize("name", RUNS, ids=[f"e-{r}" for r in RUNS])
def test_generation(parity, name, use_cache):
    index = json.loads((parity.folder / "index.json").read_text())
    case = index["cases"]["e_generate"]
    expected = parity.load("e_generate")
    model = build_model(parity)
    options = SamplingOptions(
        extra_words=case["runs"][name]["extra_words"],
        end_symbol=False,
        first_starts_word=False,
    )
    vocabulary = reference_vocabulary(case, model.lm.vocab_size)
    prompt = prompt_of(parity, name, case["runs"][name]["mode"])
    run = generate(model, vocabulary, prompt, options, use_cache=use_cache)
    steps = [(t, c, a) for t, c, a, _ in map(tuple, case["runs"][name]["steps"])]
    assert action_names(run) == steps
    tokens, codes = run.words(0)
    ids = expected[f"{name}_llm_token_ids"][0].tolist()
    assert [t for word in tokens for t in word] == ids
    indices = expected[f"{name}_llm_indices"][0]
    assert torch.equal(codes, indices[indices[:, 0] >= 0])


@pytest.mark.parametrize("case_id", ["e-top_p", "e-repetition"])
def test_sampling(parity, case_id):
    e = parity.load("e_generate")
    filtered = top_p_filter(e["topp_in"], 0.8)
    if case_id == "e-top_p":
        assert torch.equal(filtered, e["topp_out_0.8"])
        return
    seen = torch.zeros_like(filtered, dtype=torch.bool)
    seen.scatter_(1, e["rep_input_ids"], True)
    penalised = penalise_repetition(filtered, seen, 1.3)
    assert torch.equal(penalised, e["rep_out_1.3_after_topp"])


def test_vocabulary(parity):
    """e-vocabulary: the tables from pieces agree with the reference's sets."""
    index = json.loads((parity.folder / "index.json").read_text())
    case = index["cases"]["e_generate"]
    pieces = json.loads((parity.folder / case["stub_vocab"]).read_text())
    special, end = case["special_start_id"], case["eot_id"]
    built = Vocabulary.build(
        len(pieces), special, pieces[:special].__getitem__, ban="non_latin"
    )
    expected = reference_vocabulary(case, len(pieces))
    assert torch.equal(built.starts_word, expected.starts_word)
    assert torch.equal(built.ends_sentence, expected.ends_sentence)
    # The reference bans one symbol by its id; here all ids without a piece are.
    expected.banned[special:] = True
    assert built.banned[end] and torch.equal(built.banned, expected.banned)
