"""Speech decoding while words arrive: the contract, and what any decoder can do.

Words go in with :meth:`DecoderStreams.feed` and units come out with
:meth:`DecoderStreams.pull`, a few at a time, so that a decoder whose units mostly come
after the last word (one that reads all text first) is heard before it is done.
"""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch.nn.utils.rnn import pad_sequence

from espnet2_taste.io.values import check_numbers
from espnet2_taste.nn.segments import count_segments
from espnet2_taste.nn.streams import AbsStreams
from espnet2_taste.taste.speech_decoder.abs_speech_decoder import (
    AbsSpeechDecoder,
    Conditioning,
    GeneratedUnits,
    Sampling,
)
from espnet2_taste.text.view import TextView


@dataclass
class Piece:
    """The next whole words of one utterance, in the decoder's vocabulary.

    Attributes:
        ids: (L,) int64 tokens.
        word_ids: (L,) int64 word of each, 0, 0, 1 ... within the piece.
        audio: (L, D) quantised TASTE vectors, a segment's repeated over its tokens;
            None: text only, which holds for all pieces of a session or for none.
    """

    ids: torch.Tensor
    word_ids: torch.Tensor
    audio: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def num_words(self) -> int:
        """W."""
        return int(self.word_ids[-1]) + 1 if len(self) else 0


@dataclass
class SpokenPrompt:
    """What a voice has said before. It and what follows are one utterance.

    So every unit is read, where CosyVoice 2 drops, without a word, those that the
    blocks of the prompt's text do not hold: they fill the blocks of the text that comes
    next, or follow its end. With fewer units than those blocks hold, what is generated
    first says the rest of the prompt's text, and a warning tells so.

    Attributes:
        piece: its text, in the decoder's vocabulary, and its TASTE embeddings.
        units: (P,) int64 units that say it.
    """

    piece: Piece
    units: torch.Tensor


class DecoderStreams(AbsStreams):
    """B utterances being decoded.

    A stream's units, over all calls, are those of ``generate`` for the same words,
    sampling and seed, however its words are cut into pieces and its units into pulls.
    """

    #: whether pieces have TASTE vectors; None: none has come yet
    has_audio: bool | None = None

    def check_push(
        self, items: Sequence[Piece | None], last: Sequence[bool] | None
    ) -> tuple[list[Piece | None], list[bool]]:
        """See AbsStreams; also refuses vectors that are no numbers or not for all."""
        items, last = super().check_push(items, last)
        kinds = {self.has_audio} - {None}
        for row, piece in enumerate(items):
            if not piece:
                continue
            if piece.ids.shape != piece.word_ids.shape:
                raise ValueError(
                    f"stream {row}: {len(piece.ids)} tokens, but the words of "
                    f"{len(piece.word_ids)}"
                )
            kinds.add(piece.audio is not None)
            if piece.audio is not None:
                if len(piece.audio) != len(piece):
                    raise ValueError(
                        f"stream {row}: {len(piece.audio)} TASTE vectors for "
                        f"{len(piece)} tokens"
                    )
                check_numbers(f"TASTE vectors of stream {row}", piece.audio)
        if len(kinds) > 1:
            raise ValueError("pieces with and without TASTE vectors in one session")
        self.has_audio = next(iter(kinds), None)
        return items, last

    @abstractmethod
    def feed(
        self, pieces: Sequence[Piece | None], last: Sequence[bool] | None = None
    ) -> None:
        """Take the new words of each stream; see :meth:`AbsStreams.push`."""

    @abstractmethod
    def pull(self, most: int = 25) -> list[torch.Tensor]:
        """Go on with every stream that can.

        Args:
            most: units a stream may make before the call returns (a guide: a decoder
                may overshoot by the steps between two looks at the device).

        Returns:
            B tensors (n,) int64. All are empty only when no stream can go on without
            further words.
        """

    @property
    def done(self) -> list[bool]:
        """Whether all units of each stream have been pulled.

        Never too early. Here never at all: whose pull finds nothing more knows it, too.
        """
        return [False] * self.count

    def push(
        self, pieces: Sequence[Piece | None], last: Sequence[bool] | None = None
    ) -> list[torch.Tensor]:
        """Feed, then pull all that can be told; see :meth:`AbsStreams.push`."""
        self.feed(pieces, last)
        pulled = [self.pull()]
        while any(len(units) for units in pulled[-1]):
            pulled.append(self.pull())
        return [torch.cat(units) for units in zip(*pulled, strict=True)]


