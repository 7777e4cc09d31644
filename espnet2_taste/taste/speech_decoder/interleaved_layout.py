"""Index tensors of text and units in one sequence (CosyVoice 2, Qwen2LM).

    uni-stream   sos  t_1 ... t_n  task  s_1 ... s_m                   -> the end
    bi-stream    sos  (N texts  M units) x (n // N)  texts left  task  units left

Both have n + m + 2 positions. After the M units of a block its last one predicts the
fill symbol; fill and end are targets only, and never read.
"""

from dataclasses import dataclass

import torch

SOS, TEXT, TASK, UNIT = range(4)


@dataclass
class InterleavedLayout:
    """Teacher-forced sequences; L = most tokens plus units of an item, plus 2.

    Attributes:
        kinds: (B, L) int64 SOS, TEXT, TASK or UNIT; -1 in the padding.
        index: (B, L) int64 which text token or unit stands there, 0 elsewhere.
        targets: (B, L) int64 unit, end (``num_units``) or fill (``num_units + 2``) that
            a position predicts; -1: nothing.
        lengths: (B,) int64.
    """

    kinds: torch.Tensor
    index: torch.Tensor
    targets: torch.Tensor
    lengths: torch.Tensor


def fits_blocks(
    text_lengths: torch.Tensor, units_lengths: torch.Tensor, mix_ratio: tuple[int, int]
) -> torch.Tensor:
    """(B,) bool: an item has more than M / N units a token, enough for every block."""
    texts, units = mix_ratio
    return units_lengths * texts > text_lengths * units


def interleaved_layout(
    text_lengths: torch.Tensor,
    units: torch.Tensor,
    units_lengths: torch.Tensor,
    in_blocks: torch.Tensor,
    mix_ratio: tuple[int, int],
    num_units: int,
) -> InterleavedLayout:
    """Lay a whole batch out.

    Args:
        text_lengths: (B,) int64.
        units: (B, U) int64, anything in the padding.
        units_lengths: (B,) int64.
        in_blocks: (B,) bool, bi-stream; of items that :func:`fits_blocks` allows.
        mix_ratio: N texts and M units of a block.
        num_units: V; the end is V, the fill V + 2.
    """
    per_text, per_unit = mix_ratio
    block = per_text + per_unit
    lengths = text_lengths + units_lengths + 2
    position = torch.arange(int(lengths.max()), device=units.device) - 1  # sos: -1
    blocks = torch.where(in_blocks, text_lengths // per_text, 0)[:, None]
    number, offset = position // block, position % block
    inside = (position >= 0) & (number < blocks)
    after = position - blocks * block  # beyond the blocks
    rest = text_lengths[:, None] - blocks * per_text

    is_text = torch.where(inside, offset < per_text, (after >= 0) & (after < rest))
    text = torch.where(inside, number * per_text + offset, blocks * per_text + after)
    unit = torch.where(
        inside,
        number * per_unit + offset - per_text,
        blocks * per_unit + after - rest - 1,
    )
    kinds = torch.where(is_text, TEXT, UNIT)
    kinds = torch.where(~inside & (after == rest), TASK, kinds)
    kinds = torch.where(position < 0, SOS, kinds)
    valid = position < (lengths - 1)[:, None]
    kinds = kinds.masked_fill(~valid, -1)
    index = torch.where(kinds == TEXT, text, torch.where(kinds == UNIT, unit, 0))

    predicts = (kinds == UNIT) | (kinds == TASK) | (inside & (offset == per_text - 1))
    following = unit + 1  # also right for task and the last text of a block
    padded = torch.nn.functional.pad(units, (0, 1))
    target = padded.gather(1, following.clamp(0, units.size(1)))
    target = torch.where(following >= units_lengths[:, None], num_units, target)
    target = target.masked_fill(inside & (offset == block - 1), num_units + 2)
    return InterleavedLayout(
        kinds, index, target.masked_fill(~predicts | ~valid, -1), lengths
    )
