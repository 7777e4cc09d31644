"""Speech and its transcript -> TASTE codes, a row per word or token (sec. 2.1)."""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from espnet2_taste.inference.base import TasteInference, check_counts
from espnet2_taste.io.atomic import replacing


@dataclass
class TasteTokens:
    """A tokenised utterance.

    Attributes:
        words: W words of the transcript.
        segments: S indices of the words that the rows of ``codes`` stand for: 0, 1, 2
            ..., or with codes per token 0, 0, 1, 2, 2 ...
        codes: (S, R) int64.
        attention: (W, F) aggregator attention over encoder frames, mean over a word's
            tokens; None unless asked for.
        duration: seconds of speech.
        text: transcript that the model made itself, "" where it heard nothing; None
            where it was given.
        confidence: probability of each token of such a transcript.
    """

    words: list[str]
    segments: list[int]
    codes: torch.Tensor
    attention: torch.Tensor | None
    duration: float
    text: str | None = None
    confidence: list[float] | None = None

    def save_attention(self, path: Path) -> None:
        """Write (W, F) float16 attention, the words and the frames' shift (seconds)."""
        path.parent.mkdir(parents=True, exist_ok=True)
        attention = self.attention.numpy()
        with replacing(path) as temporary, open(temporary, "wb") as file:
            np.savez_compressed(
                file,
                attention=attention.astype(np.float16),
                words=np.array(self.words),
                frame_shift=self.duration / attention.shape[1],
            )


class SpeechToTaste(TasteInference):
    """Tokenise speech.

    Args:
        options: those of :class:`Inference`.
        beam: prefixes of the search for the text of speech that comes without, by the
            model's CTC head; 1: the best path (greedy).
        pass_s: seconds of speech, padding included, that one pass of the networks
            takes: longer batches go in several passes, similar lengths together, so
            that an hour takes no more memory than this.

    Example:
        >>> tokenizer = SpeechToTaste.from_pretrained("exp/taste_rvq")
        >>> tokens = tokenizer(wav, "set the red lamp")
        >>> tokens.codes.shape
        torch.Size([4, 4])
    """

    def __init__(self, *options, beam: int = 1, pass_s: float = 600.0, **more_options):
        super().__init__(*options, **more_options)
        self.beam, self.pass_s = beam, pass_s

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
        pairs = zip(speech, text, strict=True)
        items = [{"speech": wav, "text": words} for wav, words in pairs]
        if not items:
            return []
        batch = self.batch(items, names)
        view = self.model.view(batch, "aggregator")
        try:
            taste = self.model.run_tokenizer(
                batch["speech"], batch["speech_lengths"], view, need_attention
            )
        except ValueError as error:  # of a part that has a limit of length
            if len(names) == 1:
                raise ValueError(f"utterance {names[0]}: {error}") from None
            for item in zip(speech, text, names, strict=True):  # which one is it?
                wav, words, name = ([part] for part in item)
                self.batch_tokenize(wav, words, need_attention, name)
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
        heard = self.transcribe(speech, names, self.beam)
        problems = [self._problem(text) for text, _ in heard]
        some = [i for i, problem in enumerate(problems) if not problem]
        found = self.batch_tokenize(
            [speech[i] for i in some],
            [heard[i][0] for i in some],
            need_attention,
            [names[i] for i in some],
        )
        tokens = dict(zip(some, found, strict=True))
        for i in set(range(len(speech))) - tokens.keys():
            logging.warning("%s: %s; no codes", names[i], problems[i])
            none = torch.zeros(0, self.model.quantizer.num_codebooks, dtype=torch.long)
            seconds = len(speech[i]) / self.sample_rate
            tokens[i] = TasteTokens([], [], none, None, seconds)
            heard[i] = ("", heard[i][1])
        for i, pair in enumerate(heard):
            tokens[i].text, tokens[i].confidence = pair
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
