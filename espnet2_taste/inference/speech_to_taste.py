"""Speech and its transcript -> TASTE codes, a row per word or token (sec. 2.1)."""

import logging
from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from espnet2_taste.asr.ctc_decoding import Heard, word_tokens
from espnet2_taste.inference.base import TasteInference, check_counts
from espnet2_taste.inference.taste_stream import TasteStream, TasteTokens
from espnet2_taste.taste.tokenizer.abs_encoder import EncoderOutput
from espnet2_taste.text.view import TextView


class SpeechToTaste(TasteInference):
    """Tokenise speech.

    Args:
        options: those of :class:`Inference`.
        beam: prefixes of the search for the text of speech that comes without, by the
            model's CTC head; 1: the best path (greedy).
        pass_s: seconds of speech, padding included, that one pass of the networks
            takes: longer batches go in several passes, similar lengths together, so
            that an hour takes no more memory than this.
        look_ahead_s: seconds after a word that its codes depend on, where the text is
            the model's own: each token attends to all frames up to there, and a stream
            gives the codes as soon as these are there. None: codes depend on the whole
            utterance, as in training.

    Example:
        >>> tokenizer = SpeechToTaste.from_pretrained("exp/taste_rvq")
        >>> tokens = tokenizer(wav, "set the red lamp")
        >>> tokens.codes.shape
        torch.Size([4, 4])
    """

    def __init__(
        self,
        *options,
        beam: int = 1,
        pass_s: float = 600.0,
        look_ahead_s: float | None = None,
        **more_options,
    ):
        super().__init__(*options, **more_options)
        self.beam, self.pass_s = beam, pass_s
        self.look_ahead = None  # frames of the encoder
        if look_ahead_s is not None:
            self.look_ahead = self._frames(look_ahead_s)

    def _frames(self, seconds: float) -> int:
        subsampling = self.model.encoder.subsampling
        hop = getattr(self.model.frontend, "hop_length", None)
        if seconds < 0 or not subsampling or not hop:
            raise ValueError(
                f"look_ahead_s {seconds:g}: expected seconds, 0 or more, and an "
                "encoder whose frames have a known length (whisper, espnet)"
            )
        return round(seconds * self.sample_rate / (hop * subsampling))

    @torch.inference_mode()
    def batch_tokenize(
        self,
        speech: list[np.ndarray],
        text: list[str] | None,
        need_attention: bool = False,
        names: list[str] | None = None,
        sample_rate: int | None = None,
    ) -> list[TasteTokens]:
        """Tokenise utterances together; the result equals one call each.

        Args:
            speech: mono waveforms at ``self.sample_rate``.
            text: their transcripts; None: what the model itself hears, see
                :meth:`TasteInference.transcribe`. Where that is nothing there are none.
            need_attention: also return the aggregator's attention.
            names: utterance ids for error messages.
            sample_rate: of ``speech``, to be sure; None: it is what it should be.

        Raises:
            ValueError: on what cannot be tokenised; the message names it.
        """
        if sample_rate not in (None, self.sample_rate):
            raise ValueError(
                f"speech has {sample_rate} Hz, the tokenizer takes {self.sample_rate} "
                "Hz: resample it"
            )
        names = names or [str(i) for i in range(len(speech))]
        check_counts(speech=speech, text=text, names=names)
        passes = self._passes(speech)
        if len(passes) > 1:
            found = {}
            for rows in passes:
                wavs, ids = ([part[i] for i in rows] for part in (speech, names))
                words = None if text is None else [text[i] for i in rows]
                out = self.batch_tokenize(wavs, words, need_attention, ids)
                found |= zip(rows, out, strict=True)
            return [found[i] for i in range(len(speech))]
        if text is None:
            return self._tokenize_heard(speech, need_attention, names)
        return self._tokenize(speech, text, need_attention, names)

    def _tokenize(
        self,
        speech: list[np.ndarray],
        text: list[str],
        need_attention: bool,
        names: list[str],
        encoded: EncoderOutput | None = None,
        heard: list[Heard] | None = None,
    ) -> list[TasteTokens]:
        """One pass; ``encoded``: the speech, if that is done; ``heard``: the text, if
        the model did."""
        items = [{"text": words} for words in text]
        if encoded is None:
            for item, wav in zip(items, speech, strict=True):
                item["speech"] = wav
        if not items:
            return []
        batch = self.batch(items, names)
        view, seen = self.model.view(batch, "aggregator"), None
        if heard is not None and self.look_ahead is not None:
            seen = self._seen(view, text, heard)
        try:
            if encoded is None:
                taste = self.model.run_tokenizer(
                    batch["speech"], batch["speech_lengths"], view, need_attention
                )
            else:
                taste = self.model.tokenize_encoded(encoded, view, need_attention, seen)
        except ValueError as error:  # of a part that has a limit of length
            if len(names) == 1:
                raise ValueError(f"utterance {names[0]}: {error}") from None
            for i in range(len(names)):  # which one is it?
                wav, words, name = ([x[i]] for x in (speech, text, names))
                part = None if encoded is None else encoded.rows([i])
                said = None if heard is None else heard[i : i + 1]
                self._tokenize(wav, words, need_attention, name, part, said)
            raise
        codes = self.model.segment_codes(taste, view).cpu()
        attention = [None] * len(text)
        if need_attention:
            maps = self.model.word_attention(taste, view)
            attention = [m.cpu() for m in maps]
        out = []
        for i, (wav, transcript) in enumerate(zip(speech, text, strict=True)):
            words = self.preprocess.segmenter.words(transcript)
            segments = self.preprocess.segments(transcript)
            rows, seconds = codes[i, : len(segments)], len(wav) / self.sample_rate
            out.append(TasteTokens(words, segments, rows, attention[i], seconds))
        return out

    def ends(self, words: list[str], heard: Heard) -> list[tuple[int, int]]:
        """Of each word its last token in ``heard``, and the frames, from the first,
        that its codes depend on where there is a look-ahead."""
        pieces = list(map(self.hears.piece, heard.ids))
        lasts = (last for _, last in word_tokens(words, pieces))
        ahead = self.look_ahead or 0
        return [(last, heard.frames[last][1] + 1 + ahead) for last in lasts]

    def _seen(
        self, view: TextView, text: list[str], heard: list[Heard]
    ) -> torch.Tensor:
        """(B, L) int64, the frames that :meth:`ends` gives each token's word."""
        rows = []
        for line, one in zip(text, heard, strict=True):
            ends = self.ends(self.preprocess.segmenter.words(line), one)
            rows.append(torch.tensor([frames for _, frames in ends]))
        ends = pad_sequence(rows, batch_first=True).to(view.ids.device)
        return ends.gather(1, view.word_ids.clamp(max=ends.size(1) - 1))

    def _passes(self, speech: list[np.ndarray]) -> list[list[int]]:
        """Rows of each pass, longest first; one alone may be longer than allowed."""
        least = 30.0 if getattr(self.model.frontend, "pad_to_30s", False) else 0.0
        samples = [np.asarray(wav).size for wav in speech]  # checked later
        seconds = [max(count / self.sample_rate, least) for count in samples]
        passes: list[list[int]] = []
        for row in sorted(range(len(speech)), key=lambda i: -seconds[i]):
            full = not passes or (
                (len(passes[-1]) + 1) * seconds[passes[-1][0]] > self.pass_s
            )
            if full:
                passes.append([])
            passes[-1].append(row)
        return passes

    def _tokenize_heard(self, speech, need_attention, names) -> list[TasteTokens]:
        """Codes of what :meth:`TasteInference.transcribe` hears."""
        if not speech:
            return []
        encoded, heard = self.hear(speech, names, self.beam)
        texts = list(map(self.written, heard))
        problems = list(map(self._problem, texts))
        some = [i for i, problem in enumerate(problems) if not problem]
        found = self._tokenize(
            [speech[i] for i in some],
            [texts[i] for i in some],
            need_attention,
            [names[i] for i in some],
            encoded.rows(some),
            [heard[i] for i in some],
        )
        tokens = dict(zip(some, found, strict=True))
        for i in set(range(len(speech))) - tokens.keys():
            logging.warning("%s: %s; no codes", names[i], problems[i])
            none = torch.zeros(0, self.model.quantizer.num_codebooks, dtype=torch.long)
            seconds = len(speech[i]) / self.sample_rate
            tokens[i] = TasteTokens([], [], none, None, seconds)
            texts[i] = ""
        for i, one in enumerate(heard):
            tokens[i].text, tokens[i].confidence = texts[i], one.confidence
        return [tokens[i] for i in range(len(speech))]

    def _problem(self, heard: str) -> str:
        """Why a text that was heard has no codes; "": it has."""
        if not heard:
            return "no speech was heard"
        try:
            self.preprocess("", {"text": heard})
        except ValueError as error:
            return f"what was heard cannot be written:{str(error).partition(':')[2]}"
        return ""

    def __call__(
        self,
        speech: np.ndarray,
        text: str | None = None,
        need_attention: bool = False,
        sample_rate: int | None = None,
    ) -> TasteTokens:
        """Tokenise one utterance; see :meth:`batch_tokenize`."""
        return self.batch_tokenize(
            [speech],
            None if text is None else [text],
            need_attention,
            sample_rate=sample_rate,
        )[0]

    def open_stream(self) -> TasteStream:
        """For one utterance that comes in pieces, without text; see
        :class:`TasteStream`."""
        return TasteStream(self)

    def listen(self, chunks: Iterable[np.ndarray]) -> Iterator[TasteTokens]:
        """Text and codes of speech while it comes.

        Args:
            chunks: mono waveforms at ``self.sample_rate``, of any length.

        Yields:
            the next words with their codes. Put together they are what a call gives
            the whole, by the greedy search.
        """
        stream = self.open_stream()
        for chunk in chunks:
            if (tokens := stream.push(chunk)).words:
                yield tokens
        if (tokens := stream.finish()).words:
            yield tokens
