"""WORLD synthesis of features in pieces."""

from unittest import mock

import numpy as np
import pytest

from espnet2_taste.units import world
from espnet2_taste.units.world_stream import FADE, FUTURE, WorldStream

T, C = 90, 24


def features(level=-9.0, voiced=True):
    """A voice of changing pitch and timbre; perhaps with unvoiced stretches."""
    rng = np.random.default_rng(3)
    x = np.zeros((T, world.NUM_PITCH + C), np.float32)
    x[:, :2] = np.log(130 + 40 * np.sin(np.arange(2 * T) / 17)).reshape(T, 2)
    x[:, 2:4] = 1
    if not voiced:
        x[:, 2:4] = np.repeat(rng.random(36) < 0.7, 5).reshape(T, 2)
    x[:, 4] = level + np.sin(np.arange(T) / 7)
    x[:, 5:] = 0.02 * rng.normal(size=(T, C - 1)).cumsum(0)
    return x


def stream(x, size):
    one, made = WorldStream(), []
    for start in range(0, len(x), size):
        made.append(one.push(x[start : start + size], start + size >= len(x)))
    return made


def without_noise():
    def nothing(voiced, num_bins):
        return np.full((len(voiced), num_bins), 1e-6)

    return mock.patch.object(world, "_aperiodicity", nothing)


@pytest.mark.parametrize("size", [1, 4, 13, 100])
def test_a_voice_is_that_of_the_whole(size):
    x = features()
    with without_noise():
        whole, made = world.synthesise(x), stream(x, size)
    np.testing.assert_allclose(np.concatenate(made), whole, atol=3e-4)
    behind = (1 + FUTURE) * world.F0_SHIFT + FADE
    heard = np.cumsum([len(wav) for wav in made[:-1]])
    for pieces, samples in enumerate(heard, 1):
        assert samples == max(pieces * size * world.FRAME_SHIFT - behind, 0)


@pytest.mark.parametrize("size", [1, 3, 13])
def test_seams_have_no_steps(size):
    """Where both sides are voiced, a piece goes on as the one before it began to."""
    x, seams, render = features(voiced=False), [], world.render
    voiced = x[:, 2:4].ravel() > 0.5

    class Watched(WorldStream):
        def _render(self, end, last):
            tail, done, first = self.tail, self.done, self.first
            rendered = []

            def rendering(*parameters):
                rendered.append(render(*parameters))
                return rendered[0].copy()

            with mock.patch.object(world, "render", rendering):
                wav = super()._render(end, last)
            start = done - first * world.F0_SHIFT
            if len(tail) and voiced[done // world.F0_SHIFT - 5 :][:11].all():
                again = rendered[0][start : start + len(tail)]
                seams.append(np.abs(again - tail).max())
            return wav

    with without_noise(), mock.patch(f"{__name__}.WorldStream", Watched):
        stream(x, size)
    assert seams and max(seams) < 3e-4


def test_noise_is_another_draw_of_the_same():
    x = features(voiced=False)
    whole, made = world.synthesise(x), np.concatenate(stream(x, 7))
    assert len(made) == len(whole)
    power = [np.square(wav).reshape(-1, 3200).mean(1) for wav in (whole, made)]
    np.testing.assert_allclose(*power, rtol=0.35)
    assert np.array_equal(np.concatenate(stream(x, T)), whole)  # one piece


def test_what_would_clip_is_made_quieter_without_steps():
    x = features(level=-3.0)
    made = np.concatenate(stream(x, 5))
    assert 0.8 < np.abs(made).max() <= 1
    quiet = np.concatenate(stream(features(level=-12.0), 5))
    peaks = [np.abs(wav).reshape(-1, 3200).max(1) for wav in (made, quiet)]
    share = peaks[0] / peaks[1]
    assert (np.diff(share) < 0.05 * share[:-1]).all()  # never louder again


def test_nothing_at_all():
    one = WorldStream()
    none = np.zeros((0, world.NUM_PITCH + C), np.float32)
    assert len(one.push(none)) == len(one.push(none, last=True)) == 0
