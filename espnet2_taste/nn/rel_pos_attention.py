"""Attention with Transformer-XL relative positions, as CosyVoice 1 has it.

The speech decoder's masks are causal (the reference's static_chunk_size is 1),
therefore only distances >= 0 are computed, half of its table. The vocoder's encoder
takes all distances.
"""

import math

import torch
from torch.nn import functional as F

from espnet2_taste.nn.kv_cache import KVCache
from espnet2_taste.nn.stream_memory import StreamMemory


class RelPositionTable(torch.nn.Module):
    """Sinusoids of the distances T-1, ..., 0; computed once, grown when needed.

    Args:
        size: width, even.
    """

    def __init__(self, size: int):
        super().__init__()
        self.size = size
        self.register_buffer("table", torch.empty(0, size), persistent=False)

    def forward(
        self, length: int, like: torch.Tensor, causal: bool = True
    ) -> torch.Tensor:
        """Rows of the distances length-1, ..., 0 (not causal: ..., -(length-1)).

        Returns:
            (length or 2 length - 1, size), dtype and device of ``like``.
        """
        if length > len(self.table):
            capacity = max(512, 1 << (length - 1).bit_length())
            # inference tensors would break a later training step
            with torch.inference_mode(False):
                even = torch.arange(0, self.size, 2, device=like.device).float()
                speed = torch.exp(even * (-math.log(10000.0) / self.size))
                distance = torch.arange(capacity, device=like.device).float()
                angle = distance[:, None] * speed
                self.table = torch.stack([angle.sin(), angle.cos()], -1).flatten(1)
        rows = self.table[:length].flip(0)
        if not causal:
            # sin(-a) = -sin(a), cos(-a) = cos(a)
            sines, cosines = self.table[1:length].unflatten(1, (-1, 2)).unbind(-1)
            rows = torch.cat([rows, torch.stack([-sines, cosines], -1).flatten(1)])
        return rows.to(like.dtype)


class RelPosAttention(torch.nn.Module):
    """s_ij = [(q_i + u) . k_j + (q_i + v) . W_p p_(i-j)] / sqrt(head size).

    Args:
        size: width.
        num_heads: H.
        dropout: of the attention weights.
    """

    def __init__(self, size: int, num_heads: int, dropout: float = 0.0):
        super().__init__()
        if size % num_heads:
            raise ValueError(f"size {size} is not a multiple of {num_heads} heads")
        self.num_heads = num_heads
        self.dropout = dropout
        self.scale = (size // num_heads) ** -0.5
        for name in ("linear_q", "linear_k", "linear_v", "linear_out"):
            self.add_module(name, torch.nn.Linear(size, size))
        self.linear_pos = torch.nn.Linear(size, size, bias=False)
        for name in ("pos_bias_u", "pos_bias_v"):
            bias = torch.nn.Parameter(torch.empty(num_heads, size // num_heads))
            self.register_parameter(name, torch.nn.init.xavier_uniform_(bias))

    def project_positions(self, positions: torch.Tensor) -> torch.Tensor:
        """(T, size) -> (H, T, head_size)."""
        heads = self.linear_pos(positions).unflatten(-1, (self.num_heads, -1))
        return heads.transpose(0, 1)

    def forward(
        self,
        x: torch.Tensor,
        positions: torch.Tensor,
        hidden: torch.Tensor | None,
        kv: KVCache | StreamMemory | None,
        index: int,
        late: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Attend from S new positions, the last of T, to T keys.

        Args:
            x: (B, S, size).
            positions: (H, T or T + S - 1, head_size), projected distances T-1, ..., 0
                (only if later keys are hidden), or T-1, ..., -(S-1).
            hidden: bool, broadcasts to (B, H, S, T), True where a key is not seen.
            kv: past keys and values, appended to.
            index: of this layer in ``kv``.
            late: (B,) int64, how many keys less than T an item has; None: none.
        """
        heads = (*x.shape[:2], self.num_heads, -1)
        query, key, value = (
            linear(x).view(heads).transpose(1, 2)
            for linear in (self.linear_q, self.linear_k, self.linear_v)
        )
        if kv is not None:
            key, value = kv.append(index, key, value)
        # one product per head for the whole batch: positions are the same for all
        by_distance = (query + self.pos_bias_v[:, None]) * self.scale
        by_distance = by_distance.transpose(0, 1).flatten(1, 2)
        bias = (by_distance @ positions.transpose(1, 2)).unflatten(1, x.shape[:2])
        bias = bias.transpose(0, 1)
        bias = _shift(bias, key.size(2), late)
        if hidden is not None:
            bias = bias.masked_fill(hidden, -torch.inf)
        out = F.scaled_dot_product_attention(
            query + self.pos_bias_u[:, None],
            key,
            value,
            attn_mask=bias,
            dropout_p=self.dropout if self.training else 0.0,
        )
        return self.linear_out(out.transpose(1, 2).flatten(2))


def _shift(
    by_distance: torch.Tensor, num_keys: int, late: torch.Tensor | None = None
) -> torch.Tensor:
    """Columns of distance -> columns of keys: (B, H, S, D) -> (B, H, S, T).

    With the D = T distances T-1, ..., 0, valid for keys j <= i; with the T + S - 1
    distances T-1, ..., -(S-1) for all keys.
    """
    batch, heads, length, distances = by_distance.shape
    if late is not None:
        row = torch.arange(length - 1, -1, -1, device=late.device)[:, None]
        column = row + torch.arange(num_keys, device=late.device)
        column = (column + late[:, None, None]).clamp(max=distances - 1)
        return by_distance.gather(3, column[:, None].expand(-1, heads, -1, -1))
    if length == 1:
        return by_distance
    padded = F.pad(by_distance, (1, 0)).reshape(batch, heads, distances + 1, length)
    return padded[:, :, 1:].reshape(by_distance.shape)[..., :num_keys]
