"""Orders of convergence, and that Euler's rule is the published one."""

import math

import pytest
import torch
from tiny_vocoder import TINY, TINY2, tiny_voice_generator, tiny_voice_generator2

from espnet2_taste.vocoder.cosyvoice.cfm import ConditionalFlowMatching
from espnet2_taste.vocoder.cosyvoice.solvers import SOLVERS, evaluation_times, solve
from espnet2_taste.vocoder.cosyvoice.vocoder import CosyVoiceVocoder
from espnet2_taste.vocoder.cosyvoice2.vocoder import CosyVoice2Vocoder


def error(solver, count):
    """Of dx/dt = cos(3 t) - x, x(0) = 1, at t = 1, on the flow's own times."""
    flow = ConditionalFlowMatching(torch.nn.Identity(), num_steps=count)
    times, steps = (part.double() for part in flow.schedule())
    asked = evaluation_times(solver, times, steps)
    found = solve(
        solver,
        lambda x, index: torch.cos(3 * asked[index]) - x,
        torch.ones((), dtype=torch.double),
        steps.tolist(),
    )
    # x = (cos 3t + 3 sin 3t) / 10 + c exp(-t)
    want = (math.cos(3) + 3 * math.sin(3)) / 10 + 0.9 * math.exp(-1)
    return abs(float(found) - want)


@pytest.mark.parametrize(
    "solver,order", [("euler", 1), ("midpoint", 2), ("heun", 2), ("adams", 2)]
)
def test_order_of_convergence(solver, order):
    errors = [error(solver, count) for count in (20, 40, 80)]
    for coarse, fine in zip(errors, errors[1:], strict=False):
        assert math.log2(coarse / fine) == pytest.approx(order, abs=0.15)
    assert errors[0] < 0.03 and set(SOLVERS) == {"euler", "midpoint", "heun", "adams"}


def test_euler_is_the_published_loop():
    flow = tiny_voice_generator().flow
    torch.manual_seed(0)
    mu, cond, noise = torch.randn(3, 2, flow.mel_size, 9).unbind()
    speaker, decoder = torch.randn(2, flow.mel_size), flow.decoder
    assert (decoder.solver, decoder.num_steps, decoder.evaluations) == ("euler", 10, 10)
    with torch.no_grad():
        x, g = noise, decoder.guidance
        times, steps = decoder.schedule()
        table = decoder.estimator.time_table(times)
        zeros = [torch.zeros_like(part) for part in (mu, speaker, cond)]
        for i, step in enumerate(steps.tolist()):
            twice = [
                torch.cat(pair) for pair in zip((mu, speaker, cond), zeros, strict=True)
            ]
            both = decoder.estimator(
                torch.cat([x, x]), twice[0], table[i : i + 1], *twice[1:], None
            )
            conditional, free = both.chunk(2)
            x = x + step * ((1 + g) * conditional - g * free)
        assert decoder(mu, speaker, cond, noise).equal(x)


@pytest.mark.parametrize("solver", ["midpoint", "heun", "adams"])
def test_batches_and_streams_are_what_they_are_with_euler(solver):
    model = tiny_voice_generator()
    model.flow.decoder.solver, model.flow.decoder.num_steps = solver, 2
    units = [torch.arange(8), torch.arange(5) + 3]
    speaker = torch.randn(2, TINY["flow_conf"]["spk_embed_dim"])
    vocoder = CosyVoiceVocoder(model)
    alone = vocoder(units[1:], speaker[1:])[0]
    torch.testing.assert_close(vocoder(units, speaker)[1], alone, rtol=1e-4, atol=1e-4)

    model = tiny_voice_generator2()
    model.flow.decoder.solver, model.flow.decoder.num_steps = solver, 2
    vocoder = CosyVoice2Vocoder(model, chunked=True)
    units = torch.randint(TINY2["flow_conf"]["num_units"], (1, 11))
    speaker = torch.randn(1, TINY2["flow_conf"]["spk_embed_dim"])
    session = vocoder.open_streams(speaker)
    made = [session.push([part])[0] for part in units[0].split(4)]
    made.append(session.finish()[0])
    whole = vocoder(list(units), speaker)[0]
    torch.testing.assert_close(torch.cat(made), whole, rtol=1e-4, atol=1e-4)


def test_an_unknown_solver_is_named():
    with pytest.raises(ValueError, match="solver 'rk4' is not one of euler, midpoint"):
        ConditionalFlowMatching(torch.nn.Identity(), solver="rk4")
