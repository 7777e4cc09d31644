"""Streams of the `cosyvoice2` vocoder give what one pass over the whole gives."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_vocoder import SPEAKER, UNITS, tiny_voice_generator2
from torch.utils.flop_counter import FlopCounterMode

from espnet2_taste.vocoder.cosyvoice.vocoder import Prompt
from espnet2_taste.vocoder.cosyvoice2.hift_streams import HiFTStreams
from espnet2_taste.vocoder.cosyvoice2.vocoder import CosyVoice2Vocoder

LENGTHS = [13, 2, 0, 31]
SEEDS = [3, 1, 4, 1]
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def vocoder():
    return CosyVoice2Vocoder(tiny_voice_generator2(), chunked=True)


@pytest.fixture(scope="module")
def batch():
    torch.manual_seed(1)
    units = [torch.randint(0, UNITS, (n,)) for n in LENGTHS]
    return units, torch.randn(len(units), SPEAKER)


@pytest.fixture(scope="module")
def prompts():
    torch.manual_seed(2)
    return [
        Prompt(torch.randint(0, UNITS, (n,)), torch.randn(frames, 80))
        for n, frames in [(7, 14), (5, 11), (3, 6), (1, 4)]
    ]


def stream(vocoder, units, speakers, sizes, ends_with_last=False, **options):
    """All that the streams of a session give; ``sizes``: units of each push."""
    session, parts = vocoder.open_streams(speakers, **options), [[] for _ in units]
    done = [0] * len(units)

    def take(wavs):
        for part, wav in zip(parts, wavs, strict=True):
            part.append(wav)

    for push in sizes:
        new = [u[d : d + n] for u, d, n in zip(units, done, push, strict=True)]
        done = [d + len(n) for d, n in zip(done, new, strict=True)]
        whole = [d == len(u) for u, d in zip(units, done, strict=True)]
        take(session.push(new, whole if ends_with_last else None))
    left = [u[d:] for u, d in zip(units, done, strict=True)]
    if any(map(len, left)):
        take(session.push(left))
    take(session.finish())
    return [torch.cat(part) for part in parts]


def assert_near(wavs, expected):
    for wav, want in zip(wavs, expected, strict=True):
        assert wav.shape == want.shape and wav.dtype == torch.float32
        if len(want):
            assert (wav - want).abs().max() < TOLERANCE


def make(chunk, left):
    model = tiny_voice_generator2(chunk=chunk, num_steps=2, left_chunks=left)
    return CosyVoice2Vocoder(model, chunked=True)


pushes = st.lists(st.tuples(*4 * [st.integers(0, 12)]), max_size=5)


lefts = st.sampled_from([None, 0, 1, 2])


@given(pushes, st.booleans(), st.booleans(), st.integers(1, 9), lefts)
@settings(max_examples=14, deadline=None, derandomize=True)
def test_any_pieces_of_any_chunks(
    batch, prompts, sizes, prompted, at_once, chunk, left
):
    options = {"item_seeds": SEEDS} | ({"prompts": prompts} if prompted else {})
    vocoder = make(chunk, left)
    whole = vocoder(*batch, **options)
    assert_near(stream(vocoder, *batch, sizes, at_once, **options), whole)


def test_many_streams_are_single_ones(vocoder, batch, prompts):
    units, speakers = batch
    options = {"item_seeds": SEEDS, "prompts": prompts}
    together = stream(vocoder, *batch, [(4, 2, 0, 9), (9, 0, 0, 3)], **options)
    for i, wav in enumerate(together):
        one = {name: [values[i]] for name, values in options.items()}
        alone = stream(vocoder, units[i : i + 1], speakers[i : i + 1], [(6,)], **one)
        assert_near(alone, [wav])


def test_sound_comes_before_the_end(vocoder, batch):
    units, speakers = batch[0][3], batch[1][3]
    session, counts = vocoder.open_stream(speakers), []
    for unit in units:
        counts.append(len(session.push(unit[None])))
    chunk, ahead = 5, 3
    came = [i + 1 for i, count in enumerate(counts) if count]
    # HiFT holds some frames back; after that each chunk gives its own
    held = vocoder.model.hift.reach + 6
    first = next(n for n in came)
    assert first == -(-(held + 1) // (2 * chunk)) * chunk + ahead
    assert set(counts[first:]) == {0, 2 * chunk * 480}
    rest = session.finish()
    assert sum(counts) + len(rest) == len(units) * 960


@pytest.mark.parametrize("left", [None, 2])
def test_a_chunk_costs_what_the_one_before_did(left):
    """Multiplications of layers: the 16th chunk has those of the 8th."""
    torch.manual_seed(3)
    session, costs = make(5, left).open_stream(torch.randn(SPEAKER)), {}
    for index in range(17):
        new = torch.randint(0, UNITS, (5,))
        if index not in (8, 16):
            session.push(new)
            continue
        with FlopCounterMode(display=False) as counter:
            session.push(new)
        costs[index] = counter.get_flop_counts()["Global"]
    if left is not None:
        assert costs[8] == costs[16]
        return
    layers = {torch.ops.aten.addmm, torch.ops.aten.mm, torch.ops.aten.convolution}
    for op, count in costs[8].items():
        if op in layers:
            assert costs[16][op] == count
        else:  # attention looks at twice the past, and no more than that
            assert count < costs[16][op] <= 2 * count


def test_a_bounded_past_is_another_sound(batch):
    far, near = (make(2, left)(*batch)[3] for left in (None, 1))
    assert (far - near).abs().max() > 1e-3
    with pytest.raises(ValueError, match="left_chunks must be 0, more or None, got -1"):
        make(2, -1)


def test_hift_reaches_no_further(vocoder):
    """What lies beyond ``reach`` frames changes nothing; the last one within does."""
    torch.manual_seed(4)
    hift = tiny_voice_generator2().hift.double()
    mel = torch.randn(1, 80, 60).double()
    source = torch.rand(1, 60 * 480).double() - 0.5
    expected, middle = hift.decode(mel, source), 30 - hift.reach
    mel[..., 30:], source[:, 30 * 480 :] = 1.0, 0.5
    changed = (hift.decode(mel, source) != expected)[0].nonzero()[0] / 480
    assert middle <= float(changed) < middle + 2


def test_hift_forgets(vocoder):
    noise = vocoder.new_noise(0)
    streams = HiFTStreams(vocoder.model.hift, [noise], torch.zeros(80, 0))
    with torch.no_grad():
        for _ in range(12):
            streams.push([[torch.randn(80, 10)]], [False])
    assert streams.streams[0].mel.size(1) < 70


def test_errors_leave_the_streams_alone(vocoder, batch):
    units, speakers = batch
    with pytest.raises(ValueError, match="2 prompts for 4 streams"):
        vocoder.open_streams(speakers, prompts=[None, None])
    bad = Prompt(torch.zeros(3).long(), torch.zeros(6, 79))
    with pytest.raises(ValueError, match=r"mel must be \(frames, 80\), not \(6, 79\)"):
        vocoder.open_stream(speakers[0], prompts=bad)
    session = vocoder.open_streams(speakers[:2])
    session.push([units[0], units[3]])
    with pytest.raises(ValueError, match=rf"units must lie in \[0, {UNITS}\)"):
        session.push([units[0], torch.tensor([UNITS])])
    wavs = session.finish()
    assert all(len(wav) for wav in wavs)
    with pytest.raises(ValueError, match="stream 0 has ended"):
        session.push([units[0], None])


def test_an_utterance_of_nothing_but_its_prompt(vocoder, prompts):
    session = vocoder.open_stream(torch.randn(SPEAKER), prompts=prompts[0])
    assert len(session.finish()) == 0
