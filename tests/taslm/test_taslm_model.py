import pytest
import torch

from espnet2_taste.taslm.gaussian_heads import GaussianHead
from espnet2_taste.text.view import TextView


def single(batch, i):
    n, w = int(batch["text_lengths"][i]), int(batch["taste_lengths"][i])
    out = {k: v[i : i + 1] for k, v in batch.items()}
    out["text"], out["word_ids"] = out["text"][:, :n], out["word_ids"][:, :n]
    out["taste"] = out["taste"][:, :w]
    return out


@pytest.mark.parametrize("level,delay", [("word", 0), ("word", 2), ("token", 2)])
@pytest.mark.parametrize("head", ["token", "latent"])
def test_padded_batch_is_the_weighted_mean_of_singles(
    make_model, batch, head, level, delay
):
    model = make_model(head, delay=delay, delay_level=level)
    _, stats, weight = model(**batch)
    assert weight == 3
    singles = [model(**single(batch, i))[1] for i in range(3)]
    # Text labels: the tokens and the end symbol; taste labels: the words.
    for name, count in (
        ("text_loss", batch["text_lengths"] + 1),
        ("taste_loss", batch["taste_lengths"]),
    ):
        values = torch.stack([s[name] for s in singles]).squeeze()
        mean = (values * count).sum() / count.sum()
        torch.testing.assert_close(stats[name].squeeze(), mean)


@pytest.mark.parametrize("delay", [1, 2])
def test_a_batch_without_start_symbols(make_taste2, token_batch, delay):
    """TASTE2's layout by hand; a batch is the weighted mean of single texts."""
    model = make_taste2(delay=delay)
    inputs = model.assemble(model.view(token_batch), token_batch["taste"])
    end, codes = model.lm.eos_id, token_batch["taste"][0]
    late = [-1] * delay
    assert inputs.text_labels[0].tolist() == [2, 3, 1, 4, end, *late]
    none = torch.tensor([-1, -1])
    rows = [*[none] * (delay - 1), *codes, none]
    assert torch.equal(inputs.taste_labels[0], torch.stack(rows))
    fusion, pad = model.inputs.fusion, model.inputs.pad_audio
    assert pad.shape == (model.lm.size,)  # not as wide as a TASTE vector
    text = model.lm.embed(token_batch["text"][0, :delay])
    torch.testing.assert_close(inputs.embeds[0, :delay], fusion.mix(text, pad))
    _, stats, _ = model(**token_batch)
    singles = [model(**single(token_batch, i))[1] for i in range(3)]
    count = token_batch["text_lengths"]
    for name in ("text_loss", "taste_loss"):
        values = torch.stack([s[name] for s in singles]).squeeze()
        mean = (values * count).sum() / count.sum()
        torch.testing.assert_close(stats[name].squeeze(), mean)


@pytest.mark.parametrize("granularity", ["word", "token"])
@pytest.mark.parametrize("delay", [1, 2])
def test_what_is_learned_of_a_dialogue(make_taste2, batch, granularity, delay):
    """Labels by hand: text and codes of the second turn, and the token that ends it."""
    model = make_taste2(granularity=granularity, delay=delay)
    none = [-1, -1]
    # template (9), a word of two tokens, template, a word of two tokens, its end, more
    text, words = [9, 2, 3, 9, 4, 5, 9, 8], [0, 1, 1, 2, 3, 3, 4, 5]
    rows = [none, [1, 1], none, [2, 2], none, none]
    if granularity == "token":
        rows = [none, [1, 1], [1, 2], none, [2, 2], [2, 3], none, none]
    learned = torch.tensor([[0, 0, 0, 0, 1, 1, 1, 0]])
    view = TextView.of(
        {
            "text": torch.tensor([text]),
            "text_lengths": torch.tensor([8]),
            "word_ids": torch.tensor([words]),
        },
        granularity,
    )
    taste = torch.tensor([rows])
    inputs = model.assemble(view, taste, learned)
    assert inputs.text_labels[0].tolist() == [-1] * 3 + [4, 5, 9] + [-1] * (2 + delay)
    labels = inputs.taste_labels[0].tolist()
    if granularity == "token":  # each predicted with the token delay - 1 after it
        expected = [none] * (3 + delay) + [[2, 2], [2, 3]] + [none] * 3
    else:  # with the first token of the word delay after it
        expected = [none] * (4 + delay) + [[2, 2]] + [none] * 3
    assert labels == expected
    # what nobody says is heard as a TASTE vector of zeros
    silent = model.inputs.fusion.project(torch.zeros(12))
    first = delay if granularity == "token" else words.index(delay)
    torch.testing.assert_close(inputs.audio[0, first], silent)
    assert not inputs.ended


