"""Training on the text that the tokenizer's own CTC head hears (TASTE-S, stage II).

Text has to be written and read again: the vocabularies meet in it. A step therefore
waits for the device once more, and gives it one copy of the batch's text back.
"""

import functools
from collections.abc import Callable

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from espnet2_taste.asr.ctc_decoding import (
    FrameScores,
    Heard,
    best_path,
    word_tokens,
)
from espnet2_taste.asr.word_targets import unit_durations
from espnet2_taste.nn.segments import length_mask
from espnet2_taste.text.abs_word_tokenizer import AbsWordTokenizer
from espnet2_taste.text.segmenters import AbsSegmenter
from espnet2_taste.text.view import text_keys


class PredictedText:
    """Puts what is heard in place of the text of a batch.

    An utterance keeps its own text where that is what was heard, and where nothing was,
    where a vocabulary does not write it, or where it has more words than the speech has
    units, or more tokens than ``longest``: no decoder can be trained on that. A layout
    of blocks that does not fit is the decoder's business (uni-stream then).

    Words that were heard begin and end where the CTC path has them (a pause is halved);
    their prosody is that of the given word that is said in their middle.

    Args:
        load: gives the tokenizers that some part of the model reads, by name.
        segmenter: tells words.
        heard_by: the name of the CTC head's.
        longest: tokens that an utterance may have.
    """

    def __init__(
        self,
        load: Callable[[], dict[str, AbsWordTokenizer]],
        segmenter: AbsSegmenter,
        heard_by: str,
        longest: int,
    ):
        self.load = load
        self.segmenter = segmenter
        self.heard_by = heard_by
        self.longest = longest

    @functools.cached_property
    def tokenizers(self) -> dict[str, AbsWordTokenizer]:
        """Opened when they are first needed."""
        return self.load()

    def __call__(
        self,
        frames: FrameScores,
        batch: dict[str, torch.Tensor],
        units_lengths: torch.Tensor,
        durations: torch.Tensor | None = None,
        prosody: torch.Tensor | None = None,
        prosody_lengths: torch.Tensor | None = None,
    ) -> tuple:
        """Text, durations, prosody and its lengths of a batch, as heard.

        Args:
            frames: of the CTC head.
            batch: text in the vocabularies, see
                :class:`~espnet2_taste.text.view.TextView`.
            units_lengths: (B,).
            durations: (B, W) units per word; None stays None, as of ``prosody``.
            prosody: (B, W, 3); prosody_lengths: (B,) words.

        Returns:
            these four, with more or less tokens and words, and (B,) bool: what was
            heard could be used.
        """
        device = units_lengths.device
        lengths, units = frames.lengths.tolist(), units_lengths.tolist()
        read = [
            self.read(heard, length, count)
            for heard, length, count in zip(
                best_path(frames), lengths, units, strict=True
            )
        ]
        use = torch.tensor([bool(one) for one in read], device=device)
        out, same = dict(batch), use
        for vocabulary in self.tokenizers:
            ids, words = text_keys(vocabulary)
            found = _padded([one.get(ids, ()) for one in read], device)
            owner = _padded([one.get(words, ()) for one in read], device)
            sizes = torch.tensor([len(one.get(ids, ())) for one in read], device=device)
            same = same & _equal(found, sizes, batch[ids], batch[ids + "_lengths"])
            out[ids] = _choose(use, found, batch[ids])
            out[words] = _choose(use, owner, batch[words])
            out[ids + "_lengths"] = torch.where(use, sizes, batch[ids + "_lengths"])
        if durations is not None:
            other = use & ~same
            taken = _padded([one.get("durations", ()) for one in read], device)
            if prosody is not None:
                middle = taken.cumsum(1) - taken // 2 - 1
                given = durations.cumsum(1).contiguous()
                index = torch.searchsorted(given, middle.clamp(min=0), right=True)
                index = index.clamp(max=prosody.size(1) - 1)[..., None].expand(
                    -1, -1, 3
                )
                prosody = _choose(other, prosody.gather(1, index), prosody)
                prosody_lengths = torch.where(
                    other, (taken > 0).sum(1), prosody_lengths
                )
            durations = _choose(other, taken, durations)
        return out, durations, prosody, prosody_lengths, use

    def read(self, heard: Heard, frames: int, units: int) -> dict[str, list[int]]:
        """Ids and word ids in each vocabulary, and units per word; {}: not usable."""
        heard_by = self.tokenizers[self.heard_by]
        text = heard_by.decode(heard.ids)
        if not text or "\ufffd" in text:  # bytes that are no text
            return {}
        words, spaced = self.segmenter.split(text)
        if len(words) > units:
            return {}
        out, pieces = {}, list(map(heard_by.piece, heard.ids))
        place = np.array(
            [
                (heard.frames[first][0], heard.frames[last][1])
                for first, last in word_tokens(words, pieces)
            ]
        )
        for vocabulary, tokenizer in self.tokenizers.items():
            try:
                pair = tokenizer.encode_words(words, spaced)
            except ValueError:  # not writable
                return {}
            if len(pair[0]) > self.longest:
                return {}
            out |= zip(text_keys(vocabulary), pair, strict=True)
        between = (place[1:, 0] + place[:-1, 1] + 1) / 2
        borders = np.concatenate([[0.0], between, [frames]])
        return out | {"durations": unit_durations(borders, units).tolist()}


def _padded(rows: list, device: torch.device) -> torch.Tensor:
    rows = [torch.as_tensor(row, dtype=torch.long) for row in rows]
    return pad_sequence(rows, batch_first=True).to(device)


def _choose(
    use: torch.Tensor, found: torch.Tensor, given: torch.Tensor
) -> torch.Tensor:
    """Rows of ``found`` where ``use`` is True, of ``given`` elsewhere: (B, the longer
    L, ...), zeros beyond their ends."""
    size = max(found.size(1), given.size(1))
    found, given = (_widened(x, size) for x in (found, given))
    return torch.where(use.view(-1, *[1] * (given.dim() - 1)), found.to(given), given)


def _widened(rows: torch.Tensor, size: int) -> torch.Tensor:
    more = rows.new_zeros(len(rows), size - rows.size(1), *rows.shape[2:])
    return torch.cat([rows, more], 1)


def _equal(found, sizes, given, given_sizes) -> torch.Tensor:
    """(B,) bool: the same ids."""
    size = max(found.size(1), given.size(1))
    other = (_widened(found, size) != _widened(given, size)) & length_mask(sizes, size)
    return (sizes == given_sizes) & ~other.any(1)