def word_by_word(
    cond: Conditioning,
) -> Iterator[tuple[list[Piece | None], list[bool]]]:
    """What :meth:`DecoderStreams.feed` takes when a batch's words come one by one."""
    words = count_segments(cond.text.word_ids, cond.text.lengths).tolist()
    lengths = cond.text.lengths.tolist()
    for word in range(max([*words, 1])):
        pieces: list[Piece | None] = []
        for row, n in enumerate(lengths):
            chosen = (cond.text.word_ids[row, :n] == word).nonzero().squeeze(1)
            ids = cond.text.ids[row, chosen]
            audio = None if cond.audio is None else cond.audio[row, chosen]
            pieces.append(Piece(ids, torch.zeros_like(ids), audio))
        yield pieces, [word + 1 >= count for count in words]


class WholeTextStreams(DecoderStreams):
    """Streams of a decoder that reads the whole text first: units follow its end.

    Streams that end with one :meth:`feed` are decoded as one batch.

    Args:
        decoder: in eval mode.
        spk_emb: (B, S).
        sampling: how to draw.
        item_seeds: B integers.
    """

    def __init__(
        self,
        decoder: AbsSpeechDecoder,
        spk_emb: torch.Tensor,
        sampling: Sampling,
        item_seeds: list[int],
    ):
        super().__init__(len(spk_emb))
        self.decoder = decoder
        self.spk_emb = spk_emb
        self.sampling = sampling
        self.item_seeds = item_seeds
        self.pieces: list[list[Piece]] = [[] for _ in range(self.count)]
        # those at work: rows, and the blocks of units that they still give
        self.batches: list[tuple[list[int], Iterator[GeneratedUnits]]] = []

    def feed(
        self, pieces: Sequence[Piece | None], last: Sequence[bool] | None = None
    ) -> None:
        pieces, last = self.check_push(pieces, last)
        for held, piece in zip(self.pieces, pieces, strict=True):
            held += [piece] if piece else []
        rows = [i for i in range(self.count) if last[i] and not self.ended[i]]
        for i in rows:
            self.ended[i] = True
        rows = [i for i in rows if self.pieces[i]]
        if rows:
            cond = joined([self.pieces[i] for i in rows], self.spk_emb[rows])
            seeds = [self.item_seeds[i] for i in rows]
            for i in rows:
                self.pieces[i] = []
            blocks = self.decoder.generate_blocks(cond, self.sampling, seeds)
            self.batches.append((rows, blocks))

    def pull(self, most: int = 25) -> list[torch.Tensor]:
        made = [torch.zeros(0, dtype=torch.long) for _ in range(self.count)]
        going = []
        for rows, blocks in self.batches:
            for block in blocks:
                units, lengths = block.units.cpu(), block.lengths.tolist()
                for i, row, n in zip(rows, units, lengths, strict=True):
                    made[i] = torch.cat([made[i], row[:n]])
                if max(len(made[i]) for i in rows) >= most:
                    going.append((rows, blocks))
                    break
        self.batches = going
        return made

    @property
    def done(self) -> list[bool]:
        at_work = {row for rows, _ in self.batches for row in rows}
        return [end and row not in at_work for row, end in enumerate(self.ended)]


def joined(utterances: list[list[Piece]], spk_emb: torch.Tensor) -> Conditioning:
    """The pieces of B utterances, at least one of each, as a batch."""
    device, ids, word_ids, audio = spk_emb.device, [], [], []
    for pieces in utterances:
        words, shifted = 0, []
        for piece in pieces:
            shifted.append(piece.word_ids + words)
            words += piece.num_words
        ids.append(torch.cat([piece.ids for piece in pieces]))
        word_ids.append(torch.cat(shifted))
        if pieces[0].audio is not None:
            audio.append(torch.cat([piece.audio for piece in pieces]))
    lengths = torch.tensor([len(item) for item in ids], device=device)
    ids, word_ids = (pad_sequence(x, True).to(device) for x in (ids, word_ids))
    vectors = pad_sequence(audio, True).to(device) if audio else None
    return Conditioning(TextView(ids, lengths, word_ids), vectors, spk_emb)
