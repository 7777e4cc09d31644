"""CTC: what a text is heard as, and how sure that is, for whole batches.

A frame's distribution is kept by its best tokens only, so that memory does not grow
with the vocabulary. Prefix beam search follows Hannun et al. (arXiv 1408.2873), without
a language model.
"""

import codecs
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import torch
import torchaudio

#: Two prefixes are the same where two polynomials of their tokens are, modulo a prime.
_BASES, _PRIME = (1_000_003, 998_244_353), 2**31 - 1
#: ln of a probability that float32 and any sum forget.
_NEVER = -1.0e4


@dataclass
class FrameScores:
    """Log-probabilities (float32) of the blank and of each frame's K best tokens.

    Attributes:
        blank: (B, F).
        scores: (B, F, K), falling.
        ids: (B, F, K) int64, those tokens.
        lengths: (B,) int64 frames.
    """

    blank: torch.Tensor
    scores: torch.Tensor
    ids: torch.Tensor
    lengths: torch.Tensor


@dataclass
class Heard:
    """A transcript that CTC found.

    Attributes:
        ids: tokens.
        confidence: of each token, the mean probability over its frames.
        frames: (first, last) frame of each token.
    """

    ids: list[int] = field(default_factory=list)
    confidence: list[float] = field(default_factory=list)
    frames: list[tuple[int, int]] = field(default_factory=list)


def decode(frames: FrameScores, beam: int = 1) -> list[Heard]:
    """The text of each item.

    Args:
        frames: of the items.
        beam: 1: the most likely path, collapsed (greedy); more: the most likely text
            that :func:`prefix_beam` finds with so many prefixes.
    """
    if beam < 1:
        raise ValueError(f"beam must be at least 1, not {beam}")
    return best_path(frames) if beam == 1 else prefix_beam(frames, beam)


def best_path(frames: FrameScores) -> list[Heard]:
    """Repetitions are one token, blanks part them."""
    return [_collapse(*one) for one in _best(frames)]


def _best(frames: FrameScores) -> list[tuple[np.ndarray, np.ndarray]]:
    """(F,) best token of each frame, -1 for blanks, and its probability, by item."""
    score, best = frames.scores[..., 0], frames.ids[..., 0]
    silent = frames.blank > score
    path = torch.where(silent, -1, best).cpu().numpy()
    probs = torch.where(silent, frames.blank, score).exp().cpu().numpy()
    rows = zip(path, probs, frames.lengths.tolist(), strict=True)
    return [(row[:n], p[:n]) for row, p, n in rows]


class BestPathStream:
    """:func:`best_path` of one item whose frames come in pieces: a token is given when
    a frame has said something else."""

    def __init__(self):
        self.begin = 0  # frame at which what is still open begins
        self.path = np.zeros(0, dtype=np.int64)
        self.probs = np.zeros(0, dtype=np.float32)

    def push(self, frames: FrameScores, last: bool = False) -> Heard:
        """The tokens that are told after (1, F) more frames; ``last``: none follows."""
        (path, probs) = (
            np.concatenate(pair)
            for pair in zip((self.path, self.probs), _best(frames)[0], strict=True)
        )
        end = len(path)
        if end and not last and path[-1] >= 0:
            others = np.flatnonzero(path != path[-1])
            end = int(others[-1]) + 1 if len(others) else 0
        heard = _collapse(path[:end], probs[:end])
        begin, self.begin = self.begin, self.begin + end
        heard.frames = [(a + begin, b + begin) for a, b in heard.frames]
        self.path, self.probs = path[end:], probs[end:]
        return heard


def word_tokens(words: list[str], pieces: list[str]) -> list[tuple[int, int]]:
    """The first and the last token of each word of a text.

    Args:
        words: of the text that the tokens write.
        pieces: what each token writes, see
            :meth:`~espnet2_taste.text.abs_word_tokenizer.AbsWordTokenizer.piece`.
    """
    reader = codecs.getincrementaldecoder("utf-8")("replace")
    text, owners, begun = "", [], None  # of each character; of bytes that are not read
    for index, piece in enumerate(pieces):
        begun = index if begun is None else begun
        final = index == len(pieces) - 1
        read = reader.decode(piece.encode("utf-8", "surrogateescape"), final)
        owners += [(index if at else begun, index) for at in range(len(read))]
        text += read
        begun = index if read else begun
        begun = begun if reader.getstate()[0] else None
    places, at = [], 0
    for word in words:
        at = text.index(word, at)
        end = at + len(word)
        places.append((owners[at][0], owners[end - 1][1]))
        at = end
    return places


def _collapse(path: np.ndarray, probs: np.ndarray) -> Heard:
    """(F,) tokens, -1 for blanks, and their probabilities."""
    edges = np.flatnonzero(np.diff(path, prepend=-2, append=-2)).tolist()
    heard = Heard()
    for first, end in pairwise(edges):
        if path[first] >= 0:
            heard.ids.append(int(path[first]))
            heard.confidence.append(float(probs[first:end].mean()))
            heard.frames.append((first, end - 1))
    return heard


