"""All parts of a packed model, and what requests ask of them, in batches.

Everything here runs in the one thread that owns the models (:mod:`.worker`), and
gives what the classes of :mod:`espnet2_taste.inference` give an utterance alone with
the same seed.
"""

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from espnet2_taste.inference.edit import TasteEdit
from espnet2_taste.inference.parts import load_part
from espnet2_taste.inference.speech_to_taste import SpeechToTaste, TasteTokens
from espnet2_taste.inference.taslm_generate import TaslmGenerate
from espnet2_taste.inference.taslm_likelihood import TaslmLikelihood
from espnet2_taste.inference.taste_to_speech import Synthesis
from espnet2_taste.inference.writer import Continuation
from espnet2_taste.io.models import locate_tokenizer
from espnet2_taste.nn.packed_linears import packed_linears
from espnet2_taste.nn.random_streams import item_seed
from espnet2_taste.taslm.sampling_options import SamplingOptions
from espnet2_taste.taste.speech_decoder.abs_speech_decoder import AbsSpeechDecoder
from espnet2_taste.taste.taste_spec import TasteSpec

#: The voice of nobody in particular, which every model has: zeros.
NEUTRAL = "neutral"


class Missing(Exception):
    """The packed model lacks a part; the message says which and the way out."""


@dataclass
class Heard:
    """What is tokenised: (N,) float32 ``wav`` at the tokenizer's rate, and its text, or
    None."""

    wav: np.ndarray
    text: str | None = None


@dataclass
class Said:
    """What is spoken: words, (S,) voice, (S, R) codes or (S, D) latents or neither."""

    text: str
    voice: np.ndarray
    codes: np.ndarray | torch.Tensor | None = None
    latents: torch.Tensor | None = None
    seed: int = 0


@dataclass
class Begun:
    """What is continued: words, perhaps with (S, R) codes; options by their names."""

    text: str
    codes: np.ndarray | torch.Tensor | None
    options: dict
    seed: int = 0

    @property
    def mode(self) -> str:
        """See :class:`~espnet2_taste.taslm.generation.Prompt`."""
        return "text" if self.codes is None else "audio"


class Taslm(TaslmGenerate):
    """One TASLM that continues and judges."""

    judge = TaslmLikelihood.__call__


