"""Streams of `word_synchronous`: a word is spoken when the next one is known.

Exact: text is encoded from left to right, and a word's units look at the words before
it, itself and the one after.
"""

from collections.abc import Sequence

import torch
from torch.nn.utils.rnn import pad_sequence

from espnet2_taste.nn.segments import pool_segments
from espnet2_taste.taste.speech_decoder.abs_speech_decoder import Sampling
from espnet2_taste.taste.speech_decoder.sampling import UnitSampler
from espnet2_taste.taste.speech_decoder.streams import DecoderStreams, Piece
from espnet2_taste.taste.speech_decoder.word_synchronous import WordSynchronousDecoder

#: steps between two looks at who has to wait for words (a host sync)
_BURST = 8


class WordSynchronousStreams(DecoderStreams):
    """B utterances; each step is one of all that have words left to speak.

    Args:
        decoder: in eval mode.
        spk_emb: (B, S).
        sampling: how to draw.
        item_seeds: B integers; default 0 for each.
    """

    @torch.inference_mode()
    def __init__(
        self,
        decoder: WordSynchronousDecoder,
        spk_emb: torch.Tensor,
        sampling: Sampling,
        item_seeds: list[int] | None = None,
    ):
        super().__init__(len(spk_emb))
        self.decoder = decoder
        self.speaker = decoder._speaker(spk_emb)
        self.device = self.speaker.device
        self.sampler = UnitSampler(sampling, self.count, self.device, item_seeds)
        self.text_cache = decoder.text_encoder.new_ragged_cache(
            self.count, self.speaker
        )
        self.cache = decoder.transformer.new_ragged_cache(
            self.count * decoder.views, self.speaker
        )
        # what a step sees of a word, and the units expected of it
        shape = (self.count, 0, decoder.views, self.speaker.size(1))
        self.contexts = self.speaker.new_zeros(shape)
        self.expected = self.speaker.new_zeros(self.count, 0)
        self.known = [0] * self.count  # words that have come
        self.spoken = [0] * self.count  # words
        self.times = [0] * self.count  # steps made
        self.calls = 0  # of the sampler
        zeros = torch.zeros(self.count, dtype=torch.long, device=self.device)
        self.word, self.step, self.limit = zeros, zeros, zeros
        self.token = zeros + decoder.num_units + 1  # START

    @torch.inference_mode()
    def feed(
        self, pieces: Sequence[Piece | None], last: Sequence[bool] | None = None
    ) -> None:
        pieces, last = self.check_push(pieces, last)
        if any(pieces):
            self._encode(pieces)
        for row, end in enumerate(last):
            if end and not self.ended[row]:
                self.ended[row] = True
                if self.known[row]:
                    spot = self.contexts[row, self.known[row] - 1]
                    spot += self.decoder.end_of_text
        limits = map(self._limit, range(self.count))
        self.limit = torch.tensor(list(limits), device=self.device)

    def _limit(self, row: int) -> int:
        """The words that a stream can speak by now."""
        words = self.known[row]
        return words if self.ended[row] else max(words - 1, 0)

    def _encode(self, pieces: list[Piece | None]) -> None:
        """Contexts of new words, and what the words before them see of them."""
        decoder = self.decoder
        empty = torch.zeros(0, dtype=torch.long, device=self.device)
        counts = [piece.num_words if piece else 0 for piece in pieces]
        ids = [p.ids.to(empty.device) if p else empty for p in pieces]
        words = [p.word_ids.to(empty.device) if p else empty for p in pieces]
        lengths = torch.tensor([len(item) for item in ids], device=self.device)
        ids, words = (pad_sequence(x, True) for x in (ids, words))
        layout = (words, lengths, max(counts))
        text = pool_segments(decoder.text_embedding(ids), *layout)
        vectors = [piece.audio for piece in pieces if piece]
        audio = None
        if vectors[0] is not None:
            none = vectors[0][:0]
            vectors = [piece.audio if piece else none for piece in pieces]
            audio = pool_segments(pad_sequence(vectors, True), *layout)
        self._make_room(max(map(sum, zip(self.known, counts, strict=True))))
        new = torch.tensor(counts, device=self.device)
        slots = torch.tensor(self.known, device=self.device)
        rows = torch.arange(self.count, device=self.device)
        for index in range(max(counts)):
            going = index < new
            alone = decoder.text_encoder(text[:, index, None], self.text_cache)[:, 0]
            self.text_cache.advance(going)
            fused = alone
            if audio is not None:
                fused = decoder.fusion(alone, audio[:, index].to(alone.dtype))
            views = decoder._told(fused, alone)
            # the first word has none before it: its slot is written just below
            before = (slots - 1).clamp(min=0)
            following = decoder.next_word(views) * going[:, None, None]
            self.contexts[rows, before] += following
            current = decoder.current_word(views) + self.speaker[:, None]
            place = torch.where(going, slots, self.contexts.size(1) - 1)
            self.contexts[rows, place] = current
            self.expected[rows, place] = decoder._log_durations(fused).exp()
            slots = slots + going
        self.known = [a + b for a, b in zip(self.known, counts, strict=True)]
        self.text_cache.length = max(self.known)

    def _make_room(self, words: int) -> None:
        """Slots for so many words of a stream, and one for what is not kept."""
        missing = words + 1 - self.contexts.size(1)
        if missing > 0:
            missing = max(missing, self.contexts.size(1))
            pad = torch.nn.functional.pad
            self.contexts = pad(self.contexts, (0, 0, 0, 0, 0, missing))
            self.expected = pad(self.expected, (0, missing))

    @torch.inference_mode()
    def pull(self, most: int = 25) -> list[torch.Tensor]:
        made = [torch.zeros(0, dtype=torch.long) for _ in range(self.count)]
        rows = range(self.count)
        while max(map(len, made)) < most:
            if all(self.spoken[row] >= self._limit(row) for row in rows):
                break
            for row, tokens in enumerate(self._burst().cpu()):
                is_unit = (tokens >= 0) & (tokens < self.decoder.num_units)
                made[row] = torch.cat([made[row], tokens[is_unit]])
                self.times[row] += int((tokens >= 0).sum())
                self.spoken[row] += int((tokens == self.decoder.num_units).sum())
        return made

    @property
    def done(self) -> list[bool]:
        rows = zip(self.ended, self.spoken, self.known, strict=True)
        return [ended and spoken == known for ended, spoken, known in rows]

    def _burst(self) -> torch.Tensor:
        """A few steps: (B, steps) units and ADVANCE tokens, -1 where a stream waits."""
        decoder, rows = self.decoder, torch.arange(self.count, device=self.device)
        self.cache.length = max(self.times)
        tokens = []
        for _ in range(_BURST):
            going = self.word < self.limit
            left = self.expected[rows, self.word] - self.step
            x = decoder._embed(self.token, self.step, left)
            x = x[:, None] + self.contexts[rows, self.word]
            logits = decoder._allowed(decoder._logits(x, self.cache), self.step)
            self.cache.advance(going.repeat_interleave(decoder.views))
            token = self.sampler(logits, self.calls, going)
            self.calls += 1
            advance = going & (token == decoder.num_units)
            self.token = torch.where(going, token, self.token)
            self.step = (self.step + going).masked_fill(advance, 0)
            self.word = self.word + advance
            tokens.append(token.masked_fill(~going, -1))
        return torch.stack(tokens, 1)
