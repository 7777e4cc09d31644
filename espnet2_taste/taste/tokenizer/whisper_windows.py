"""Long and endless speech for a Whisper encoder: overlapping windows of features."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

from espnet2_taste.nn.segments import length_mask
from espnet2_taste.taste.tokenizer.abs_encoder import AbsEncoderStream, EncoderOutput

if TYPE_CHECKING:
    from espnet2_taste.taste.tokenizer.whisper_encoder import WhisperEncoder

RATE = 100  # features a second
#: Windows that are encoded together: an hour takes no more memory than so many.
MOST_WINDOWS = 32
#: 80 dB in Whisper's features, (log10 of the power + 4) / 4.
_RANGE = 2.0


class WhisperWindows:
    """How speech is cut: each window is some past and then what is new in it.

    The first windows have as much past as there is. A frame comes from the window in
    which it is new, whose loudest bin sets the floor of all its features, as Whisper's
    is set by its 30 s. Frames have the positions that they have in the utterance, as
    far as Whisper has positions; windows that end beyond have the last ones. (With the
    first ones in every window, keys and values are much further from the whole's.)

    Args:
        window_s: seconds that the encoder reads at once, at most ``limit_s``.
        left_context_s: seconds at a window's beginning that the windows before it
            gave.
        limit_s: seconds that the encoder has positions for.

    Attributes:
        latency: features that are new in a window, the most that a listener waits for.

    Raises:
        ValueError: not 0 <= left < window <= limit, or no multiples of 20 ms.
    """

    def __init__(self, window_s: float, left_context_s: float, limit_s: float):
        if not 0 <= left_context_s < window_s <= limit_s:
            raise ValueError(
                f"whisper encoder: window_s {window_s:g} must be more than "
                f"left_context_s {left_context_s:g}, which is at least 0, and at most "
                f"{limit_s:g}"
            )
        for name, value in (("window", window_s), ("left_context", left_context_s)):
            if abs(value * RATE / 2 - round(value * RATE / 2)) > 1e-6:
                raise ValueError(
                    f"whisper encoder: {name}_s {value:g} is no multiple of 0.02 s, "
                    "the encoder's frame"
                )
        self.size, self.left = round(window_s * RATE), round(left_context_s * RATE)
        self.latency = self.size - self.left
        self.last = round(limit_s * RATE) - self.size  # where a window may begin

    def encode(
        self,
        encode: Callable[[torch.Tensor, torch.Tensor, torch.Tensor], EncoderOutput],
        feats: torch.Tensor,
        lengths: torch.Tensor,
        known: int = 0,
        before: int = 0,
    ) -> EncoderOutput:
        """All windows of a batch together.

        Args:
            encode: (N, T', mel bins) windows, (N,) int64 features in each and (N,)
                int64 position of its first frame -> their keys and values,
                (N, (T' + 1) // 2, ...).
            feats: (B, T, mel bins).
            lengths: (B,) int64 features, more than ``known``.
            known: features at the beginning that are past already: all that there is
                of it, or ``left``.
            before: features of the utterance before those.

        Returns:
            keys and values of (B, (T - known + 1) // 2) frames, and how many are valid.
        """
        step, device = self.latency, feats.device
        sizes = lengths.cpu() - known
        counts = -(-sizes // step)
        first = counts.cumsum(0) - counts  # window of each item
        item = torch.arange(len(sizes)).repeat_interleave(counts)
        new = known + (torch.arange(len(item)) - first[item]) * step
        start = (new - self.left).clamp(min=0)
        ends = torch.minimum(new + step, known + sizes[item])
        place = start[:, None] + torch.arange(int((ends - start).max()))
        place = place.clamp(max=feats.size(1) - 1)
        frame = torch.arange((int(sizes.max()) + 1) // 2)
        window = torch.minimum(frame // (step // 2), counts[:, None] - 1)
        window = window + first[:, None]  # (B, F) the one that each frame is new in
        within = (known - start[window]) // 2 + frame
        within = within.clamp(max=(place.size(1) - 1) // 2)
        position = (before + start).clamp(max=self.last) // 2
        item, place, held, position, window, within = (
            x.to(device) for x in (item, place, ends - start, position, window, within)
        )
        parts = []
        for rows, inside, some, at in zip(
            *(x.split(MOST_WINDOWS) for x in (item, place, held, position)), strict=True
        ):
            cut = feats[rows[:, None], inside]
            valid = length_mask(some, cut.size(1))[..., None]
            loudest = cut.masked_fill(~valid, -torch.inf).amax((1, 2), keepdim=True)
            parts.append(encode(torch.maximum(cut, loudest - _RANGE), some, at))
        keys, values = (
            torch.cat([getattr(part, name) for part in parts])[window, within]
            for name in ("keys", "values")
        )
        return EncoderOutput(keys, values, (lengths - known + 1) // 2)


class WhisperStream(AbsEncoderStream):
    """Keys and values of speech that comes in pieces, as one pass gives them.

    Args:
        encoder: with ``window_s``, in eval mode.

    Attributes:
        latency: see :class:`WhisperWindows`.

    Raises:
        ValueError: the encoder reads an utterance at once.
    """

    def __init__(self, encoder: "WhisperEncoder"):
        if encoder.windows is None:
            raise ValueError(
                "whisper encoder: it reads an utterance at once; give window_s and "
                "left_context_s in encoder_conf to stream"
            )
        self.encoder, self.windows = encoder, encoder.windows
        self.latency = self.windows.latency
        self.feats: torch.Tensor | None = None
        self.known = 0  # of self.feats, the first, which are past
        self.before = 0  # features before self.feats

    @torch.inference_mode()
    def push(self, feats: torch.Tensor, last: bool = False) -> EncoderOutput:
        """See :class:`AbsEncoderStream`."""
        if self.feats is not None:
            feats = torch.cat([self.feats, feats], 1)
        new = feats.size(1) - self.known
        if not last:
            new -= new % self.latency
        if new:
            lengths = torch.full((len(feats),), self.known + new, device=feats.device)
            given = feats, lengths, self.known, self.before
            out = self.windows.encode(self.encoder.encode_window, *given)
        else:
            out = self.encoder.no_frames(feats)
        past = self.known + new
        self.known = min(past, self.windows.left)
        self.feats = feats[:, past - self.known :]
        self.before += past - self.known
        return out
