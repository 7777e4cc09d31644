import pytest
import torch

from espnet2_taste.taste.speech_decoder.abs_speech_decoder import Sampling
from espnet2_taste.taste.speech_decoder.sampling import UnitSampler


def test_batch_draws_what_single_items_draw():
    logits = torch.randn(300, 3, 40)
    seeds = [5, 0, 9]
    together = UnitSampler(Sampling(10, 1.3, seed=1), 3, "cpu", seeds)
    batch = [together(logits[t], t) for t in range(300)]  # beyond one block of uniforms
    for item, seed in enumerate(seeds):
        alone = UnitSampler(Sampling(10, 1.3, seed=1), 1, "cpu", [seed])
        single = [alone(logits[t, item : item + 1], t) for t in range(300)]
        assert torch.equal(torch.stack(batch)[:, item], torch.cat(single))


def test_draws_follow_the_renormalised_top_k():
    logits = torch.tensor([3.0, 2.0, 1.0, 0.0, -1.0]).expand(2000, -1)
    sampler = UnitSampler(Sampling(3, 2.0, seed=0), 2000, "cpu", list(range(2000)))
    units = torch.cat([sampler(logits, t) for t in range(5)])
    share = torch.bincount(units, minlength=5) / len(units)
    wanted = (logits[0, :3] / 2).softmax(0)
    assert share[3:].sum() == 0
    torch.testing.assert_close(share[:3], wanted, atol=0.02, rtol=0)


def test_never_draws_a_banned_unit():
    logits = torch.full((4, 6), -torch.inf)
    logits[:, 2] = 1.0
    sampler = UnitSampler(Sampling(25, seed=3), 4, "cpu")
    assert all((sampler(logits, t) == 2).all() for t in range(50))
    sampler.block = torch.ones(4, 256, 1)  # what rounding could do at worst
    assert (sampler(logits, 50) == 2).all()


def test_greedy_and_temperature():
    logits = torch.randn(4, 30)
    greedy = UnitSampler(Sampling(top_k=1), 4, "cpu")(logits, 0)
    cold = UnitSampler(Sampling(5, 1e-4, seed=0), 4, "cpu")(logits, 0)
    assert torch.equal(greedy, logits.argmax(-1))
    assert torch.equal(cold, greedy)


def test_without_a_seed_the_global_generator_decides():
    logits = torch.zeros(2, 1000)

    def draw():
        return UnitSampler(Sampling(1000), 2, "cpu")(logits, 0)

    torch.manual_seed(0)
    first, second = draw(), draw()
    torch.manual_seed(0)
    assert torch.equal(draw(), first)
    assert not torch.equal(first, second)
    assert first[0] != first[1]


@pytest.mark.parametrize(
    "sampling, seeds, message",
    [
        (Sampling(top_k=0), None, "top_k"),
        (Sampling(temperature=0.0), None, "top_k=1"),
        (Sampling(), [1, 2, 3], "3 item_seeds for 2 items"),
        (Sampling(top_p=0.0), None, "top_p must be in"),
        (Sampling(ras_window=-1), None, "ras_window -1"),
        (Sampling(ras_window=5, ras_tau=0.0), None, "ras_tau 0.0"),
    ],
)
def test_bad_settings(sampling, seeds, message):
    with pytest.raises(ValueError, match=message):
        UnitSampler(sampling, 2, "cpu", seeds)


NUCLEUS = Sampling(25, top_p=0.8, ras_window=4, ras_tau=0.25, seed=0)


def test_items_go_at_their_own_pace():
    """Each draws what it draws alone, whatever steps the others take."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 40, 12, generator=generator)
    active = torch.rand(90, 3, generator=generator) < 0.4
    sampler, made = UnitSampler(NUCLEUS, 3, "cpu", [1, 2, 3]), [[], [], []]
    for time, now in enumerate(active):
        step = torch.tensor([len(units) for units in made]).clamp(max=39)
        units = sampler(logits[torch.arange(3), step], time, now)
        for row, unit, draws in zip(made, units.tolist(), now, strict=True):
            row += [unit] if draws else []
    for item, row in enumerate(made):
        alone = UnitSampler(NUCLEUS, 1, "cpu", [item + 1])
        steps = range(min(len(row), 40))
        assert [int(alone(logits[item, t][None], t)) for t in steps] == row[:40]


def test_a_unit_that_was_just_drawn_is_drawn_again_only_if_it_is_all_there_is():
    likely = torch.zeros(50, 6)
    likely[:, 2] = 9.0
    sampler = UnitSampler(NUCLEUS, 50, "cpu", list(range(50)))
    assert (sampler(likely, 0) == 2).all()
    assert (sampler(likely, 1) != 2).all()
    only = torch.full((50, 6), -torch.inf)
    only[:, 2] = 0.0
    assert (sampler(only, 2) == 2).all()
