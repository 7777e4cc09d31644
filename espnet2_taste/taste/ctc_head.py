"""A CTC head on the encoder's keys: the tokenizer's own recogniser (TASTE-S, sec. 2).

With it no other recogniser is asked for the text of speech. Nothing of the size frames
x vocabulary is ever made, so that a language model's 262k tokens fit as 300 do.
"""

import torch
from torch.nn.functional import ctc_loss, linear
from torch.utils.checkpoint import checkpoint

from espnet2_taste.asr.chunks import ChunkStream
from espnet2_taste.asr.ctc_decoding import BestPathStream, FrameScores, Heard, decode
from espnet2_taste.asr.espnet_asr import build_encoder, encode, mask_padding
from espnet2_taste.nn.segments import length_mask
from espnet2_taste.text.view import TextView

#: Logits that exist at a time (64 MiB of float32).
MOST_LOGITS = 1 << 24
#: Logit of a column that is not there; float32's exp of it is 0.
_NEVER = -1.0e4


class CTCHead(torch.nn.Module):
    """Keys -> text, by layers of its own, if any, and a linear one.

    Args:
        key_size: width of the keys.
        vocab_size: text tokens; the blank is one more.
        inner_vocab_size: of the intermediate loss's vocabulary.
        encoder: layers between keys and logits, for tokens that the keys do not spell
            by themselves: an ESPnet encoder's name; None: the logits are a linear
            function of the keys.
        encoder_conf: its arguments. It reads keys, so ``input_layer`` is ``linear``
            unless said otherwise.
        inner_layer: the intermediate loss is on what enters this layer (as many as
            there are layers: on what leaves the last); None: there is none.
        weight: of the loss.
        inner_weight: of the intermediate loss.
    """

    def __init__(
        self,
        key_size: int,
        vocab_size: int,
        inner_vocab_size: int | None = None,
        encoder: str | None = None,
        encoder_conf: dict | None = None,
        inner_layer: int | None = None,
        weight: float = 1.0,
        inner_weight: float = 1.0,
    ):
        super().__init__()
        self.encoder, self.inner, size = None, None, key_size
        self.weight, self.inner_weight = weight, inner_weight
        self.layers = [] if inner_layer is None else [inner_layer]
        if encoder is not None:
            conf = {"input_layer": "linear"} | (encoder_conf or {})
            self.encoder = build_encoder(encoder, key_size, conf)
            mask_padding(self.encoder)
            size = self.encoder.output_size()
        if self.layers:
            count = len(getattr(self.encoder, "encoders", ()))
            if not 0 <= inner_layer <= count or not count:
                raise ValueError(
                    f"ctc_conf: inner_layer {inner_layer} is not one of the {count} "
                    "layers of its encoder"
                )
            self.inner = torch.nn.Linear(size, inner_vocab_size + 1)
        self.head = torch.nn.Linear(size, vocab_size + 1)

    def forward(
        self, keys: torch.Tensor, lengths: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        """(B, F, key_size) keys and (B,) frames -> states (B, F', size) that the logits
        are made of, their lengths, and the states of the intermediate loss."""
        keys = keys[:, : int(lengths.max())]  # not all of Whisper's 30 s
        if self.encoder is None:
            return keys, lengths, None
        keys = keys * length_mask(lengths, keys.size(1))[..., None]
        lengths, states, *inner = encode(self.encoder, keys, lengths, self.layers)
        return states, lengths, inner[0] if inner else None

    def losses(
        self,
        states: torch.Tensor,
        lengths: torch.Tensor,
        inner: torch.Tensor | None,
        text: TextView,
        inner_text: TextView,
    ) -> dict[str, tuple[float, torch.Tensor]]:
        """Of what :meth:`forward` gave: name -> weight and CTC loss, mean per token.
        Text that is too long for its frames has none."""
        ids, id_lengths = text.ids, text.lengths
        loss = bounded_ctc_loss(self.head, states, lengths, ids, id_lengths)
        losses = {"ctc": (self.weight, loss)}
        if inner is not None:
            ids, id_lengths = inner_text.ids, inner_text.lengths
            loss = bounded_ctc_loss(self.inner, inner, lengths, ids, id_lengths)
            losses["ctc_inner"] = self.inner_weight, loss
        return losses

    @torch.no_grad()
    def frame_scores(
        self, states: torch.Tensor, lengths: torch.Tensor, best: int = 1
    ) -> FrameScores:
        """Blank and ``best`` tokens of each frame of :meth:`forward`'s states."""
        blank, best = self.head.out_features - 1, min(best, self.head.out_features - 1)
        parts = []
        for rows in states.flatten(0, 1).split(_rows(self.head)):
            probs = self.head(rows).float().log_softmax(-1)
            top = probs[:, :blank].topk(best, -1)
            parts.append((probs[:, blank], top.values, top.indices))
        joined = [
            torch.cat(p).unflatten(0, states.shape[:2])
            for p in zip(*parts, strict=True)
        ]
        return FrameScores(*joined, lengths)

    def transcribe(
        self, keys: torch.Tensor, lengths: torch.Tensor, beam: int = 1
    ) -> list[Heard]:
        """What is said.

        Args:
            keys: (B, F, key_size); lengths: (B,) frames.
            beam: see :func:`~espnet2_taste.asr.ctc_decoding.decode`; a frame grows
                prefixes by that many tokens, too.
        """
        states, lengths, _ = self(keys, lengths)
        return decode(self.frame_scores(states, lengths, beam), beam)

    def open_stream(self) -> "CTCStream":
        """For keys that come in pieces."""
        return CTCStream(self)


class CTCStream:
    """Greedy decoding of one utterance whose keys come in pieces.

    Args:
        head: its layers, if any, were trained in chunks.

    Raises:
        ValueError: they were not, or have less frames than the keys.
    """

    def __init__(self, head: CTCHead):
        self.head, self.layers = head, None
        if head.encoder is not None:
            self.layers = ChunkStream(head.encoder)
            if self.layers.subsampling != 1:
                raise ValueError(
                    "ctc_conf: an encoder with input_layer linear can stream"
                )
        self.path = BestPathStream()

    @torch.inference_mode()
    def push(self, keys: torch.Tensor, last: bool = False) -> Heard:
        """The tokens that are told after (1, F, key_size) more keys; F may be 0.

        Args:
            keys: of the encoder's stream.
            last: nothing follows.
        """
        states = keys
        if self.layers is not None:
            states = self.layers.push(keys, last)[0]
        lengths = torch.tensor([states.size(1)], device=states.device)
        return self.path.push(self.head.frame_scores(states, lengths), last)


def _rows(head: torch.nn.Linear) -> int:
    return max(1, MOST_LOGITS // head.out_features)


def bounded_ctc_loss(
    head: torch.nn.Linear,
    states: torch.Tensor,
    lengths: torch.Tensor,
    ids: torch.Tensor,
    id_lengths: torch.Tensor,
) -> torch.Tensor:
    """``F.ctc_loss`` of a linear layer's log-softmax, without its (B, F, V) logits.

    A path meets the item's own tokens only. With q their distribution, renormalised,
    and Z_t its share of all: -ln p(text) = CTC(q) - sum_t ln Z_t. Only the normaliser
    needs all V logits; they are made for some frames at a time, and again for the
    gradient.

    Args:
        head: the last row is the blank.
        states: (B, F, size).
        lengths: (B,) int64 frames.
        ids: (B, L) int64 tokens, anything in the padding.
        id_lengths: (B,) int64.

    Returns:
        scalar, mean over items of the mean per token; 0 of an item whose tokens do not
        go into its frames.
    """
    blank = head.out_features - 1
    valid = length_mask(id_lengths, ids.size(1))
    ranked, order = ids.masked_fill(~valid, blank).sort(1)
    new = torch.nn.functional.pad(ranked[:, 1:] != ranked[:, :-1], (1, 0), value=True)
    rank = new.cumsum(1)  # 1, 2, ... over the item's different tokens
    columns = torch.full_like(ids, blank).scatter(1, rank - 1, ranked)
    columns = torch.nn.functional.pad(columns, (1, 0), value=blank)
    there = columns != blank
    there[:, 0] = True
    local = torch.zeros_like(ids).scatter(1, order, rank).masked_fill(~valid, 1)
    logits = states @ head.weight[columns].transpose(1, 2) + head.bias[columns][:, None]
    logits = logits.float().masked_fill(~there[:, None], _NEVER)
    share = logits.logsumexp(-1) - _normaliser(head, states)
    path = ctc_loss(
        logits.log_softmax(-1).transpose(0, 1),
        local,
        lengths,
        id_lengths,
        reduction="none",
        zero_infinity=True,
    )
    frames = length_mask(lengths, states.size(1))
    repeats = ((ids[:, 1:] == ids[:, :-1]) & valid[:, 1:]).sum(1)
    fits = lengths >= id_lengths + repeats
    loss = path - (share * frames).sum(1) * fits
    return (loss / id_lengths.clamp(min=1)).mean()


def _normaliser(head: torch.nn.Linear, states: torch.Tensor) -> torch.Tensor:
    """(B, F) ln of the sum of the exponentials of all logits."""

    def of(rows: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor):
        return linear(rows, weight, bias).float().logsumexp(-1)

    parts = states.flatten(0, 1).split(_rows(head))
    if len(parts) == 1:
        return of(states, head.weight, head.bias)
    made = [
        checkpoint(of, p, head.weight, head.bias, use_reentrant=False) for p in parts
    ]
    return torch.cat(made).unflatten(0, states.shape[:2])
