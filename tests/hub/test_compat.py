"""The reference's deviations do something, and only where they are switched on."""

import pytest
import torch
from tiny_vocoder import SPEAKER, UNITS, tiny_voice_generator

from espnet2_taste.hub.compat import count_padding, round_phases
from espnet2_taste.taslm.build import lm_choices
from espnet2_taste.vocoder.cosyvoice.vocoder import CosyVoiceVocoder


def test_the_base_keeps_exact_rotary_frequencies():
    rounded = lm_choices.get_class("espnet2_taste.hub.compat.RoundedRopeBackbone")
    lms = []
    for cls in (rounded, lm_choices.get_class("hf_causal")):
        torch.manual_seed(0)
        config = {
            "model_type": "llama",
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "initializer_range": 1.0,
        }
        lms.append(cls(18, config=config, lora={"r": 2}).eval())
    x = torch.randn(2, 9, 16)
    ours, plain = lms
    for _ in range(2):
        torch.testing.assert_close(ours.base_hidden(x), plain(x).hidden)
        difference = (ours(x).hidden - plain(x).hidden).abs().max()
        assert 1e-4 < difference < 0.5


def test_padding_counts_in_a_batch_alone():
    torch.manual_seed(1)
    units = [torch.randint(0, UNITS, (n,)) for n in (20, 7)]
    speakers = torch.randn(2, SPEAKER)
    model = tiny_voice_generator()
    ours, reference = CosyVoiceVocoder(tiny_voice_generator()), CosyVoiceVocoder(model)
    count_padding(model.flow)
    for i in range(2):
        one = [units[i]], speakers[i : i + 1]
        assert torch.equal(ours(*one)[0], reference(*one)[0])
    together = reference(units, speakers)
    assert (together[1] - ours(units, speakers)[1]).abs().max() > 1e-3


def test_phases_of_a_minute_are_rounded():
    f0 = torch.full((1, 60 * 86), 217.3)
    hift = tiny_voice_generator().hift
    exact = hift.m_source.phase(f0, hift.m_source.spec)
    rounded = round_phases(hift).m_source.phase(f0, hift.m_source.spec)
    difference = (rounded - exact).abs()
    assert 1e-4 < torch.minimum(difference, 1 - difference).max() < 0.01


@pytest.mark.parametrize(
    "name,says",
    [
        ("no_such_package.Backbone", "No module named 'no_such_package'"),
        ("espnet2_taste.nn.backbone.Nothing", "no attribute 'Nothing'"),
        ("subprocess.Popen", "is no subclass of AbsBackbone"),
    ],
)
def test_a_dotted_path_names_a_class_of_the_axis(name, says):
    with pytest.raises(ValueError, match=f"--lm {name}.*{says}"):
        lm_choices.get_class(name)
