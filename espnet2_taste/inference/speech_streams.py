"""Speech while its words arrive: words with codes in, waveforms out."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from espnet2_taste.inference.voice_prompt import VoicePrompt, check_prompts, fitted
from espnet2_taste.nn.streams import AbsStreams
from espnet2_taste.taste.speech_decoder.streams import Piece, SpokenPrompt
from espnet2_taste.vocoder.cosyvoice.vocoder import Prompt

if TYPE_CHECKING:
    from espnet2_taste.inference.taste_to_speech import TasteToSpeech


class Words(NamedTuple):
    """The next whole words of an utterance.

    Whatever else has ``text`` and ``codes`` may stand in its place, as what
    :meth:`~espnet2_taste.inference.taslm_generate.TaslmGenerate.stream` yields.

    Attributes:
        text: one word or more, or "". In languages without spaces, a space at its
            beginning counts.
        codes: (S, R) int64 TASTE codes of them; None: text only.
    """

    text: str
    codes: np.ndarray | torch.Tensor | None = None


class SpeechStreams(AbsStreams):
    """B utterances being spoken.

    What a stream gives in all has the units that :class:`TasteToSpeech` makes of its
    words at once, with the same seed; its sound is as the vocoder's streams say.

    Args:
        speak: a model with a vocoder.
        spk_emb: (S,) speaker embedding of each stream.
        item_seeds: B integers.
        most: units after which there shall be sound; fewer sound earlier and cost more.
        prompts: what each stream goes on from, or None; see
            :class:`~espnet2_taste.taste.speech_decoder.streams.SpokenPrompt`
            for units that do not fit their text.

    Attributes:
        sample_rate: Hz of the waveforms.

    Raises:
        ValueError: there is no vocoder; speaker embeddings or prompts that do not fit,
            or prompts for what takes none.
    """

    @torch.inference_mode()
    def __init__(
        self,
        speak: "TasteToSpeech",
        spk_emb: Sequence[np.ndarray | torch.Tensor],
        item_seeds: Sequence[int],
        most: int = 25,
        prompts: Sequence[VoicePrompt | None] | None = None,
    ):
        super().__init__(len(spk_emb))
        if speak.vocoder is None:
            raise ValueError("nothing sounds without a vocoder: give TasteToSpeech one")
        if most < 1:
            raise ValueError(f"most {most}: at least 1 unit makes a sound")
        self.speak = speak
        self.sample_rate = speak.vocoder.sample_rate
        self.most = most
        self.spk_emb = [
            speak.checked({"text": "", "spk_emb": vector})["spk_emb"]
            for vector in spk_emb
        ]
        speakers = torch.from_numpy(np.stack(self.spk_emb))
        self.after = [""] * self.count  # the last word so far
        said, voices = self._prompts(prompts) if prompts is not None else ({}, {})
        self.decoder = speak.model.speech_decoder.open_streams(
            speakers.to(speak.device), speak.sampling, list(item_seeds), **said
        )
        self.vocoder = speak.vocoder.open_streams(speakers, **voices)

    def _prompts(self, prompts: Sequence[VoicePrompt | None]) -> tuple[dict, dict]:
        """Options ``prompts`` of the speech decoder's and of the vocoder's streams."""
        vocoder = self.speak.vocoder
        check_prompts(prompts, self.count, self.speak.model.speech_decoder, vocoder)
        words = [prompt and Words(prompt.text, prompt.codes) for prompt in prompts]
        pieces = self._read(words)
        said: list[SpokenPrompt | None] = [None] * self.count
        voices: list[Prompt | None] = [None] * self.count
        for row, prompt in enumerate(prompts):
            if prompt:
                units, voices[row] = fitted(prompt, row, vocoder)
                said[row] = SpokenPrompt(pieces[row], units)
        self._note_last(words)
        options = ({"prompts": made} if any(made) else {} for made in (said, voices))
        return tuple(options)

    def _note_last(self, pieces: Sequence[Words | None]) -> None:
        """Keep the last word of each stream, which the next may depend on."""
        split = self.speak.preprocess.segmenter.split_after
        for row, piece in enumerate(pieces):
            if piece:
                self.after[row] = split(self.after[row], piece.text)[0][-1]

    @torch.inference_mode()
    def feed(
        self, pieces: Sequence[Words | None], last: Sequence[bool] | None = None
    ) -> None:
        """Take the new words of each stream; see :meth:`AbsStreams.push`."""
        pieces = [None if _is_empty(piece) else piece for piece in pieces]
        _, last = self.check_push([piece and piece.text for piece in pieces], last)
        read = self._read(pieces)
        self.decoder.feed(read, last)
        self._note_last(pieces)
        self.ended = [a or b for a, b in zip(self.ended, last, strict=True)]

    def _read(self, pieces: list[Words | None]) -> list[Piece | None]:
        """What the speech decoder takes of each."""
        rows = [row for row, piece in enumerate(pieces) if piece]
        read: list[Piece | None] = [None] * self.count
        for coded in (True, False):
            chosen = [row for row in rows if (pieces[row].codes is not None) is coded]
            if not chosen:
                continue
            items = []
            for row in chosen:
                words, speaker = pieces[row], self.spk_emb[row]
                item = {"text": words.text, "spk_emb": speaker}
                item["after"] = self.after[row]
                items.append(item | ({"taste": words.codes} if coded else {}))
            batch = self.speak.batch(items, [str(row) for row in chosen])
            cond = self.speak.condition(batch)
            lengths = cond.text.lengths.tolist()
            for i, (row, n) in enumerate(zip(chosen, lengths, strict=True)):
                audio = None if cond.audio is None else cond.audio[i, :n]
                ids, word_ids = cond.text.ids[i, :n], cond.text.word_ids[i, :n]
                read[row] = Piece(ids, word_ids, audio)
        return read

    def units(self) -> tuple[list[torch.Tensor], list[bool]]:
        """The next units (n,) of each stream, and whether they are its last.

        Nothing, if no stream can go on without further words; see ``pull`` of
        :class:`~espnet2_taste.taste.speech_decoder.streams.DecoderStreams`.
        """
        units = self.decoder.pull(self.most)
        waits = not any(map(len, units))
        return units, list(self.ended if waits else self.decoder.done)

    def units_of(
        self, pieces: Iterable[Words]
    ) -> Iterator[tuple[list[torch.Tensor], list[bool]]]:
        """:meth:`units` of one stream, while its pieces come."""
        for piece in pieces:
            self.feed([piece])
            while any(map(len, (made := self.units())[0])):
                yield made
        self.feed([None], [True])
        while any(map(len, (made := self.units())[0])):
            yield made
        yield made

    def sound(self, units: list[torch.Tensor], last: list[bool]) -> list[torch.Tensor]:
        """(samples,) float32 of what :meth:`units` gave, as far as it can be told."""
        return self.vocoder.push(units, last)

    def sound_of(
        self, made: Iterable[tuple[list[torch.Tensor], list[bool]]]
    ) -> Iterator[torch.Tensor]:
        """(samples,) float32, none empty, of what :meth:`units_of` gives."""
        for units, last in made:
            if len(wav := self.sound(units, last)[0]):
                yield wav

    def pull(self) -> list[torch.Tensor]:
        """The next waveforms: (samples,) float32 of each stream.

        All are empty only when no stream can go on without further words.
        """
        while True:
            units, last = self.units()
            wavs = self.sound(units, last)
            if any(map(len, wavs)) or not any(map(len, units)):
                return wavs

    def push(
        self, pieces: Sequence[Words | None], last: Sequence[bool] | None = None
    ) -> list[torch.Tensor]:
        self.feed(pieces, last)
        pulled = [self.pull()]
        while any(map(len, pulled[-1])):
            pulled.append(self.pull())
        return [torch.cat(wavs) for wavs in zip(*pulled, strict=True)]


def as_pieces(
    words: str | Iterable[Words], codes: np.ndarray | torch.Tensor | None = None
) -> Iterator[Words]:
    """Whole texts and pieces alike as pieces.

    Args:
        words: a text, with its ``codes`` if there are any; or pieces, ``(text, codes)``
            pairs or texts alone among them.

    Raises:
        ValueError: codes beside pieces, which have their own.
    """
    if isinstance(words, str):
        return iter([Words(words, codes)])
    if codes is not None:
        raise ValueError("codes go with a text; pieces have codes of their own")
    return map(_as_piece, words)


def _as_piece(piece: Words | tuple | str) -> Words:
    if isinstance(piece, str):
        return Words(piece)
    return Words(*piece) if isinstance(piece, tuple) else piece


def _is_empty(piece: Words | None) -> bool:
    """Whether there is nothing to say; ValueError: codes of nothing."""
    if piece is None:
        return True
    if not isinstance(piece.text, str):
        raise ValueError(f"text must be a str, not {type(piece.text).__name__}")
    if piece.text.strip():
        return False
    if piece.codes is not None and len(piece.codes):
        raise ValueError(f"{len(piece.codes)} rows of TASTE codes for no words")
    return True
