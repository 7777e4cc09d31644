"""Repetition-aware sampling against CosyVoice 2's: candidates, and what is drawn."""

import pytest
import torch

from espnet2_taste.taste.speech_decoder.abs_speech_decoder import Sampling
from espnet2_taste.taste.speech_decoder.sampling import UnitSampler, candidates

NUCLEUS = {"top_k": 25, "top_p": 0.8}


def ras_cases(folder):
    return (
        range(len(folder.json("ras.json"))) if folder.path("ras.json").is_file() else []
    )


@pytest.mark.cases(find=ras_cases)
def test_ras(parity, case):
    given = parity.json("ras.json")[case]
    logits = torch.tensor([given["log_probs"]])
    scores, units = candidates(logits, Sampling(**NUCLEUS))
    allowed = units[scores > -torch.inf].tolist()
    assert allowed == given["nucleus"]

    draws = 3000
    plain = UnitSampler(Sampling(**NUCLEUS, seed=0), draws, "cpu", list(range(draws)))
    assert set(plain(logits.expand(draws, -1), 0).tolist()) <= set(allowed)
    assert set(given["seen_in_400_nucleus_draws"]) <= set(allowed)

    options = Sampling(**NUCLEUS, ras_window=10, seed=0)
    sampler = UnitSampler(options, draws, "cpu", list(range(draws)))
    for unit in given["history"]:
        sampler.note(torch.full((draws,), unit))
    drawn = sampler(logits.expand(draws, -1), len(given["history"]))
    best = int(logits.argmax())
    assert (best in given["history"][-10:]) == given["top1_in_last_10"]
    wanted = given["share_of_top1_in_300_ras_draws"]
    spread = (wanted * (1 - wanted) / 300) ** 0.5 + 0.01
    assert abs((drawn == best).float().mean() - wanted) < 4 * spread
