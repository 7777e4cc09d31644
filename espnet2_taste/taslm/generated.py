"""What a TASLM has generated: steps of a batch, and the words that they make."""

from dataclasses import dataclass

import torch


@dataclass
class Generated:
    """A batch of continuations, S steps.

    Attributes:
        text: (B, S) int64 tokens chosen, also those never emitted.
        emitted: (B, S) bool, token belongs to the continuation.
        starts: (B, S) bool, start of a word (also while waiting for codes).
        granularity: what the codes of a step belong to: a word or the token.
        codes: (B, S, R) int64 codes predicted at a step, -1 where none were.
        latents: (B, S, D) float32 latents predicted there, which the LM read next: the
            codes' own unless the head's are continuous.
        done: (B, S) bool, item had ended after that step.
    """

    text: torch.Tensor
    emitted: torch.Tensor
    starts: torch.Tensor
    codes: torch.Tensor
    latents: torch.Tensor
    done: torch.Tensor
    granularity: str = "word"

    @classmethod
    def joined(cls, blocks: list["Generated"]) -> "Generated":
        """Consecutive steps on the CPU, up to where the last item ended."""
        columns = [
            torch.cat([getattr(block, name) for block in blocks], 1).cpu()
            for name in ("text", "emitted", "starts", "codes", "latents", "done")
        ]
        used = int((~columns[-1].all(0)).sum()) + 1
        return cls(*(column[:, :used] for column in columns), blocks[0].granularity)

    def words(self, item: int) -> tuple[list[list[int]], torch.Tensor]:
        """Tokens of each word of one item, and (S, R) codes of the words' segments.

        A word that lacks codes (the step limit was hit) is left out.
        """
        reader = WordReader(self.granularity)
        found = reader.read(self, item) + reader.rest()
        none = self.codes[item, :0]
        codes = torch.cat([none, *(codes for _, codes, _ in found)])
        return [ids for ids, *_ in found], codes

    def word_latents(self, item: int) -> torch.Tensor:
        """(S, D) latents of the segments that :meth:`words` gives the codes of."""
        rows = self.latents[item][self.codes[item, :, 0] >= 0]
        return rows[: len(self.words(item)[1])]


#: Tokens of a word, (S, R) codes and (S, D) latents of its segments.
FinishedWord = tuple[list[int], torch.Tensor, torch.Tensor]


class WordReader:
    """Words of one continuation as they are finished: the next one has begun, and
    their codes, which come later, are there.

    Args:
        granularity: of the codes.
    """

    def __init__(self, granularity: str):
        self.granularity = granularity
        self.words: list[list[int]] = []  # that lack their end or codes
        # codes and latents that have not been handed out
        self.rows: list[tuple[torch.Tensor, torch.Tensor]] = []

    def read(self, block: Generated, item: int) -> list[FinishedWord]:
        """The words that are finished after these steps.

        Args:
            block: the next steps, on the CPU.
            item: index of the continuation in it.
        """
        emitted, codes = block.emitted[item], block.codes[item]
        tokens, starts = block.text[item][emitted], block.starts[item][emitted]
        for token, begins in zip(tokens.tolist(), starts.tolist(), strict=True):
            if begins:
                self.words.append([])
            self.words[-1].append(token)
        there = codes[:, 0] >= 0
        latents = block.latents[item][there]
        self.rows += zip(codes[there], latents, strict=True)
        return self._take(0 if bool(block.done[item, -1]) else 1)

    def rest(self) -> list[FinishedWord]:
        """Those that have codes when no step follows; the others are lost."""
        return self._take(0)

    def _take(self, unfinished: int) -> list[FinishedWord]:
        found = []
        while len(self.words) > unfinished:
            size = len(self.words[0]) if self.granularity == "token" else 1
            if len(self.rows) < size:
                break
            rows = map(torch.stack, zip(*self.rows[:size], strict=True))
            found.append((self.words.pop(0), *rows))
            self.rows = self.rows[size:]
        return found
