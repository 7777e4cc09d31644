"""Text and codes of speech while it comes."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from espnet2_taste.asr.ctc_decoding import Heard
from espnet2_taste.asr.feature_stream import FeatureStream
from espnet2_taste.io.atomic import replacing
from espnet2_taste.io.audio import as_speech
from espnet2_taste.nn.segments import first_of_segments

if TYPE_CHECKING:
    from espnet2_taste.inference.speech_to_taste import SpeechToTaste


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
            where it was given. The texts of a stream's pieces, one after the other, are
            that of the utterance.
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


class TasteStream:
    """One utterance being heard: waveforms in, words with codes out.

    A word is told when the next one has begun, or the speech has ended; it is given
    with its codes when the ``look_ahead_s`` after it have been heard, too (without
    look-ahead: when the speech has ended). Put together, what is given is what the
    tokenizer gives of the whole by the greedy search.

    Args:
        tokenizer: its model has a CTC head, and parts that stream.

    Attributes:
        text: of the words told so far, of which some may wait for their codes.
        latency: seconds of speech that a frame waits for, computing aside.

    Raises:
        ValueError: a part hears an utterance at once.
        RuntimeError: there is no quantiser.
    """

    def __init__(self, tokenizer: "SpeechToTaste"):
        model = tokenizer.model
        if not model.quantizer.num_codebooks:
            raise RuntimeError("this model has no quantiser, hence no TASTE codes")
        self.tokenizer = tokenizer
        self.ctc = tokenizer.ctc_head().open_stream()
        self.features = FeatureStream(model.frontend)
        self.encoder = model.encoder.open_stream()
        self.aggregator = model.aggregator.open_stream()
        samples = self.encoder.latency * self.features.hop + self.features.reach
        self.latency = samples / tokenizer.sample_rate
        self.text, self.ended = "", False
        self.heard = Heard()
        self.frames = 0  # of the encoder
        self.given = 0  # words
        self.given_tokens = 0

    @torch.inference_mode()
    def push(self, speech: np.ndarray, last: bool = False) -> TasteTokens:
        """Hear more.

        Args:
            speech: (n,) mono waveform at the tokenizer's rate; n may be 0.
            last: nothing follows.

        Returns:
            the words that are given now, perhaps none; ``duration`` is that of
            ``speech``.

        Raises:
            ValueError: no waveform, or one after the last; a word that the codes'
                vocabulary cannot write, or more tokens than the model has positions
                for.
        """
        speech = as_speech(speech)
        if self.ended:
            raise ValueError("the stream has ended: nothing more can be pushed")
        self.ended = last
        wav = torch.from_numpy(speech)[None].to(self.tokenizer.device)
        encoded = self.encoder.push(self.features.push(wav, last), last)
        self.frames += encoded.keys.size(1)
        self.aggregator.hear(encoded)
        new = self.ctc.push(encoded.keys, last)
        for name in ("ids", "confidence", "frames"):
            getattr(self.heard, name).extend(getattr(new, name))
        tokens = self._tell(last)
        tokens.duration = len(speech) / self.tokenizer.sample_rate
        return tokens

    def finish(self) -> TasteTokens:
        """The speech has ended; gives what is left."""
        return self.push(np.zeros(0, np.float32), last=True)

    def _tell(self, last: bool) -> TasteTokens:
        segmenter, ids = self.tokenizer.preprocess.segmenter, self.heard.ids
        words, spaced = segmenter.split(self.tokenizer.hears.decode(ids))
        told = len(words) if last else max(len(words) - 1, 0)
        self.text = segmenter.join(words[:told], spaced[:told])
        first = self.given
        ends = self.tokenizer.ends(words, self.heard)[first:told]
        if self.tokenizer.look_ahead is None:
            ends = [(token, self.frames) for token, _ in ends] * last
        elif not last:
            ends = [(token, need) for token, need in ends if need <= self.frames]
        self.given = end = first + len(ends)
        text = "".join(
            segmenter.between(spaced[i]) * (i > 0) + words[i] for i in range(first, end)
        )
        before = words[first - 1] if first else ""
        codes, segments = self._codes(text, before, [need for _, need in ends])
        sure = self.heard.confidence[self.given_tokens :]
        if not last:
            past = ends[-1][0] + 1 if ends else self.given_tokens
            sure = sure[: past - self.given_tokens]
        self.given_tokens += len(sure)
        return TasteTokens(words[first:end], segments, codes, None, 0.0, text, sure)

    def _codes(
        self, text: str, before: str, seen: list[int]
    ) -> tuple[torch.Tensor, list[int]]:
        """Codes and segments of the next words, each of which sees so many frames."""
        model = self.tokenizer.model
        if not seen:
            none = torch.zeros(0, model.quantizer.num_codebooks, dtype=torch.long)
            return none, []
        batch = self.tokenizer.batch([{"text": text, "after": before}])
        view = model.view(batch, "aggregator")
        near = torch.tensor(seen, device=view.ids.device)[view.word_ids]
        quantized = model.quantize(self.aggregator.read(view.ids, near), view)
        codes = first_of_segments(quantized.codes, view.segment_ids, view.lengths)[0]
        by_word = model.granularity == "word"
        segments = range(len(seen)) if by_word else view.word_ids[0].tolist()
        return codes.cpu(), list(segments)
