"""The aggregator on an utterance that comes in pieces."""

from typing import TYPE_CHECKING

import torch

from espnet2_taste.taste.tokenizer.abs_encoder import EncoderOutput

if TYPE_CHECKING:
    from espnet2_taste.taste.tokenizer.cross_attention import CrossAttentionAggregator


class AggregatorStream:
    """Frames and tokens of one utterance; each is projected once.

    Args:
        aggregator: a causal one, in eval mode.

    Raises:
        ValueError: its tokens see those after them.
    """

    def __init__(self, aggregator: "CrossAttentionAggregator"):
        if not aggregator.causal:
            raise ValueError(
                "an aggregator with causal: false (aggregator_conf) reads an utterance "
                "at once"
            )
        self.aggregator = aggregator
        self.count = 0  # tokens read, prefix included
        #: (keys, values) of each layer's attention to tokens, and to frames
        self.own: list[tuple | None] = [None] * len(aggregator.layers)
        self.frames: list[tuple | None] = [None] * len(aggregator.layers)

    @torch.inference_mode()
    def hear(self, encoded: EncoderOutput) -> None:
        """Take (1, F, ...) more frames; F may be 0."""
        mixed = self.aggregator.mixed(encoded)
        for index, layer in enumerate(self.aggregator.layers):
            new = layer.encoder_attn.project(mixed.keys, mixed.values)
            self.frames[index] = _longer(self.frames[index], new)

    @torch.inference_mode()
    def read(self, ids: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
        """The vectors of the next tokens.

        Args:
            ids: (1, L) int64, L at least 1.
            seen: (1, L) int64 frames, from the first, that each attends to; those of
                them that are there.

        Returns:
            (1, L, output_size): what ``aggregator.forward`` gives them in the whole.

        Raises:
            ValueError: there are no positions for so many tokens.
        """
        aggregator = self.aggregator
        given = ids.size(1)
        if not self.count:
            prefix = aggregator.prefix_ids[None]
            ids = torch.cat([prefix, ids], 1)
            seen = torch.cat([seen[:, :1].expand_as(prefix), seen], 1)
        begin, end = self.count, self.count + ids.size(1)
        aggregator.check_length(end + len(aggregator.suffix_ids))
        place = torch.arange(end, device=ids.device)
        before = place <= place[begin:, None]
        frame = torch.arange(self.frames[0][0].size(2), device=ids.device)
        near = (frame < seen.clamp(min=1)[..., None])[:, None]
        x = aggregator.embed_tokens(ids) + aggregator.embed_positions.weight[begin:end]
        for index, layer in enumerate(aggregator.layers):
            y = layer.self_attn_layer_norm(x)
            own = _longer(self.own[index], layer.self_attn.project(y, y))
            x, _ = layer.attend(x, y, own, self.frames[index], before, near)
            self.own[index] = own
        self.count = end
        return aggregator.projected(aggregator.layer_norm(x)[:, -given:])


def _longer(past: tuple | None, new: tuple) -> tuple:
    if past is None:
        return new
    return tuple(torch.cat(pair, 2) for pair in zip(past, new, strict=True))
