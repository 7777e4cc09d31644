"""The obvious ways of computing what the product computes; slower, same results."""

import contextlib
import math
from collections.abc import Callable, Iterator
from unittest import mock

import torch

from espnet2_taste.nn.rel_pos_encoder import RelPosEncoder
from espnet2_taste.taslm.espnet_model import TaslmModel
from espnet2_taste.taste.speech_decoder.abs_speech_decoder import Conditioning
from espnet2_taste.taste.speech_decoder.unit_transformer import UnitTransformerDecoder


@torch.no_grad()
def generate_units(
    decoder: UnitTransformerDecoder, cond: Conditioning, count: int
) -> torch.Tensor:
    """Greedy units of one utterance, without end of speech: (1, count) int64.

    As the reference's loop: at each step keys and values are concatenated to those
    before, with each other and over the layers, and every layer projects all 2 T - 1
    relative positions again.
    """
    x = decoder._prompt(cond)
    past, units = None, []
    for _ in range(count):
        hidden, past = encode_step(decoder.llm, x, past)
        logits = decoder.llm_decoder(hidden[:, -1])
        units.append(logits[:, : decoder.num_units].argmax(-1))
        x = decoder.speech_embedding(units[-1])[:, None]
    return torch.stack(units, 1)


def encode_step(
    encoder: RelPosEncoder, x: torch.Tensor, past: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Encode (1, S, input_size) after T positions: (1, S, size), and the new ``past``.

    ``past`` (layers, H, T, 2 d) holds keys beside values.
    """
    x = encoder.embed["out"](x) * math.sqrt(encoder.size)
    total = x.size(1) + (0 if past is None else past.size(2))
    table = encoder.table(total, x, causal=False)
    grown = []
    for layer, block in enumerate(encoder.encoders):
        norm1, norm2 = (getattr(block, name) for name in block.norm_names)
        attended, kv = attend(
            block.self_attn,
            norm1(x),
            block.self_attn.linear_pos(table),
            None if past is None else past[layer : layer + 1],
        )
        grown.append(kv)
        x = x + attended
        x = x + block.feed_forward(norm2(x))
    return encoder.after_norm(x), torch.cat(grown)


def attend(attention, x, positions, past):
    """One layer: attended (1, S, size), and keys beside values (1, H, T, 2 d)."""

    def heads(y: torch.Tensor) -> torch.Tensor:
        return y.unflatten(-1, (attention.num_heads, -1)).transpose(-2, -3)

    q, k, v = (
        heads(linear(x))
        for linear in (attention.linear_q, attention.linear_k, attention.linear_v)
    )
    if past is not None:
        k, v = (
            torch.cat(both, 2) for both in zip(past.chunk(2, -1), (k, v), strict=True)
        )
    kv = torch.cat([k, v], -1)
    by_key = (q + attention.pos_bias_u[:, None]) @ k.transpose(-1, -2)
    by_distance = q + attention.pos_bias_v[:, None]
    by_distance = by_distance @ heads(positions).transpose(-1, -2)
    new, total = x.size(1), k.size(2)
    row = torch.arange(new, device=x.device)[:, None]
    column = torch.arange(total, device=x.device)
    # column c holds the distance total - 1 - c; query i stands at total - new + i
    index = (column + new - 1 - row).expand(*by_distance.shape[:2], -1, -1)
    scores = (by_key + by_distance.gather(-1, index)) * attention.scale
    scores = scores.masked_fill(column > row + total - new, -torch.inf)
    out = scores.softmax(-1) @ v
    return attention.linear_out(out.transpose(1, 2).flatten(2)), kv


def eager_attention(q, k, v, mask=None, is_causal=False) -> torch.Tensor:
    """``scaled_dot_product_attention`` that writes the weights to memory."""
    scores = (q * q.size(-1) ** -0.5) @ k.transpose(-1, -2)
    if is_causal:
        mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=q.device).tril()
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    return scores.float().softmax(-1).to(v.dtype) @ v


def average_segments(
    hidden: torch.Tensor, word_ids: torch.Tensor, lengths: torch.Tensor
) -> torch.Tensor:
    """Each token's vector replaced by its word's mean, one word after the other."""
    out = hidden.clone()
    for item, length in enumerate(lengths.tolist()):
        ids = word_ids[item, :length]
        for word in ids.unique().tolist():
            tokens = (ids == word).nonzero()[:, 0]
            out[item, tokens] = hidden[item, tokens].mean(0)
    return out


def assemble(
    model: TaslmModel,
    text: torch.Tensor,
    text_lengths: torch.Tensor,
    word_ids: torch.Tensor,
    taste: torch.Tensor,
) -> torch.Tensor:
    """The TASLM's inputs, one utterance and one word after the other: (B, L, size)."""
    inputs, rows = model.inputs, []
    for item, length in enumerate(text_lengths.tolist()):
        ids, words = text[item, :length], word_ids[item, :length].tolist()
        streams = model.lm.embed(ids), inputs.pad_text.expand(inputs.delay, -1)
        audio = []
        for word in words + [words[-1] + 1 + i for i in range(inputs.delay)]:
            heard = word - inputs.delay
            if heard < 0:
                audio.append(inputs.padding)
            else:
                vector = model.quantizer.codes_to_embeddings(taste[item, heard])
                audio.append(inputs.fusion.project(vector))
        fused = inputs.fusion.mix(torch.cat(streams), torch.stack(audio))
        sos = model.lm.embed(ids.new_tensor([model.lm.sos_id]))
        rows.append(torch.cat([sos, fused]))
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)


@contextlib.contextmanager
def heads_everywhere(model: TaslmModel) -> Iterator[None]:
    """The LM also computes logits and codes of all positions, which nobody asks for."""
    lm, head = model.lm, model.speech_head
    forward = lm.forward

    def and_heads(*args, **options):
        output = forward(*args, **options)
        lm.logits(output.hidden)
        states = output.hidden.flatten(0, 1)
        unused = states.new_zeros(len(states), head.num_draws)
        head.sample(states, model.quantizer, unused)
        return output

    with mock.patch.object(lm, "forward", and_heads):
        yield


class TwoCalls(torch.nn.Module):
    """A U-Net that computes the halves of a batch one after the other.

    Args:
        unet: of the flow.
    """

    def __init__(self, unet: torch.nn.Module):
        super().__init__()
        self.unet = unet
        self.time_table: Callable = unet.time_table

    def forward(self, x, mu, time, speaker, cond, mask):
        """As the U-Net's."""
        halves = zip(
            *(part.chunk(2) for part in (x, mu, speaker, cond)),
            (None, None) if mask is None else mask.chunk(2),
            strict=True,
        )
        return torch.cat(
            [
                self.unet(x, mu, time, speaker, cond, mask)
                for x, mu, speaker, cond, mask in halves
            ]
        )
