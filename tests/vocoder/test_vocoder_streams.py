"""Vocoders while units arrive."""

import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet2_taste.units.unit_spec import UnitSpec
from espnet2_taste.units.world_vq import WorldVQ
from espnet2_taste.vocoder.abs_vocoder import AbsVocoder
from espnet2_taste.vocoder.world_vq import WorldVQVocoder

SPEAKERS = torch.zeros(3, 4)


class Tones(AbsVocoder):
    """Two samples a unit; needs the whole utterance, whose mean it takes away."""

    sample_rate = 8000
    unit_spec = UnitSpec(16, 4000.0, 8000)
    spk_embed_dim = 4

    @classmethod
    def from_pretrained(cls, path, device="cpu"):
        return cls()

    @classmethod
    def pack(cls, path, folder):
        pass

    def __call__(self, units, spk_emb, gains=None):
        self.check(units, spk_emb)
        gains = gains or [1.0] * len(units)
        wavs = [item.repeat_interleave(2).float() / 16 for item in units]
        return [
            gain * (wav - wav.mean()) for wav, gain in zip(wavs, gains, strict=True)
        ]


def test_streams_of_a_vocoder_that_needs_all_units():
    vocoder, gains = Tones(), [1.0, 0.5, 0.2]
    units = [torch.arange(5), torch.arange(3), torch.tensor([7, 1])]
    whole = vocoder(units, SPEAKERS, gains)
    streams = vocoder.open_streams(SPEAKERS, gains=gains)
    first = streams.push([units[0][:2], units[1], None], [False, True, False])
    assert [len(wav) for wav in first] == [0, 6, 0]
    second = streams.push([units[0][2:], None, units[2]])
    assert not any(len(wav) for wav in second)
    third = streams.finish()
    for i, wav in enumerate(whole):
        assert torch.equal(torch.cat([first[i], second[i], third[i]]), wav)
    assert not any(len(wav) for wav in streams.finish())


def test_one_stream_without_lists():
    stream = Tones().open_stream(SPEAKERS[0], gains=0.5)
    assert len(stream.push(torch.arange(3))) == 0
    wav = stream.push(torch.arange(3), last=True)
    whole = Tones()([torch.arange(3).repeat(2)], SPEAKERS[:1], [0.5])[0]
    assert torch.equal(wav, whole)


def test_what_does_not_fit_leaves_the_other_streams_alone():
    streams = Tones().open_streams(SPEAKERS[:2])
    streams.push([torch.arange(3), torch.arange(2)], [False, True])
    with pytest.raises(ValueError, match=r"units must lie in \[0, 16\)"):
        streams.push([torch.tensor([16]), None])
    with pytest.raises(ValueError, match="must be .* integers"):
        streams.push([torch.zeros(2), None])
    with pytest.raises(ValueError, match="stream 1 has ended"):
        streams.push([None, torch.arange(2)])
    with pytest.raises(ValueError, match="1 pieces and 2 ends for 2 streams"):
        streams.push([None], [True, True])
    assert len(streams.finish()[0]) == 6
    with pytest.raises(ValueError, match="speaker embeddings are"):
        Tones().open_streams(torch.zeros(2, 5))
    with pytest.raises(ValueError, match="at least one stream"):
        Tones().open_streams(SPEAKERS[:0])


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 999))
def test_world_vq_decodes_each_unit_as_in_the_whole(seed):
    """Features are equal; what WORLD makes of them: tests/units/test_world_stream."""
    rng = random.Random(seed)
    torch.manual_seed(0)
    model = WorldVQ(num_units=16, num_ceps=8, spk_embed_dim=4, hidden_size=16).eval()
    model.quantizer.codebook.normal_()
    vocoder, pushed = WorldVQVocoder(model), [[], [], []]
    units = [torch.randint(16, (n,)) for n in (40, 1, 17)]
    speakers = torch.randn(3, 4)
    whole = vocoder.features(units, speakers)
    streams = vocoder.open_streams(speakers)
    for row, one in enumerate(streams.world):
        one.push = lambda x, last, row=row: pushed[row].append((x, last)) or x[:, 0]
    waiting = [list(item.split(rng.randint(1, 12))) for item in units]
    while any(waiting):
        comes = [bool(w) and rng.random() < 0.6 for w in waiting]
        pairs = list(zip(waiting, comes, strict=True))
        items = [w.pop(0) if c else None for w, c in pairs]
        streams.push(items, [c and not w and rng.random() < 0.5 for w, c in pairs])
    streams.finish()
    for features, parts in zip(whole, pushed, strict=True):
        made = torch.cat([torch.from_numpy(x) for x, _ in parts])
        torch.testing.assert_close(made, features, atol=1e-5, rtol=0)
        assert [last for _, last in parts] == [False] * (len(parts) - 1) + [True]
    held = [len(item) for item in streams.held]
    assert max(held) <= 2 * model.reach + 12  # no more to read at each push


def test_world_vq_is_heard_before_its_end():
    model = WorldVQ(num_units=16, num_ceps=8, spk_embed_dim=4, hidden_size=16).eval()
    vocoder = WorldVQVocoder(model)
    units = torch.randint(16, (60,))
    stream = vocoder.open_stream(SPEAKERS[0])
    chunks = [stream.push(item) for item in units.split(10)]
    chunks.append(stream.finish())
    assert sum(map(len, chunks)) == len(vocoder([units], SPEAKERS[:1])[0]) == 60 * 640
    assert all(len(chunk) == 6400 for chunk in chunks[1:-1])
    assert all(chunk.dtype == torch.float32 for chunk in chunks)
