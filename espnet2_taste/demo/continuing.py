"""What the TASLM says next, heard while it is written; and its side of a dialogue."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch

from espnet2_taste.demo.pictures import Clip
from espnet2_taste.demo.recordings import check_text
from espnet2_taste.demo.system import Spoken, System, sounding
from espnet2_taste.inference.speech_streams import Words
from espnet2_taste.inference.taslm_likelihood import TaslmLikelihood
from espnet2_taste.tasks.dialogue import Turn

#: Of a page's controls: most words and candidates of a continuation.
MOST_NEW_WORDS, MOST_CANDIDATES = 24, 5


@dataclass
class Progress:
    """Where a continuation is.

    Attributes:
        texts: what each candidate says by now, the prompt not among it.
        sound: (n,) float32 new samples of the first candidate, perhaps none.
        rate: Hz of it.
        clips: of all candidates, the likeliest first, when they are done.
        turn: of a dialogue: what was said so far.
    """

    texts: list[str]
    sound: np.ndarray
    rate: int
    clips: list[Clip] = field(default_factory=list)
    turn: Turn | None = None


def read_by(system: System, text: str, voice: np.ndarray) -> Spoken:
    """A text that nobody said: the model reads it with the average code."""
    text = check_text(text, "text")
    with system.alone():
        segments = len(system.editor.preprocess.segments(text))
    return system.take(system.say(text, voice, system.average(segments)), text)


def prompt_of(spoken: Spoken, system: System, count: int) -> Words:
    """The first words of an utterance with their codes; 0: all of them."""
    taslm = system.taslm
    text = spoken.text
    if count:
        text = taslm.preprocess.segmenter.first(text, count)
    return Words(text, spoken.tokens.codes[: len(taslm.preprocess.segments(text))])


def go_on(
    system: System,
    prompt: Words,
    voice: np.ndarray,
    words: int = 12,
    temperature: float = 1.0,
    candidates: int = 3,
    seed: int = 0,
) -> Iterator[Progress]:
    """Continue a prompt in several ways; the first is spoken meanwhile, prompt and all.

    Args:
        system: with a TASLM and speech.
        prompt: text with codes.
        voice: (S,) speaker embedding.
        words: that follow, at most.
        temperature: of words and codes; 0: the most likely ones, and one candidate.
        candidates: how many ways.
        seed: of the random streams; candidate i is the same whatever their number.

    Raises:
        ValueError: in a sentence.
    """
    if system.taslm is None or system.speech_missing:
        raise ValueError(system.taslm_missing or system.speech_missing)
    words = min(max(int(words), 1), MOST_NEW_WORDS)
    count = min(max(int(candidates), 1), MOST_CANDIDATES) if temperature else 1
    options = {"max_words": words, "seed": int(seed)} | _drawn(temperature)
    names = [f"candidate {i}" for i in range(count)]
    batch = [prompt.text] * count, [prompt.codes] * count, names
    with system.alone():
        streams = system.editor.open_streams([voice])
        pieces = system.taslm.stream_batch(*batch, **options)
    texts = [""] * count
    codes = [[prompt.codes] for _ in names]
    rate = streams.sample_rate
    with system.alone():
        sound = streams.push([prompt])[0].numpy()
    yield Progress(list(texts), sound, rate)
    while (new := _next(system, pieces)) is not None:
        for i, piece in enumerate(new):
            if piece is not None:
                texts[i] += piece.text
                codes[i].append(piece.codes)
        with system.alone():
            sound = streams.push([new[0]])[0].numpy()
        yield Progress(list(texts), sound, rate)
    with system.alone():
        sound = streams.finish()[0].numpy()
    yield Progress(list(texts), sound, rate)
    said = [system.taslm.preprocess.segmenter.between(True) + text for text in texts]
    wholes = [prompt.text + text if text.strip() else prompt.text for text in said]
    clips = ranked(system, wholes, [torch.cat(rows) for rows in codes], voice)
    yield Progress(texts, sound[:0], rate, clips)


def ranked(
    system: System, texts: list[str], codes: list[torch.Tensor], voice: np.ndarray
) -> list[Clip]:
    """Sentences with codes as clips, the likeliest first, equal ones once."""
    unique = {text: rows for text, rows in zip(texts, codes, strict=True)}
    texts, codes = list(unique), list(unique.values())
    with system.alone():
        found = TaslmLikelihood.__call__(system.taslm, texts, codes)
    order = sorted(range(len(texts)), key=lambda i: -found[i]["score"])
    clips = []
    for place, i in enumerate(order, 1):
        with system.alone():
            latents = system.editor.model.quantizer.codes_to_latent(
                codes[i].to(system.editor.device)
            )
            sound = system.say(texts[i], voice, latents.cpu())
        note = f"log-likelihood {found[i]['score']:.2f} (a token, a word's codes)"
        title = f"{place}. {texts[i]}"
        clips.append(system.clip(title, note, sound, texts[i], "taste"))
    return clips


def answer(
    system: System,
    dialogue: list[Turn],
    voice: np.ndarray,
    words: int = 24,
    temperature: float = 1.0,
    seed: int = 0,
) -> Iterator[Progress]:
    """The assistant's next turn, spoken while it is written.

    Whoever stops iterating interrupts it; ``turn`` is what was said until then.

    Raises:
        ValueError: in a sentence.
    """
    if not system.chats or system.speech_missing:
        raise ValueError(system.speech_missing or "This model holds no dialogues.")
    options = {"max_words": int(words), "seed": int(seed)} | _drawn(temperature)
    with system.alone():
        said = system.taslm.chat_stream(dialogue, **options)
        streams = system.editor.open_streams([voice])
    rate, sound = streams.sample_rate, []
    try:
        while (piece := _next(system, said)) is not None:
            with system.alone():
                sound.append(streams.push([piece])[0].numpy())
            yield Progress([said.turn.text], sound[-1], rate, turn=said.turn)
    except GeneratorExit:
        said.interrupt()
        raise
    if not said.turn.text.strip():
        raise ValueError("The model has no answer to this: say something else.")
    with system.alone():
        sound.append(streams.finish()[0].numpy())
    whole = sounding(np.concatenate(sound), rate)
    clip = Clip("Answer", said.turn.text, whole.wav, rate)
    yield Progress([said.turn.text], sound[-1], rate, [clip], said.turn)


def _next(system: System, pieces: Iterator):
    """What comes next, None at the end."""
    with system.alone():
        return next(pieces, None)


def _drawn(temperature: float) -> dict:
    """Options of a temperature; 0 draws nothing."""
    if not 0 <= temperature <= 2:
        raise ValueError("The temperature must be between 0 and 2.")
    if temperature == 0:
        return {"text_top_p": 0.0, "taste_top_p": 0.0}
    both = ("text_temperature", "taste_temperature")
    return dict.fromkeys(both, float(temperature))
