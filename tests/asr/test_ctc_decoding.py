import itertools
import math

import numpy as np
import pytest
import torch

from espnet2_taste.asr.ctc_decoding import (
    BestPathStream,
    FrameScores,
    best_path,
    decode,
    word_tokens,
)


def scores_of(log_probs: torch.Tensor, lengths: list[int], best: int) -> FrameScores:
    """Of (B, F, V + 1), the blank last."""
    top = log_probs[..., :-1].topk(best, -1)
    return FrameScores(
        log_probs[..., -1], top.values, top.indices, torch.tensor(lengths)
    )


def collapse(path, blank):
    runs = [token for token, _ in itertools.groupby(path)]
    return tuple(token for token in runs if token != blank)


def best_text(log_probs: np.ndarray) -> tuple[int, ...]:
    """By all paths."""
    frames, size = log_probs.shape
    total: dict[tuple, float] = {}
    for path in itertools.product(range(size), repeat=frames):
        text = collapse(path, size - 1)
        prob = math.exp(sum(log_probs[t, token] for t, token in enumerate(path)))
        total[text] = total.get(text, 0.0) + prob
    return max(total, key=total.get)


@pytest.mark.parametrize("seed", range(4))
def test_prefix_beam_finds_what_all_paths_say(seed):
    """And another text than the best path where many paths say it."""
    generator = torch.Generator().manual_seed(seed)
    lengths = [5, 4, 1, 5]
    logits = 1.5 * torch.randn(4, 5, 4, generator=generator)
    log_probs = logits.log_softmax(-1)
    found = decode(scores_of(log_probs, lengths, 3), beam=64)
    for item, (heard, length) in enumerate(zip(found, lengths, strict=True)):
        assert tuple(heard.ids) == best_text(log_probs[item, :length].numpy())
        assert len(heard.confidence) == len(heard.frames) == len(heard.ids)
        borders = [frame for span in heard.frames for frame in span]
        assert borders == sorted(borders) and all(b < length for b in borders)
        assert all(0 < sure <= 1 for sure in heard.confidence)


def test_many_paths_outweigh_the_best_one():
    probs = torch.tensor([[0.3, 0.3, 0.4], [0.3, 0.3, 0.4]]).log()[None]
    probs[0, :, 1] = math.log(1e-4)
    frames = scores_of(probs, [2], 2)
    assert decode(frames)[0].ids == []  # blank blank: .16, but token 0: .09 + .24
    assert decode(frames, beam=4)[0].ids == [0]
    with pytest.raises(ValueError, match="beam must be at least 1"):
        decode(frames, beam=0)


def test_a_batch_is_decoded_as_its_items_are():
    generator = torch.Generator().manual_seed(0)
    log_probs = (2 * torch.randn(6, 30, 9, generator=generator)).log_softmax(-1)
    lengths = [30, 1, 17, 8, 30, 22]
    for beam in (1, 5):
        batch = decode(scores_of(log_probs, lengths, beam), beam)
        for item, length in enumerate(lengths):
            one = scores_of(log_probs[item : item + 1, :length], [length], beam)
            (alone,) = decode(one, beam)
            assert (alone.ids, alone.frames) == (batch[item].ids, batch[item].frames)
            assert alone.confidence == pytest.approx(batch[item].confidence)


def test_a_beam_is_seldom_less_likely_than_the_best_path():
    """Sharp distributions, as trained ones are: both find the same."""
    generator = torch.Generator().manual_seed(1)
    log_probs = (20 * torch.randn(3, 40, 7, generator=generator)).log_softmax(-1)
    frames = scores_of(log_probs, [40, 31, 12], 6)
    for greedy, beam in zip(decode(frames), decode(frames, 8), strict=True):
        assert greedy.ids == beam.ids and greedy.frames == beam.frames
        assert greedy.confidence == pytest.approx(beam.confidence, abs=1e-5)


@pytest.mark.parametrize("step", [1, 2, 5, 40])
def test_the_best_path_in_pieces(step):
    """A token is given once something else has been heard after it."""
    torch.manual_seed(step)
    probs = torch.randn(1, 40, 4).mul(3).log_softmax(-1).repeat_interleave(2, 1)[:, :40]
    scores, ids = probs[..., :3].topk(1)

    def cut(begin, end):
        part = slice(begin, end)
        lengths = torch.tensor([len(range(40)[part])])
        return FrameScores(probs[:, part, 3], scores[:, part], ids[:, part], lengths)

    [whole] = best_path(cut(0, 40))
    stream, parts = BestPathStream(), []
    for begin in range(0, 40, step):
        parts.append(stream.push(cut(begin, begin + step)))
        known = [frame for frame in whole.frames if frame[1] + 1 < begin + step]
        assert [frame for part in parts for frame in part.frames] == known
    parts.append(stream.push(cut(40, 40), last=True))
    for name in ("ids", "confidence", "frames"):
        assert [x for part in parts for x in getattr(part, name)] == getattr(
            whole, name
        )


def test_the_tokens_of_words():
    """Bytes that make no character by themselves are of the tokens that have them."""
    pieces = [" a", "", "b", " ", "\udce2\udc82", "\udcac", "c", " d\udcff", "e"]
    text = "ab \u20acc d\ufffde"
    assert word_tokens(text.split(), pieces) == [(0, 2), (4, 6), (7, 8)]
    assert word_tokens(["\u20ac", "c"], pieces[3:]) == [(1, 2), (3, 3)]
    assert word_tokens(["\ufffd"], ["\udce2"]) == [(0, 0)]
    assert word_tokens([], []) == []