def test_a_batch_of_dialogues(make_taste2, token_batch):
    """A batch is the weighted mean of single dialogues."""
    model = make_taste2()
    learned = torch.tensor([[0, 1, 1, 0, 1], [0, 1, 1, 0, 0], [1, 0, 0, 0, 0]])
    codes = token_batch["taste"].clone()
    codes[0, 1] = codes[2, 0] = -1
    data = token_batch | {"taste": codes, "learned": learned}
    stats = {k: v.squeeze() for k, v in model(**data)[1].items()}
    singles = []
    for i in range(2):  # of the third nothing is predicted
        size = token_batch["text_lengths"][i]
        one = single(data, i) | {"learned": learned[i : i + 1, :size]}
        singles.append({k: v.squeeze() for k, v in model(**one)[1].items()})
    for name, count in (("text_loss", [3, 2]), ("taste_loss", [2, 2])):
        values = torch.stack([s[name] for s in singles])
        count = torch.tensor(count)
        torch.testing.assert_close(stats[name], (values * count).sum() / count.sum())


@pytest.mark.parametrize("linear", [False, True])
def test_gaussian_loss_by_hand(make_taste2, linear):
    """As TASTE2 writes it; without training the mean over the noise."""
    quantizer = make_taste2().quantizer
    head = GaussianHead(4, quantizer, linear_variance=linear)
    hidden, noise = torch.randn(5, 4), torch.randn(5, 6)
    labels = torch.tensor([[0, 1], [2, 3], [7, 7], [4, 0], [-1, -1]])
    mu = head.fc_mu(hidden)
    logvar = head.logvar(hidden) if linear else head.logvar.expand_as(mu)
    target = quantizer.codes_to_latent(labels)
    square = (mu - target) ** 2
    kl = (logvar.exp() + square / logvar.exp() - 1 - logvar) / 2

    def expected(regression):
        return (regression / 2 + kl / 2)[:4].mean()

    drawn = head(hidden, labels, quantizer, noise=noise).loss
    z = mu + (logvar / 2).exp() * noise
    torch.testing.assert_close(drawn, expected((z - target) ** 2))
    head.eval()
    loss = head(hidden, labels, quantizer).loss
    torch.testing.assert_close(loss, expected(square + logvar.exp()))
    head.draw = False
    loss = head.train()(hidden, labels, quantizer).loss
    torch.testing.assert_close(loss, expected(square))


def test_gaussian_head_gives_what_it_draws(make_taste2):
    model = make_taste2()
    head, quantizer = model.speech_head, model.quantizer
    hidden, uniforms = torch.randn(3, 32), torch.rand(3, 6)
    codes, latents = head.sample(hidden, quantizer, uniforms)
    assert torch.equal(latents, head.fc_mu(hidden))
    assert torch.equal(codes, quantizer.latent_to_codes(latents))
    drawn = head.sample(hidden, quantizer, uniforms, top_p=1.0)[1]
    cold = head.sample(hidden, quantizer, uniforms, top_p=1.0, temperature=0.5)[1]
    torch.testing.assert_close(drawn - latents, 2 * (cold - latents))
    head.draw = False
    assert torch.equal(head.sample(hidden, quantizer, uniforms, 1.0)[1], latents)


@pytest.mark.parametrize("head", ["token", "latent", "gaussian"])
def test_statistics_of_codes_and_text(make_model, batch, head):
    """Names depend on the configuration only; values by their definitions."""
    model = make_model(head)
    stats = {k: v.squeeze() for k, v in model(**batch)[1].items()}
    names = {"loss", "text_loss", "text_ce", "text_acc", "taste_loss", "taste_ce"}
    assert set(stats) == names | {"taste_acc", "taste_acc0", "taste_acc1"}
    assert stats["text_ce"] == stats["text_loss"]  # without KL
    each = torch.stack([stats["taste_acc0"], stats["taste_acc1"]])
    torch.testing.assert_close(stats["taste_acc"], each.mean())
    inputs = model.assemble(model.view(batch), batch["taste"])
    states = model.lm(inputs.embeds).hidden[inputs.taste_labels[..., 0] >= 0]
    entries = torch.cartesian_prod(torch.arange(8), torch.arange(8))
    if head == "token":
        torch.testing.assert_close(stats["taste_ce"], stats["taste_loss"])
    else:  # probabilities of all pairs of codes sum to one
        for state in states[:2]:
            log_probs = model.speech_head.log_probs(
                state.expand(64, -1), entries, model.quantizer
            )
            total = log_probs.sum(-1).exp().sum()
            torch.testing.assert_close(total, torch.tensor(1.0))


