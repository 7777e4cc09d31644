"""Utterances that enter and leave a running batch of a ``word_synchronous`` decoder."""

from typing import Any

import torch

from espnet2_taste.nn.kv_cache import RaggedKVCache
from espnet2_taste.taste.speech_decoder.abs_speech_decoder import Conditioning
from espnet2_taste.taste.speech_decoder.running import Encoded, RunningUnits


class RunningWords(RunningUnits):
    """Utterances of a ``word_synchronous`` decoder."""

    @property
    def kv(self) -> RaggedKVCache:
        return self.cache

    def encoded(self, cond: Conditioning, item_seeds: list[int]) -> list[Encoded]:
        context, expected, words = self.decoder._words(cond)
        room = self.decoder.max_units_per_word + 1
        counts = words.tolist()
        items = zip(context, expected, words, counts, item_seeds, strict=True)
        return [
            Encoded(
                {"context": c[:n], "expected": e[:n], "words": word},
                *(0, n * room, seed),
            )
            for c, e, word, n, seed in items
        ]

    def fresh(self, count: int) -> tuple[dict[str, torch.Tensor], Any]:
        like = self.decoder.head.weight.detach()
        zeros = torch.zeros(count, dtype=torch.long, device=like.device)
        state = {n: zeros.clone() for n in ("words", "word", "step", "token")}
        state["alive"] = zeros > 0
        views = self.decoder.views
        state["context"] = like.new_zeros(count, 1, views, like.size(1))
        state["expected"] = like.new_zeros(count, 1)
        state["x"] = like.new_zeros(count, views, like.size(1))
        options = {"capacity": self.capacity, "fixed": True} if self.fixed else {}
        transformer = self.decoder.transformer
        return state, transformer.new_ragged_cache(count * views, like, **options)

    def cache_rows(self, rows: torch.Tensor) -> torch.Tensor:
        views = self.decoder.views
        return (
            rows[:, None] * views + torch.arange(views, device=rows.device)
        ).flatten()

    def logits(self) -> torch.Tensor:
        return self.decoder._logits(self.state["x"], self.cache)

    def begin(self, rows: torch.Tensor, items: list[Encoded]) -> None:
        state = self.state
        for name in ("context", "expected"):
            self.put(name, rows, [item.tensors[name] for item in items])
        words = torch.stack([item.tensors["words"] for item in items])
        state["words"][rows] = words
        state["alive"][rows] = words > 0
        for name in ("word", "step"):
            state[name][rows] = 0
        state["token"][rows] = self.decoder.num_units + 1  # START
        self.kv.lengths[self.cache_rows(rows)] = 0
        self._read()

    def _read(self) -> None:
        """What the next step reads."""
        state = self.state
        spot = state["word"].clamp(max=state["context"].size(1) - 1)
        rows = torch.arange(len(spot), device=spot.device)
        left = state["expected"][rows, spot] - state["step"]
        x = self.decoder._embed(state["token"], state["step"], left)
        state["x"].copy_(x[:, None] + state["context"][rows, spot])

    def draw(self, logits: torch.Tensor, step: int) -> torch.Tensor:
        state, decoder = self.state, self.decoder
        going = state["alive"].clone()
        token = self.sampler(decoder._allowed(logits, state["step"]), step, going)
        advance = going & (token == decoder.num_units)
        state["word"] += advance
        state["step"] = (state["step"] + going).masked_fill(advance, 0)
        state["token"] = torch.where(going, token, state["token"])
        state["alive"] &= state["word"] < state["words"]
        self.kv.advance(state["alive"].repeat_interleave(decoder.views))
        self._read()
        return token.masked_fill(~going, -1)

    def take(self, row: int) -> tuple[torch.Tensor, torch.Tensor]:
        tokens, _ = super().take(row)
        is_unit = tokens < self.decoder.num_units
        ends = is_unit.long().cumsum(0)[~is_unit]  # units before each ADVANCE
        return tokens[is_unit], ends.diff(prepend=ends.new_zeros(1))
