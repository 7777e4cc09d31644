"""Transformer decoder block with separate key and value states."""

import torch
from torch.nn.functional import dropout, gelu, scaled_dot_product_attention


class SeparateAttention(torch.nn.Module):
    """Multi-head attention whose keys and values come from different states.

    Args:
        d_model: width of queries and output.
        num_heads: heads.
        key_size: width of the key states.
        value_size: width of the value states.
    """

    def __init__(
        self,
        d_model: int,
        num_heads: int,
        key_size: int,
        value_size: int,
    ):
        super().__init__()
        self.num_heads = num_heads
        self.q_proj = torch.nn.Linear(d_model, d_model)
        self.k_proj = torch.nn.Linear(key_size, d_model, bias=False)  # as Whisper's
        self.v_proj = torch.nn.Linear(value_size, d_model)
        self.out_proj = torch.nn.Linear(d_model, d_model)

    def forward(
        self,
        query: torch.Tensor,
        keys: torch.Tensor,
        values: torch.Tensor,
        mask: torch.Tensor | None = None,
        causal: bool = False,
        need_attention: bool = False,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Attend.

        Args:
            query: (B, L, d_model).
            keys: (B, F, key_size).
            values: (B, F, value_size).
            mask: (B, 1, 1 or L, F) bool, True where attended.
            causal: attend up to the own position (then no mask).
            need_attention: also return the weights (B, heads, L, F).
        """
        memory = self.project(keys, values)
        return self.attend(query, *memory, mask, causal, need_attention)

    def project(
        self, keys: torch.Tensor, values: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """What is attended to, twice (B, heads, F, d_model / heads)."""
        return self._heads(self.k_proj(keys)), self._heads(self.v_proj(values))

    def _heads(self, x: torch.Tensor) -> torch.Tensor:
        return x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)

    def attend(
        self,
        query: torch.Tensor,
        k: torch.Tensor,
        v: torch.Tensor,
        mask: torch.Tensor | None = None,
        causal: bool = False,
        need_attention: bool = False,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """:meth:`forward` to what :meth:`project` gave."""
        q = self._heads(self.q_proj(query))
        out = scaled_dot_product_attention(q, k, v, mask, is_causal=causal)
        weights = None
        if need_attention:
            scores = (q * q.size(-1) ** -0.5) @ k.transpose(-1, -2)
            if mask is not None:
                scores = scores.masked_fill(~mask, -torch.inf)
            weights = scores.float().softmax(dim=-1)
        return self.out_proj(out.transpose(1, 2).flatten(-2)), weights


class AggregatorLayer(torch.nn.Module):
    """Pre-norm self-attention, cross-attention, feed-forward; Whisper's names.

    Args:
        d_model: width.
        num_heads: heads of both attentions.
        ffn_dim: width of the feed-forward part.
        key_size: width of the encoder's keys.
        value_size: width of the encoder's values.
        dropout: after every sub-layer.
    """

    def __init__(
        self,
        d_model: int,
        num_heads: int,
        ffn_dim: int,
        key_size: int,
        value_size: int,
        dropout: float = 0.0,
    ):
        super().__init__()
        self.dropout = dropout
        self.self_attn = SeparateAttention(d_model, num_heads, d_model, d_model)
        self.self_attn_layer_norm = torch.nn.LayerNorm(d_model)
        self.encoder_attn = SeparateAttention(d_model, num_heads, key_size, value_size)
        self.encoder_attn_layer_norm = torch.nn.LayerNorm(d_model)
        self.fc1 = torch.nn.Linear(d_model, ffn_dim)
        self.fc2 = torch.nn.Linear(ffn_dim, d_model)
        self.final_layer_norm = torch.nn.LayerNorm(d_model)

    def forward(
        self,
        x: torch.Tensor,
        keys: torch.Tensor,
        values: torch.Tensor,
        self_mask: torch.Tensor | None,
        frame_mask: torch.Tensor | None,
        causal: bool,
        need_attention: bool,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """(B, L, d_model) -> the same, and cross-attention (B, heads, L, F) or None.

        Args:
            x: (B, L, d_model).
            keys: (B, F, key_size).
            values: (B, F, value_size).
            self_mask: (B, 1, 1, L) bool or None.
            frame_mask: (B, 1, 1, F) bool or None.
            causal: of the self-attention.
            need_attention: return the cross-attention.
        """
        y = self.self_attn_layer_norm(x)
        own, frames = (
            self.self_attn.project(y, y),
            self.encoder_attn.project(keys, values),
        )
        return self.attend(
            x, y, own, frames, self_mask, frame_mask, causal, need_attention
        )

    def attend(
        self,
        x: torch.Tensor,
        normed: torch.Tensor,
        own: tuple[torch.Tensor, torch.Tensor],
        frames: tuple[torch.Tensor, torch.Tensor],
        self_mask: torch.Tensor | None,
        frame_mask: torch.Tensor | None,
        causal: bool = False,
        need_attention: bool = False,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """:meth:`forward` to tokens and frames that were projected before.

        Args:
            x: (B, L, d_model).
            normed: ``self_attn_layer_norm`` of it.
            own: of the self-attention, tokens before these included.
            frames: of the cross-attention.
            self_mask, frame_mask, causal, need_attention: as :meth:`forward`'s.
        """
        y, _ = self.self_attn.attend(normed, *own, self_mask, causal)
        x = x + dropout(y, self.dropout, self.training)
        y, attention = self.encoder_attn.attend(
            self.encoder_attn_layer_norm(x),
            *frames,
            frame_mask,
            need_attention=need_attention,
        )
        x = x + dropout(y, self.dropout, self.training)
        y = self.fc2(gelu(self.fc1(self.final_layer_norm(x))))
        return x + dropout(y, self.dropout, self.training), attention