def test_labels_of_tokens_by_hand(make_model, token_batch):
    """Codes per token, a token late: each position predicts those of the one before."""
    model = make_model(granularity="token", delay=1)
    inputs = model.assemble(model.view(token_batch), token_batch["taste"])
    codes, none = token_batch["taste"], torch.tensor([-1, -1])
    assert torch.equal(inputs.taste_labels[0], torch.stack([none, *codes[0], none]))
    assert torch.equal(
        inputs.taste_labels[1], torch.stack([none, *codes[1, :3], *[none] * 3])
    )
    _, stats, _ = model(**token_batch)
    singles = [model(**single(token_batch, i))[1] for i in range(3)]
    values = torch.stack([s["taste_loss"] for s in singles]).squeeze()
    count = token_batch["text_lengths"]
    mean = (values * count).sum() / count.sum()
    torch.testing.assert_close(stats["taste_loss"].squeeze(), mean)


def test_labels_by_hand(make_model, batch):
    model = make_model(delay=1)
    inputs = model.assemble(model.view(batch), batch["taste"])
    end = model.lm.eos_id
    assert inputs.text_labels.tolist() == [
        [1, 2, 3, 1, 4, end, -1],
        [5, 6, 7, end, -1, -1, -1],
        [8, end, -1, -1, -1, -1, -1],
    ]
    codes = batch["taste"]
    none = torch.tensor([-1, -1])
    first = [none, none, codes[0, 0], codes[0, 1], none, codes[0, 2], none]
    assert torch.equal(inputs.taste_labels[0], torch.stack(first))
    third = [none, codes[2, 0], *[none] * 5]
    assert torch.equal(inputs.taste_labels[2], torch.stack(third))
    assert inputs.lengths.tolist() == [7, 5, 3]


def test_quantizer_stays_frozen_and_in_eval_mode(make_model, batch):
    model = make_model()
    before = {k: v.clone() for k, v in model.quantizer.state_dict().items()}
    model.train()
    model(**batch)[0].backward()
    assert not model.quantizer.training
    assert all(p.grad is None for p in model.quantizer.parameters())
    for name, value in model.quantizer.state_dict().items():
        assert torch.equal(value, before[name])
    rest = {k: p for k, p in model.named_parameters() if p.requires_grad}
    assert [k for k, p in rest.items() if p.grad is None] == []


def test_text_kl_is_zero_for_a_fresh_lora(make_model, batch):
    config = {"model_type": "llama", "hidden_size": 32, "intermediate_size": 32}
    config |= {"num_hidden_layers": 1, "num_attention_heads": 2}
    lora = {"config": config, "lora": {"r": 2}}
    model = make_model(lm_conf=lora, text_kl_weight=0.9)
    model.inputs.fusion.weights.data = torch.tensor([-50.0, 50.0])  # text only
    stats = model(**batch)[1]
    torch.testing.assert_close(stats["text_kl"].squeeze(), torch.tensor(0.0))


@pytest.mark.parametrize("kl", [0.0, 0.5])
def test_text_scored_in_parts_is_the_same(make_model, batch, monkeypatch, kl):
    """Large vocabularies: loss and gradients as if all logits were held at once."""
    found = []
    for limit in (2**26, 36):  # 36: 3 tokens of the 12 at once
        monkeypatch.setattr("espnet2_taste.taslm.token_likelihood.MAX_LOGITS", limit)
        config = {"model_type": "llama", "hidden_size": 16, "intermediate_size": 16}
        config |= {"num_hidden_layers": 1, "num_attention_heads": 2}
        model = make_model(
            lm_conf={"config": config, "lora": {"r": 2}}, text_kl_weight=kl
        )
        loss, stats, _ = model.train()(**batch)
        loss.backward()
        trained = {k: p.grad for k, p in model.named_parameters() if p.requires_grad}
        found.append((loss, stats, trained))
    torch.testing.assert_close(found[0], found[1])


def test_what_is_trained(make_model):
    """The LM, the fusion, the pads and the head; never the quantizer."""
    model = make_model()
    names = {n.split(".")[0] for n, p in model.named_parameters() if p.requires_grad}
    assert names == {"lm", "inputs", "speech_head"}
    pads = [model.inputs.pad_text, model.inputs.pad_audio]
    assert sum(p.numel() for p in pads if p.requires_grad) == 32 + 12
    assert not make_model(delay=0).inputs.pad_text.requires_grad


@pytest.mark.parametrize(
    "conf,message",
    [
        ({"text_kl_weight": 0.9}, "needs lm_conf lora"),
        ({"loss_weights": [1.0, 1.0]}, "sum to 1"),
        ({"delay": -1}, "delay must be"),
        ({"start_symbol": False, "end_symbol": False}, "start_symbol: false needs"),
        ({"delay_level": "phone"}, "word or token"),
    ],
)
def test_wrong_settings_are_named(make_model, conf, message):
    with pytest.raises(ValueError, match=message):
        make_model(**conf)
