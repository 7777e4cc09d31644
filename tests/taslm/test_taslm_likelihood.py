import math

import pytest
import torch
from rows import cut

from espnet2_taste.taslm.likelihood import likelihood
from espnet2_taste.text.view import TextView


def rows_of(model, batch, rows):
    """The model's view of some utterances, and their codes."""
    batch, taste = cut(batch, list(rows))
    return model.view(batch), taste


def columns(scores):
    names = ("score", "score_sum", "loss", "text_ce", "code_ce", "latent_ce")
    return {name: getattr(scores, name) for name in names}


@pytest.mark.parametrize("multi_linear", [False, True])
def test_a_model_that_knows_nothing_is_uniform(make_model, batch, multi_linear):
    model = make_model(end_symbol=False)
    model.speech_head.multi_linear = multi_linear
    for layer in (model.lm.lm.lm_head, model.speech_head.linear):
        torch.nn.init.zeros_(layer.weight)
    torch.nn.init.zeros_(model.speech_head.linear.bias)
    found = likelihood(model, *rows_of(model, batch, range(3)))
    text, code = math.log(model.lm.vocab_size), math.log(8)
    assert found.tokens.tolist() == [5, 3, 1] and found.segments.tolist() == [3, 3, 1]
    torch.testing.assert_close(found.text_ce, torch.full((3,), text))
    torch.testing.assert_close(found.code_ce, torch.full((3, 2), code))
    torch.testing.assert_close(found.score, torch.full((3,), -text - 2 * code))
    expected = -found.tokens * text - found.segments * 2 * code
    torch.testing.assert_close(found.score_sum, expected)
    assert found.latent_nll.isnan().all()
    if not multi_linear:
        torch.testing.assert_close(found.loss, torch.full((3,), (text + code) / 2))


def test_the_end_symbol_is_part_of_the_text(make_model, batch):
    model = make_model(end_symbol=True)
    torch.nn.init.zeros_(model.lm.lm.lm_head.weight)
    found = likelihood(model, *rows_of(model, batch, range(3)))
    assert found.tokens.tolist() == [6, 4, 2]
    expected = found.tokens * math.log(model.lm.vocab_size)
    torch.testing.assert_close(found.text_nll, expected)


def test_latent_head_by_hand(make_model, batch):
    """A fixed Gaussian: its density, and each codebook's entries under it."""
    model = make_model("latent")
    head, books = model.speech_head, model.quantizer.codebooks
    torch.nn.init.zeros_(head.fc_mu.weight)
    head.fc_mu.bias.data = torch.linspace(-1, 1, 6)
    head.logvar.data = torch.linspace(-2, 1, 6)
    mu, sigma = head.fc_mu.bias, (head.logvar / 2).exp()
    found = likelihood(model, *rows_of(model, batch, range(3)))
    for item, words in enumerate((3, 3, 1)):
        density, first, second = 0.0, 0.0, 0.0
        for k, j in batch["taste"][item, :words].tolist():
            normal = torch.distributions.Normal(mu, sigma)
            density += normal.log_prob(books[0, k] + books[1, j]).sum()
            first += normal.log_prob(books[0]).sum(-1).log_softmax(0)[k]
            second += normal.log_prob(books[0, k] + books[1]).sum(-1).log_softmax(0)[j]
        torch.testing.assert_close(found.latent_nll[item], -density)
        expected = -torch.stack([first, second])
        torch.testing.assert_close(found.code_nll[item], expected)


@pytest.mark.parametrize("head", ["token", "latent"])
def test_loss_is_the_training_loss_of_the_utterance(make_model, batch, head):
    model = make_model(head, loss_weights=[0.3, 0.7])
    found = likelihood(model, *rows_of(model, batch, range(3)))
    for item in range(3):
        one, taste = cut(batch, [item])
        one["taste_lengths"] = batch["taste_lengths"][item : item + 1]
        loss = model(**one, taste=taste)[0].squeeze()
        torch.testing.assert_close(found.loss[item], loss, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("level,delay", [("word", 1), ("word", 0), ("token", 2)])
@pytest.mark.parametrize("head", ["token", "latent"])
def test_batch_and_order_do_not_matter(make_model, batch, head, level, delay):
    model = make_model(head, delay=delay, delay_level=level)
    together = columns(likelihood(model, *rows_of(model, batch, [2, 0, 1])))
    for place, item in enumerate([2, 0, 1]):
        alone = columns(likelihood(model, *rows_of(model, batch, [item])))
        for name, value in together.items():
            torch.testing.assert_close(
                value[place], alone[name][0], rtol=1e-5, atol=1e-5, equal_nan=True
            )


@pytest.mark.parametrize("level,delay", [("word", 1), ("word", 0), ("token", 2)])
@pytest.mark.parametrize("head", ["token", "latent"])
def test_all_utterances_of_a_word_are_certain_together(make_model, head, level, delay):
    """p(text, codes) of every token with every code of two books sums to one."""
    model = make_model(head, end_symbol=False, delay=delay, delay_level=level)
    text, *codes = torch.cartesian_prod(
        torch.arange(model.lm.vocab_size), torch.arange(8), torch.arange(8)
    ).T
    ones, taste = torch.ones_like(text), torch.stack(codes, -1)[:, None]
    text = TextView(text[:, None], ones, ones[:, None] - 1)
    found = likelihood(model, text, taste)
    total = found.score_sum.double().exp().sum()
    assert total.item() == pytest.approx(1, abs=1e-5)
