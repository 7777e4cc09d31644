"""Utterances that enter and leave a running batch of a ``unit_transformer``."""

from typing import Any

import torch

from espnet2_taste.nn.kv_cache import RaggedKVCache
from espnet2_taste.nn.running_batch import LOOK
from espnet2_taste.taste.speech_decoder.abs_speech_decoder import Conditioning
from espnet2_taste.taste.speech_decoder.running import Encoded, RunningUnits


class RunningTransformer(RunningUnits):
    """Utterances of a ``unit_transformer``."""

    @property
    def kv(self) -> RaggedKVCache:
        return self.cache.kv

    def encoded(self, cond: Conditioning, item_seeds: list[int]) -> list[Encoded]:
        prompts = self.decoder._prompt(cond)
        lengths = cond.text.lengths + 3
        least, most = self.decoder._limits(lengths)
        items = zip(
            prompts,
            lengths.tolist(),
            least,
            most,
            most.tolist(),
            item_seeds,
            strict=True,
        )
        return [
            # without the last position, the task, which the first step reads
            Encoded(
                {"prompt": prompt[: n - 1], "least": least, "most": most},
                *(n - 1, n + steps, seed),
            )
            for prompt, n, least, most, steps, seed in items
        ]

    def fresh(self, count: int) -> tuple[dict[str, torch.Tensor], Any]:
        like = self.decoder.llm_embedding.weight.detach()
        zeros = torch.zeros(count, dtype=torch.long, device=like.device)
        state = {"least": zeros.clone(), "most": zeros.clone(), "alive": zeros > 0}
        state["x"] = like.new_zeros(count, 1, like.size(1))
        cache = self.decoder.llm.new_ragged_cache(
            count, like, self.capacity or LOOK, self.fixed
        )
        return state, cache

    def logits(self) -> torch.Tensor:
        hidden = self.decoder.llm(self.state["x"], self.cache)
        return self.decoder.llm_decoder(hidden[:, -1]).float()

    def begin(self, rows: torch.Tensor, items: list[Encoded]) -> None:
        llm, state = self.decoder.llm, self.state
        prompts = [item.tensors["prompt"] for item in items]
        lengths = torch.tensor([len(x) for x in prompts], device=rows.device)
        size = max(map(len, prompts))
        x = torch.stack([x.new_zeros(size, x.size(1)) for x in prompts])
        for row, prompt in zip(x, prompts, strict=True):
            row[size - len(prompt) :] = prompt
        read = llm.new_cache(size, size - lengths, x)
        llm(x, read)
        self.kv.write(rows, read.kv.filled(), lengths)
        needed = max(item.positions for item in items) + LOOK
        if not self.fixed and needed > self.cache.positions[0].size(1):
            self.cache.positions = llm.distances(2 * needed, x)
        for name in ("least", "most"):
            state[name][rows] = torch.stack([item.tensors[name] for item in items])
        state["alive"][rows] = state["most"][rows] > 0
        state["x"][rows] = self.decoder.llm_embedding.weight[1]

    def draw(self, logits: torch.Tensor, step: int) -> torch.Tensor:
        state, drawn = self.state, self.sampler.count
        early = (drawn < state["least"])[:, None]
        end = logits[:, -1:].masked_fill(early, -torch.inf)
        unit = self.sampler(torch.cat([logits[:, :-1], end], 1), step, state["alive"])
        state["alive"] &= (unit != self.decoder.num_units) & (drawn < state["most"])
        unit = torch.where(state["alive"], unit, 0)
        self.kv.advance(state["alive"])
        state["x"].copy_(self.decoder.speech_embedding(unit)[:, None])
        return unit.masked_fill(~state["alive"], -1)
