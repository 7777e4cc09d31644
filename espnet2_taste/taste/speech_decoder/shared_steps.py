"""A causal LM that reads for many streams, of which some rest in every step."""

import torch

from espnet2_taste.nn.backbone import HFCausalBackbone


class SharedSteps:
    """What an LM remembers of B streams.

    A stream that reads nothing in a step leaves a hole in the key-value cache, which
    its mask hides from what it reads later.

    Args:
        llm: the LM.
        hidden: (B, size) zeros.

    Attributes:
        hidden: (B, size) states after what each stream read last.
        started: whether each has read anything.
    """

    def __init__(self, llm: HFCausalBackbone, hidden: torch.Tensor):
        self.llm, self.hidden = llm, hidden
        self.started = [False] * len(hidden)
        self.cache, self.size = None, 0
        self.mask: torch.Tensor | None = None  # (B, size), None without holes
        self._flags: dict[tuple[bool, ...], torch.Tensor] = {}

    def read(
        self, x: torch.Tensor, here: torch.Tensor, reads: list[bool], holes: bool
    ) -> None:
        """Read (B, L, size) where (B, L) ``here``.

        Args:
            x: what is read, anything elsewhere; a stream's end is the last column.
            here: bool.
            reads: the streams that read, whose ``hidden`` is new afterwards.
            holes: whether ``here`` is False anywhere.
        """
        visible = None
        if holes and self.mask is None:
            self.mask = here.new_ones(len(x), self.size)
        if self.mask is not None:
            blank = [not (a or b) for a, b in zip(self.started, reads, strict=True)]
            # attention over nothing is no number: a stream that has not begun sees
            # this hole, which is hidden afterwards
            seen = here | self.flag(blank)[:, None] if any(blank) else here
            visible = torch.cat([self.mask, seen], dim=1)
            self.mask = torch.cat([self.mask, here], dim=1)
        output = self.llm(x, visible, self.cache, use_cache=True)
        self.cache, self.size = output.cache, self.size + x.size(1)
        hidden = output.hidden[:, -1].to(self.hidden.dtype)
        if not all(reads):
            hidden = torch.where(self.flag(reads)[:, None], hidden, self.hidden)
        self.hidden = hidden
        self.started = [a or b for a, b in zip(self.started, reads, strict=True)]

    def flag(self, flags: list[bool]) -> torch.Tensor:
        """(B,) bool on the device, uploaded once."""
        key = tuple(flags)
        if key not in self._flags:
            self._flags[key] = torch.tensor(flags, device=self.hidden.device)
        return self._flags[key]
