"""Vocoders while units arrive."""

import pytest
import torch

from espnet2_taste.units.unit_spec import UnitSpec
from espnet2_taste.vocoder.abs_vocoder import AbsVocoder

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
