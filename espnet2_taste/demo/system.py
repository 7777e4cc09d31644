"""The models behind the page: opened once, used by all visitors, one call at a time.

No call leaves anything behind in a model, so what a visitor gets depends on what that
visitor gave alone.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import RLock

import numpy as np
import torch

from espnet2_taste.asr.abs_recogniser import AbsRecogniser
from espnet2_taste.demo.measures import Change, changes, measure
from espnet2_taste.demo.pictures import Clip
from espnet2_taste.demo.recordings import Recording, check_text
from espnet2_taste.inference.edit import TasteEdit
from espnet2_taste.inference.parts import load_part
from espnet2_taste.inference.speech_to_taste import TasteTokens
from espnet2_taste.inference.taslm_generate import TaslmGenerate
from espnet2_taste.inference.taste_to_speech import TasteToSpeech
from espnet2_taste.io.models import locate_tokenizer
from espnet2_taste.speaker.abs_speaker_encoder import AbsSpeakerEncoder

_SHORTEST_SOUND = 0.25  # s; less is followed by silence, for players and measures


@dataclass(frozen=True)
class Spoken:
    """An utterance and what TASTE took from it.

    Attributes:
        recording: its sound.
        text: its words.
        tokens: words, codes and attention.
        speaker: (S,) float32 embedding of its voice; None: the model has no encoder.
    """

    recording: Recording
    text: str
    tokens: TasteTokens
    speaker: np.ndarray | None


class System:
    """A packed model.

    Args:
        model: folder, zip, URL or tag, see :func:`~espnet2_taste.io.models.locate`.
        text_only: a model that was trained to speak without codes (experiment or
            packed), for comparison; None: the average code stands in for it.
        recogniser: hears what is said where the model has no head for that; None: the
            visitor types it.
        device: torch device.

    Attributes:
        name: of the model, without its folder.
        editor: tokenizer, speech decoder and vocoder.
        taslm: the spoken language model, or None.
        taslm_missing, speech_missing: why there is none, or no speech; "" if there is.

    Raises:
        ValueError: no packed model.
        FileNotFoundError: nothing is there.
    """

    def __init__(
        self,
        model: str | Path,
        text_only: str | Path | None = None,
        recogniser: AbsRecogniser | None = None,
        device: str = "cpu",
    ):
        folder, parts = locate_tokenizer(model)
        self.name = Path(str(model)).name
        self.lock = RLock()
        self.editor: TasteEdit = TasteEdit.from_pretrained(folder, device=device)
        self.recogniser = recogniser
        self.speaker: AbsSpeakerEncoder | None = None
        if "speaker" in parts:
            self.speaker = load_part(folder, "speaker", device=device)
        missing = [part for part in ("vocoder", "speaker") if part not in parts]
        self.speech_missing = (
            f"{self.name} has no {' and no '.join(missing)}: it cannot speak. Pack one "
            "with all parts."
            if missing
            else ""
        )
        self.taslm, self.taslm_missing = None, ""
        if "taslm" in parts:
            options = {"text_top_p": 0.9, "taste_top_p": 0.9}
            self.taslm = TaslmGenerate.from_pretrained(folder, device=device, **options)
        else:
            self.taslm_missing = (
                f"{self.name} has no TASLM, the spoken language model. Pack one with "
                "--taslm."
            )
        self.text_only = None
        if text_only is not None and not missing:
            self.text_only = TasteToSpeech.from_pretrained(
                text_only, device=device, vocoder=self.editor.vocoder
            )

    @property
    def chats(self) -> bool:
        """Whether its TASLM was tuned on dialogues."""
        return self.taslm is not None and self.taslm.chat_template is not None

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Nobody else computes meanwhile; what fails for its input is a sentence.

        Raises:
            ValueError: the models' message, without the number they gave the input.
        """
        with self.lock:
            try:
                yield
            except ValueError as error:
                text = str(error)
                for name in ("utterance 0: ", "dialogue 0: ", "0: "):
                    text = text.removeprefix(name)
                raise ValueError(text[:1].upper() + text[1:]) from None

    # what a visitor says -------------------------------------------------------------

    def hear(self, recording: Recording) -> str:
        """The words of a recording, by the model's own head or the recogniser.

        Raises:
            ValueError: nobody here can hear, or nothing was heard.
        """
        with self.alone():
            if self.editor.model.ctc is not None:
                wav = recording.at(self.editor.sample_rate)
                text = self.editor.transcribe([wav])[0][0]
            elif self.recogniser is not None:
                text = self.recogniser([recording.at(self.recogniser.sample_rate)])[0]
            else:
                raise ValueError(
                    "this model does not recognise words by itself: type what is said"
                )
        if not text.strip():
            raise ValueError(
                "No words were heard in this recording: type what is said."
            )
        return text

    def take(self, recording: Recording, text: str) -> Spoken:
        """Tokenise a recording with its transcript.

        Raises:
            ValueError: a text that the vocabulary cannot write, for example.
        """
        text = check_text(text)
        with self.alone():
            wav = recording.at(self.editor.sample_rate)
            tokens = self.editor.batch_tokenize([wav], [text], need_attention=True)[0]
            return Spoken(recording, text, tokens, self.voice(recording))

    def voice(self, recording: Recording) -> np.ndarray | None:
        """(S,) float32 speaker embedding; None: there is no encoder."""
        if self.speaker is None:
            return None
        with self.alone():
            wav = torch.from_numpy(recording.at(self.speaker.sample_rate))
            return self.speaker([wav])[0].numpy()

    def bits_per_second(self, spoken: Spoken) -> float:
        """What the codes cost: segments x codebooks x log2 entries, over its length."""
        quantizer = self.editor.model.quantizer
        bits = spoken.tokens.codes.numel() * np.log2(quantizer.codebook_size)
        return float(bits / spoken.recording.seconds)

    # what the model says -------------------------------------------------------------

    def latents(self, tokens: TasteTokens) -> torch.Tensor:
        """(S, D) float32 vectors that the codes stand for."""
        quantizer = self.editor.model.quantizer
        with torch.inference_mode():
            return quantizer.codes_to_latent(tokens.codes.to(self.editor.device)).cpu()

    def average(self, segments: int) -> torch.Tensor | None:
        """(S, D) the average code for every segment; None: it is not known."""
        mean = self.editor.model.quantizer.average_latent()
        return None if mean is None else mean.cpu().expand(segments, -1)

    def say(
        self,
        text: str,
        voice: np.ndarray,
        latents: torch.Tensor | None,
        seed: int = 0,
        speak: TasteToSpeech | None = None,
    ) -> Recording:
        """Speak a text.

        Args:
            text: its words.
            voice: (S,) speaker embedding.
            latents: (S, D) of its segments; None: the text alone.
            seed: of the random stream.
            speak: another model than :attr:`editor`.

        Raises:
            ValueError: the model cannot speak.
        """
        with self.alone():
            if self.speech_missing:
                raise ValueError(self.speech_missing)
            made = TasteToSpeech.__call__(
                speak or self.editor, text, voice, seed=seed, latents=latents
            )
        return sounding(made.wav.numpy(), made.sample_rate)

    def expected(self, spoken: Spoken, voice: np.ndarray) -> tuple[Recording, str, str]:
        """How the text would be said if nobody had told how: sound, name and note."""
        if self.text_only is not None:
            said = self.say(spoken.text, voice, None, speak=self.text_only)
            return said, "Text only", "a model trained without codes"
        latents = self.average(len(spoken.tokens.codes))
        said = self.say(spoken.text, voice, latents)
        if latents is None:
            return said, "Codes left out", "this model, given the text alone"
        return said, "Average codes", "this model, every word with the average code"

    def clip(self, title: str, note: str, sound: Recording, text: str, tone: str):
        """A sound with its word times and pitch, by the tokenizer's attention."""
        with self.alone():
            wav = sound.at(self.editor.sample_rate)
            tokens = self.editor.batch_tokenize([wav], [text], need_attention=True)[0]
        return clip_of(title, note, sound, tokens, tone)

    def reconstruct(self, spoken: Spoken) -> tuple[list[Clip], list[Change] | None]:
        """Original, TASTE, and what the text alone would be; each word's change."""
        first = clip_of(
            "Original", "as recorded", spoken.recording, spoken.tokens, "original"
        )
        if self.speech_missing:
            return [first], None
        voice, text = spoken.speaker, spoken.text
        said = self.say(text, voice, self.latents(spoken.tokens))
        sound, name, note = self.expected(spoken, voice)
        other = self.clip(name, note, sound, text, "other")
        taste = self.clip("TASTE", "text, codes and voice", said, text, "taste")
        return [first, taste, other], changes(first.measures, other.measures)


def clip_of(
    title: str, note: str, sound: Recording, tokens: TasteTokens, tone: str
) -> Clip:
    """A tokenised sound as a clip."""
    attention = tokens.attention.float().numpy()
    measures = measure(sound.wav, sound.rate, tokens.words, attention)
    return Clip(title, note, sound.wav, sound.rate, measures, attention, tone)


def sounding(wav: np.ndarray, rate: int) -> Recording:
    """What a vocoder made, with silence after it if it is hardly anything."""
    least = round(_SHORTEST_SOUND * rate)
    if len(wav) < least:
        logging.warning("%d samples were said", len(wav))
        wav = np.pad(wav, (0, least - len(wav)))
    return Recording(np.asarray(wav, np.float32), rate)
