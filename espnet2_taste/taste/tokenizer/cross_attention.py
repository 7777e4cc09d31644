"""Transcript tokens gather speech frames by cross-attention (paper eq. 2-3)."""

import logging

import torch

from espnet2_taste.io.checkpoint import load_transformers
from espnet2_taste.nn.segments import length_mask
from espnet2_taste.taste.tokenizer.abs_aggregator import (
    AbsAggregator,
    AggregatorOutput,
)
from espnet2_taste.taste.tokenizer.abs_encoder import EncoderOutput
from espnet2_taste.taste.tokenizer.aggregator_layers import AggregatorLayer
from espnet2_taste.taste.tokenizer.aggregator_stream import AggregatorStream

#: <|startoftranscript|> <|en|> <|transcribe|> <|notimestamps|>, <|endoftext|>
WHISPER_PREFIX = (50258, 50259, 50360, 50364)
WHISPER_SUFFIX = (50257,)


class CrossAttentionAggregator(AbsAggregator):
    """Whisper decoder blocks whose cross-attention has separate keys and values.

    Parameter names and arithmetic are those of Whisper's decoder, of which published
    weights (``audio_segmenter.decoder.*`` in TASTE, ``model.decoder.*`` in Whisper)
    load unchanged.

    Args:
        vocab_size: of the text tokens.
        key_size: width of the encoder's keys.
        value_size: width of the encoder's values.
        num_values: layers that they come from: one.
        d_model: width.
        num_layers: blocks.
        num_heads: attention heads.
        ffn_dim: width of the feed-forward part.
        max_positions: longest token sequence, prefix and suffix included.
        dropout: after every sub-layer and the embeddings.
        prefix_ids: tokens put before every text, cut off afterwards; [] for none.
        suffix_ids: tokens put right after every text; [] for none. A causal model
            never looks at them.
        causal: a token sees the tokens before it only, as in Whisper; false: all.
        mask_padding: attend to the valid frames only. False: to all frames, as the
            reference does with audio padded to 30 s.
        identity_value_proj: start with values that pass unchanged (where value_size
            is d_model), as the reference does.
        init_from: hub id or local folder of a Whisper model whose decoder gives the
            initial weights of the first ``num_layers`` blocks.
        init_tokens: whether it gives the token table, too; false for another
            vocabulary than Whisper's, whose table starts at random.
        projected_size: width of a linear map after the last norm (TASTE2: the speech
            decoder's); None: there is none.
    """

    mixes_layers = False

    def __init__(
        self,
        vocab_size: int,
        key_size: int,
        value_size: int,
        num_values: int = 1,
        d_model: int = 1280,
        num_layers: int = 2,
        num_heads: int = 20,
        ffn_dim: int = 5120,
        max_positions: int = 448,
        dropout: float = 0.0,
        prefix_ids: list[int] | tuple[int, ...] = WHISPER_PREFIX,
        suffix_ids: list[int] | tuple[int, ...] = WHISPER_SUFFIX,
        causal: bool = True,
        mask_padding: bool = True,
        identity_value_proj: bool = True,
        init_from: str | None = None,
        init_tokens: bool = True,
        projected_size: int | None = None,
    ):
        super().__init__()
        if num_values > 1 and not self.mixes_layers:
            raise ValueError(
                f"cross_attention: the encoder gives {num_values} value layers: name "
                f"one of them in encoder_conf, or set aggregator: multi_layer"
            )
        if d_model % num_heads:
            raise ValueError(
                f"cross_attention: d_model {d_model} is not a multiple of num_heads "
                f"{num_heads}"
            )
        for name, ids in (("prefix_ids", prefix_ids), ("suffix_ids", suffix_ids)):
            if any(not 0 <= i < vocab_size for i in ids):
                raise ValueError(
                    f"cross_attention: {name} {list(ids)} are outside the vocabulary "
                    f"of {vocab_size} tokens: set {name} in aggregator_conf ([]: none)"
                )
        self.max_positions = max_positions
        self.longest = max_positions - len(prefix_ids) - len(suffix_ids)
        self.causal = causal
        self.mask_padding = mask_padding
        self.dropout = dropout
        prefix, suffix = (
            torch.tensor(list(x)).long() for x in (prefix_ids, suffix_ids)
        )
        self.register_buffer("prefix_ids", prefix, persistent=False)
        self.register_buffer("suffix_ids", suffix, persistent=False)

        self.embed_tokens = torch.nn.Embedding(vocab_size, d_model)
        self.embed_positions = torch.nn.Embedding(max_positions, d_model)
        self.layers = torch.nn.ModuleList(
            AggregatorLayer(d_model, num_heads, ffn_dim, key_size, value_size, dropout)
            for _ in range(num_layers)
        )
        self.layer_norm = torch.nn.LayerNorm(d_model)
        for embedding in (self.embed_tokens, self.embed_positions):
            torch.nn.init.normal_(embedding.weight, std=d_model**-0.5)
        if init_from is not None:
            self._init_from_whisper(init_from, init_tokens)
        self.projection = None
        if projected_size is not None:
            self.projection = torch.nn.Linear(d_model, projected_size)
        if identity_value_proj and value_size == d_model:
            for layer in self.layers:
                torch.nn.init.eye_(layer.encoder_attn.v_proj.weight)
                torch.nn.init.zeros_(layer.encoder_attn.v_proj.bias)

    @property
    def output_size(self) -> int:
        """Width of the vectors it returns."""
        if self.projection is not None:
            return self.projection.out_features
        return self.layer_norm.normalized_shape[0]

    def forward(
        self,
        text: torch.Tensor,
        text_lengths: torch.Tensor,
        encoder_out: EncoderOutput,
        need_attention: bool = False,
        seen: torch.Tensor | None = None,
    ) -> AggregatorOutput:
        """See :class:`AbsAggregator`.

        Raises:
            ValueError: a text longer than ``max_positions``.
        """
        hidden, maps = self.decode(
            text, text_lengths, encoder_out, need_attention, seen
        )
        tokens = slice(len(self.prefix_ids), len(self.prefix_ids) + text.size(1))
        attention = maps[-1].mean(dim=1)[:, tokens] if need_attention else None
        return AggregatorOutput(self.projected(hidden[:, tokens]), attention)

    def projected(self, hidden: torch.Tensor) -> torch.Tensor:
        """(..., d_model) after the last norm -> (..., output_size)."""
        return hidden if self.projection is None else self.projection(hidden)

    def mixed(self, encoder_out: EncoderOutput) -> EncoderOutput:
        """What is attended to: one value a frame."""
        return encoder_out

    def open_stream(self) -> AggregatorStream:
        """See :class:`AggregatorStream`."""
        return AggregatorStream(self)

    def decode(
        self,
        text: torch.Tensor,
        text_lengths: torch.Tensor,
        encoder_out: EncoderOutput,
        need_attention: bool = False,
        seen: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, list[torch.Tensor | None]]:
        """Like :meth:`forward`, prefix and suffix included, every layer and head.

        The prefix sees what the first token sees, the suffix all frames.

        Returns:
            hidden (B, P + L + S, d_model); per layer (B, heads, P + L + S, F) maps,
            or None each.
        """
        ids, lengths = self._add_special_tokens(text, text_lengths)
        self.check_length(ids.size(1))
        encoder_out = self.mixed(encoder_out)
        self_mask = frame_mask = None
        if not self.causal:
            self_mask = length_mask(lengths, ids.size(1))[:, None, None]
        if self.mask_padding:
            frames = encoder_out.keys.size(1)
            frame_mask = length_mask(encoder_out.lengths, frames)[:, None, None]
        if seen is not None:
            near = self._near(seen, text_lengths, encoder_out.keys.size(1))
            frame_mask = near if frame_mask is None else near & frame_mask
        x = self.embed_tokens(ids) + self.embed_positions.weight[: ids.size(1)]
        x = torch.nn.functional.dropout(x, self.dropout, self.training)
        maps = []
        for layer in self.layers:
            x, attention = layer(
                x,
                encoder_out.keys,
                encoder_out.values,
                self_mask,
                frame_mask,
                causal=self.causal,
                need_attention=need_attention,
            )
            maps.append(attention)
        return self.layer_norm(x), maps

    def check_length(self, tokens: int) -> None:
        """Raises ValueError where there are no positions for so many tokens."""
        if tokens > self.max_positions:
            raise ValueError(
                f"cross_attention: {tokens} tokens (special ones included), more than "
                f"max_positions {self.max_positions}: drop long utterances or raise "
                f"max_positions"
            )

    def _near(self, seen, lengths, frames: int) -> torch.Tensor:
        """(B, 1, P + L + S, F) bool, which frames each token attends to."""
        valid = length_mask(lengths, seen.size(1))
        seen = seen.masked_fill(~valid, frames).clamp(min=1)
        prefix, suffix = len(self.prefix_ids), len(self.suffix_ids)
        seen = torch.cat([seen[:, :1].expand(-1, prefix), seen], 1)
        seen = torch.nn.functional.pad(seen, (0, suffix), value=frames)
        return (torch.arange(frames, device=seen.device) < seen[..., None])[:, None]

    def _add_special_tokens(self, text, lengths):
        """(B, L), (B,) -> (B, P + L + S) ids, each suffix after its text, lengths."""
        prefix, suffix = self.prefix_ids, self.suffix_ids
        text = text.masked_fill(~length_mask(lengths, text.size(1)), 0)
        ids = torch.cat((prefix.expand(len(text), -1), text), dim=1)
        lengths = lengths + len(prefix)
        if len(suffix):
            ids = torch.nn.functional.pad(ids, (0, len(suffix)))
            offset = torch.arange(len(suffix), device=ids.device)
            places = lengths[:, None] + offset
            ids = ids.scatter(1, places, suffix.expand(len(text), -1))
        return ids, lengths + len(suffix)

    def _init_from_whisper(self, name: str, init_tokens: bool) -> None:
        from transformers import WhisperModel

        try:
            model = load_transformers(
                WhisperModel, name, used=r"decoder\..*", dtype=torch.float32
            )
        except (OSError, ValueError) as error:
            raise FileNotFoundError(
                f"cross_attention: cannot load init_from {name!r}, neither a local "
                f"folder nor a model the hub gives ({str(error).splitlines()[0]})"
            ) from error
        given, own = model.decoder.state_dict(), self.state_dict()
        if not init_tokens:
            given["embed_tokens.weight"] = own["embed_tokens.weight"]
        wrong = [k for k in own if k not in given or given[k].shape != own[k].shape]
        if wrong:
            raise ValueError(
                f"cross_attention: the decoder of {name} does not fit at {wrong[0]}: "
                f"check d_model, ffn_dim, num_layers, max_positions and vocab_size "
                f"(init_tokens: false for another vocabulary)"
            )
        self.load_state_dict({key: given[key] for key in own})
        left = model.config.decoder_layers - len(self.layers)
        logging.info("aggregator starts from %s (%d layers left out)", name, left)