def prefix_beam(frames: FrameScores, beam: int) -> list[Heard]:
    """The text whose paths together are the most likely, of those in the beam.

    A prefix grows by the K best tokens of a frame; with all tokens and a beam that
    holds all prefixes the search is exact. One loop over frames for the batch, on its
    device; one transfer to the host at the end.
    """
    parents, tokens = _search(frames, beam)
    slot, texts = np.zeros(len(tokens), dtype=np.int64), [[] for _ in tokens]
    item = np.arange(len(tokens))
    for time in range(tokens.shape[1] - 1, -1, -1):
        for text, token in zip(texts, tokens[item, time, slot].tolist(), strict=True):
            if token >= 0:
                text.append(token)
        slot = parents[item, time, slot]
    texts = [text[::-1] for text in texts]
    cpu = FrameScores(*(getattr(frames, f).cpu() for f in FrameScores.__annotations__))
    return [_place(cpu, index, text) for index, text in enumerate(texts)]


def _search(frames: FrameScores, beam: int) -> tuple[np.ndarray, np.ndarray]:
    """(B, F, W) the slot of the frame before that each prefix comes from, and the token
    it grew by (-1: none); the best prefix is in slot 0."""
    batch, device = len(frames.blank), frames.blank.device
    never = torch.full((batch, beam), -torch.inf, device=device)
    in_blank, in_token = never.clone(), never.clone()  # ln p, by how its paths end
    in_blank[:, 0] = 0
    last = torch.full((batch, beam), -1, device=device)
    key = torch.full((batch, beam, 2), -1, device=device)  # -1: no prefix
    key[:, 0] = 0
    bases = torch.tensor(_BASES, device=device)
    own = torch.arange(beam, device=device).expand(batch, -1)
    history = []
    for time in range(frames.blank.size(1)):
        blank, scores = frames.blank[:, time, None], frames.scores[:, time, None]
        ids = frames.ids[:, time, None]  # (B, 1, K)
        total = torch.logaddexp(in_blank, in_token)
        same = ids == last[..., None]  # (B, W, K)
        repeated = scores.masked_fill(~same, -torch.inf).amax(2)
        grown = torch.where(same, in_blank[..., None], total[..., None]) + scores
        grown_key = (key[:, :, None] * bases + ids[..., None] + 1) % _PRIME
        twin = (grown_key[:, :, :, None] == key[:, None, None]).all(-1)  # (B, W, K, W)
        joins = grown[..., None].masked_fill(~twin, -torch.inf).amax((1, 2))
        stay_blank = total + blank
        stay_token = torch.logaddexp(in_token + repeated, joins)
        grown = grown.masked_fill(twin.any(3), -torch.inf)
        options = [torch.logaddexp(stay_blank, stay_token), grown.flatten(1)]
        best, place = torch.cat(options, 1).topk(beam, 1)
        stays = place < beam
        parent = torch.where(stays, place, (place - beam) // ids.size(2))
        index = (place - beam).clamp(min=0)
        token = ids.expand_as(grown).flatten(1).gather(1, index)
        new_key = torch.where(
            stays[..., None],
            key.gather(1, parent[..., None].expand(-1, -1, 2)),
            grown_key.flatten(1, 2).gather(1, index[..., None].expand(-1, -1, 2)),
        ).masked_fill((best == -torch.inf)[..., None], -1)
        alive = (time < frames.lengths)[:, None]
        now_blank = torch.where(stays, stay_blank.gather(1, parent), -torch.inf)
        now_token = torch.where(stays, stay_token.gather(1, parent), best)
        in_blank = torch.where(alive, now_blank, in_blank)
        in_token = torch.where(alive, now_token, in_token)
        now_last = torch.where(stays, last.gather(1, parent), token)
        last = torch.where(alive, now_last, last)
        key = torch.where(alive[..., None], new_key, key)
        parent = torch.where(alive, parent, own)
        history.append(torch.stack([parent, token.where(alive & ~stays, -1)]))
    parents, tokens = torch.stack(history, 2).cpu().numpy()  # (B, F, W) each
    return parents, tokens


def _place(frames: FrameScores, index: int, text: list[int]) -> Heard:
    """A text put on the frames of its most likely path."""
    if not text:
        return Heard()
    length = int(frames.lengths[index])
    known = {token: column for column, token in enumerate(dict.fromkeys(text), 1)}
    same = frames.ids[index, :length, :, None] == torch.tensor(list(known))
    scores = frames.scores[index, :length, :, None].masked_fill(~same, _NEVER).amax(1)
    columns = torch.cat([frames.blank[index, :length, None], scores], 1)
    targets = torch.tensor([[known[token] for token in text]], dtype=torch.int32)
    path, probs = torchaudio.functional.forced_align(
        columns[None].contiguous(), targets, blank=0
    )
    heard = _collapse(path[0].numpy() - 1, probs[0].exp().numpy())
    heard.ids = text
    return heard
