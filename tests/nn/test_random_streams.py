import torch

from espnet2_taste.nn.random_streams import item_generator, item_seed
from espnet2_taste.taslm.sampler import random_streams
from espnet2_taste.taste.speech_decoder.abs_speech_decoder import Sampling
from espnet2_taste.taste.speech_decoder.sampling import UnitSampler
from espnet2_taste.vocoder.cosyvoice.generator import Noise
from espnet2_taste.vocoder.cosyvoice.mel_spec import MelSpec


def test_streams_are_fixed_on_every_machine_and_differ_by_either_seed():
    seeds = [item_generator(*pair).initial_seed() for pair in ((0, 0), (123, -4))]
    assert seeds == [3560153452049741418, 3529926152812353242]
    pairs = ((0, 0), (0, 1), (1, 0), (1, 1), (11, 0), (1, 10))
    assert len({item_generator(*pair).initial_seed() for pair in pairs}) == len(pairs)


def test_names_have_streams_of_their_own():
    names = ("utt1", "utt2", "a-very-long-prefix-utt1", "caf\u00e9", "")
    seeds = [item_seed(name) for name in names]
    assert seeds[0] == 15657857204231060957
    assert len(set(seeds)) == len(names)


def test_what_is_drawn_does_not_depend_on_the_default_device():
    def drawn():
        sampler = UnitSampler(Sampling(top_k=2, seed=1), 2, "cpu", [3, 4])
        units = sampler(torch.ones(2, 9, device="cpu"), 0)
        noise = Noise.draw(MelSpec(num_mels=5), 4, 1, seed=1, item_seed=2)
        return [units, random_streams(1, [2, 3], 4, 5), *vars(noise).values()]

    want = drawn()
    with torch.device("meta"):
        got = drawn()
    assert all(torch.equal(a, b) for a, b in zip(got, want, strict=True))
