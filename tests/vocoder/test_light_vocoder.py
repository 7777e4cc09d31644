"""The vocoders with lighter weights."""

import pytest
import torch
from on_device import BFLOAT16
from tiny_vocoder import TINY, TINY2, tiny_voice_generator, tiny_voice_generator2
from toy_vocoder import ToyVocoder

from espnet2_taste.nn.light_linears import lighten_convolutions
from espnet2_taste.vocoder.cosyvoice.vocoder import CosyVoiceVocoder
from espnet2_taste.vocoder.cosyvoice2.vocoder import CosyVoice2Vocoder

KINDS = {
    "cosyvoice": (CosyVoiceVocoder, tiny_voice_generator, TINY),
    "cosyvoice2": (CosyVoice2Vocoder, tiny_voice_generator2, TINY2),
}


def mel_of(vocoder, units, speaker):
    flow = vocoder.model.flow
    torch.manual_seed(1)
    noise = torch.randn(1, flow.mel_size, flow.count_frames(len(units[0])))
    with torch.inference_mode():
        return flow(units[0][None], speaker, noise)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("weights", [pytest.param("bfloat16", marks=BFLOAT16), "int8"])
def test_nearly_the_same_mel_and_waveform(kind, weights):
    torch.manual_seed(0)
    cls, make, conf = KINDS[kind]
    vocoder = cls(make())
    units = [torch.randint(conf["flow_conf"]["num_units"], (11,))]
    speaker = torch.randn(1, conf["flow_conf"]["spk_embed_dim"])
    mel, wav = mel_of(vocoder, units, speaker), vocoder(units, speaker)[0]
    vocoder.lighten("float32")
    assert mel_of(vocoder, units, speaker).equal(mel)
    before = {name: value.clone() for name, value in vocoder.model.state_dict().items()}
    vocoder.lighten(weights)
    light, sound = mel_of(vocoder, units, speaker), vocoder(units, speaker)[0]
    assert light.dtype == sound.dtype == torch.float32 and sound.shape == wav.shape
    assert 0 < (light - mel).norm() / mel.norm() < 0.05
    after = vocoder.model.state_dict()
    assert all(after[name].equal(value) for name, value in before.items())
    offsets, noise = torch.zeros(1, 9), torch.zeros(1, 9, sound.numel())
    with torch.inference_mode():
        exact = make().hift
        exact.load_state_dict(vocoder.model.hift.state_dict())
        made = (
            hift(mel, offsets, noise) for hift in (exact.eval(), vocoder.model.hift)
        )
        want, got = made
    error = (got - want).norm() / want.norm()
    assert (error == 0) if weights == "int8" else (0 < error < 0.05)


@BFLOAT16
@pytest.mark.parametrize("kind", KINDS)
def test_batches_and_streams_are_what_they_are(kind):
    torch.manual_seed(0)
    cls, make, conf = KINDS[kind]
    vocoder = cls(make(), **({"chunked": True} if kind == "cosyvoice2" else {}))
    vocoder.lighten("bfloat16")
    units = [torch.arange(8), torch.arange(5) + 3]
    speaker = torch.randn(2, conf["flow_conf"]["spk_embed_dim"])
    alone = vocoder(units[1:], speaker[1:])[0]
    together = vocoder(units, speaker)[1]
    assert (together - alone).norm() / alone.norm() < 0.05
    streams = vocoder.open_streams(speaker[1:])
    parts = [streams.push([part])[0] for part in units[1].split(2)]
    streamed = torch.cat([*parts, streams.finish()[0]])
    assert (streamed - alone).norm() / alone.norm() < 0.05


def test_who_has_nothing_to_lighten_and_what_is_refused():
    vocoder = ToyVocoder.__new__(ToyVocoder)
    vocoder.lighten("bfloat16")
    with pytest.raises(ValueError, match="weights 'half': expected float32, bfloat16"):
        vocoder.lighten("half")
    assert lighten_convolutions(torch.nn.Conv1d(2, 2, 1), "int8") == 0
    with pytest.raises(ValueError, match="for the CPU, not for meta"):
        lighten_convolutions(torch.nn.Conv1d(2, 2, 1, device="meta"), "bfloat16")