class System:
    """The parts of a packed model.

    Args:
        model: folder, zip, URL or tag.
        device: of its networks.

    Attributes:
        taste: tokenizer and speech decoder, with the vocoder if one is packed.
        taslm, speaker: or None.

    Raises:
        ValueError: it is no packed model.
    """

    def __init__(self, model: str | Path, device: str = "cpu"):
        folder, parts = locate_tokenizer(model)
        self.device = device
        self.taste = TasteEdit.from_pretrained(folder, device=device)
        self.taslm = None
        if "taslm" in parts:
            self.taslm = Taslm.from_pretrained(folder, device=device)
        self.speaker = None
        if "speaker" in parts:
            self.speaker = load_part(folder, "speaker", device=device)
        self.voices = {NEUTRAL: np.zeros(self.taste.args.spk_embed_dim, np.float32)}

    def packed(self) -> ExitStack:
        """A context in which generation reads its weights fast."""
        stack = ExitStack()
        decoder = self.taste.model.speech_decoder
        stack.enter_context(packed_linears(decoder.stepped(), rows=16))
        if self.taslm:
            stack.enter_context(packed_linears(self.taslm.model.lm, rows=16))
        return stack

    @property
    def spec(self) -> TasteSpec:
        """Of the codes."""
        return TasteSpec.of(self.taste.model)

    def need(self, part: str) -> None:
        """Refuse what cannot be done without a part.

        Raises:
            Missing: it was not packed.
        """
        have = {"vocoder": self.taste.vocoder, "taslm": self.taslm}
        have["speaker"] = self.speaker
        if have[part] is None:
            raise Missing(
                f"this model has no {part}: pack one with it (bin.pack --{part})"
            )

    @property
    def runs_units(self) -> bool:
        """Whether the speech decoder has a running batch."""
        decoder = type(self.taste.model.speech_decoder)
        return decoder.running is not AbsSpeechDecoder.running

    @property
    def runs_continuations(self) -> bool:
        """Whether the TASLM has a running batch."""
        try:
            self.taslm.model.lm.new_ragged_cache(1)
        except ValueError:  # not every LM has such a cache
            return False
        return True

    def options(self, given: dict) -> SamplingOptions:
        """How a continuation is drawn; ValueError: options that make no sense."""
        return SamplingOptions.of(self.taslm.options, **given)

    def tokenize(self, items: list[Heard]) -> list[TasteTokens]:
        """Words and codes; without a text, of what the model hears."""
        found = {}
        for given in (True, False):
            rows = [i for i, x in enumerate(items) if (x.text is not None) is given]
            if rows:
                text = [items[i].text for i in rows] if given else None
                wavs = [items[i].wav for i in rows]
                tokens = SpeechToTaste.batch_tokenize(self.taste, wavs, text)
                found |= zip(rows, tokens, strict=True)
        return [found[i] for i in range(len(items))]

    def embed(self, wavs: list[np.ndarray]) -> list[np.ndarray]:
        """(S,) voice of each recording, at the speaker encoder's rate."""
        return list(self.speaker([torch.from_numpy(wav) for wav in wavs]).numpy())

    def batches(self, items: list[Said]) -> list[tuple[list[int], dict]]:
        """Rows that go together, with what :meth:`TasteToSpeech.condition` takes."""
        kinds = {}
        for row, item in enumerate(items):
            kind = (item.latents is not None, item.codes is not None)
            kinds.setdefault(kind, []).append(row)
        made = []
        for (latent, coded), rows in kinds.items():
            chosen = [items[row] for row in rows]
            arrays = {"latents": [x.latents for x in chosen]} if latent else {}
            codes = [x.codes for x in chosen] if coded and not latent else None
            texts, voices = [x.text for x in chosen], [x.voice for x in chosen]
            batch = self.taste.make_batch(texts, voices, codes, **arrays)
            made.append((rows, batch))
        return made

    def add_units(self, running, items: list[Said]) -> list[int]:
        """Items enter a running batch of the speech decoder; their tickets."""
        made = [(rows, self.taste.condition(x)) for rows, x in self.batches(items)]
        tickets = {}  # none enters before all are checked
        for rows, cond in made:
            added = running.add(cond, [items[row].seed for row in rows])
            tickets |= zip(rows, added, strict=True)
        return [tickets[row] for row in range(len(items))]

    def sound(self, ended: list[tuple[Said, tuple]]) -> list[Synthesis]:
        """What was said in units, as sound.

        One by one: a vocoder's batch rounds another way than it does alone, and an
        answer shall not depend on who asked at the same time.
        """
        vocoder, made = self.taste.vocoder, []
        for item, (units, _) in ended:
            (wav,) = vocoder([units], torch.from_numpy(item.voice)[None])
            made.append(Synthesis(units, wav, vocoder.sample_rate))
        return made

    def speak(self, items: list[Said]) -> list[Synthesis]:
        """Whole batches, for speech decoders that have no running batch."""
        made = {}
        for rows, batch in self.batches(items):
            seeds = [items[row].seed for row in rows]
            out = self.taste.generate_units(self.taste.condition(batch), seeds)
            lengths = out.lengths.tolist()
            units = zip(out.units.cpu(), lengths, strict=True)
            ended = [
                (items[row], (some[:n], None))
                for row, (some, n) in zip(rows, units, strict=True)
            ]
            made |= zip(rows, self.sound(ended), strict=True)
        return [made[row] for row in range(len(items))]

    def add_prompts(self, running, items: list[Begun]) -> list[int]:
        """Prompts enter a running batch of the TASLM; their tickets."""
        prompts = {}
        for mode in ("text", "audio"):
            rows = [i for i, item in enumerate(items) if item.mode == mode]
            if rows:
                text = [items[i].text for i in rows]
                codes = [items[i].codes for i in rows]
                names = [str(i) for i in range(len(rows))]
                given = text, codes, names, mode
                prompts[mode] = rows, self.taslm.prompt(*given)
        tickets = {}
        for rows, prompt in prompts.values():
            seeds = [item_seed(str(items[i].seed)) for i in rows]
            tickets |= zip(rows, running.add(prompt, seeds), strict=True)
        return [tickets[row] for row in range(len(items))]

    def written(self, ended: list[tuple[Begun, object]]) -> list[Continuation]:
        """What a running batch of the TASLM gave, as words."""
        return [self.taslm.continuation(run) for _, run in ended]

    def go_on(self, items: list[Begun]) -> list[Continuation]:
        """Whole batches, for TASLMs that have no running batch."""
        kinds: dict[tuple, list[int]] = {}
        for row, item in enumerate(items):
            kinds.setdefault((item.mode, *item.options.items()), []).append(row)
        made = {}
        for (mode, *options), rows in kinds.items():
            text = [items[row].text for row in rows]
            codes = [items[row].codes for row in rows] if mode == "audio" else None
            names = [str(items[row].seed) for row in rows]
            found = self.taslm(text, codes, names, mode, **dict(options))
            made |= zip(rows, found, strict=True)
        return [made[row] for row in range(len(items))]

    def score(self, items: list[tuple[str, np.ndarray]]) -> list[dict]:
        """Likelihoods of texts with their codes."""
        return self.taslm.judge([text for text, _ in items], [c for _, c in items])


def load_voices(system: System, files: dict[str, str]) -> None:
    """Give a system the voices of recordings.

    Args:
        files: name of the voice -> recording.

    Raises:
        Missing: there is no speaker encoder.
        ValueError, FileNotFoundError: a recording that cannot be used.
    """
    from espnet2_taste.io.audio import read_audio

    if files:
        system.need("speaker")
    for name, file in files.items():
        wav = read_audio(file, f"voice {name}", system.speaker.sample_rate)
        (system.voices[name],) = system.embed([wav])
