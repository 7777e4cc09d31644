"""What a voice has said before, for speech that goes on with it (zero-shot)."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from espnet2_taste.taste.speech_decoder.abs_speech_decoder import AbsSpeechDecoder
from espnet2_taste.vocoder.abs_vocoder import AbsVocoder
from espnet2_taste.vocoder.cosyvoice.vocoder import Prompt


@dataclass
class VoicePrompt:
    """A recording whose voice and manner an utterance goes on with (zero-shot).

    Attributes:
        text: its words.
        units: (P,) int64 units that say them.
        mel: (T, mel_size) of the recording, as ``vocoder.prompt_mel`` gives it; None:
            the vocoder knows the voice by its embedding alone. What units and mel have
            more than the other is left out, with a warning from two units on.
        codes: (S, R) int64 TASTE codes of the words, if the utterance comes with codes.
    """

    text: str
    units: torch.Tensor
    mel: torch.Tensor | None = None
    codes: np.ndarray | torch.Tensor | None = None


def check_prompts(
    prompts: Sequence[VoicePrompt | None],
    count: int,
    decoder: AbsSpeechDecoder,
    vocoder: AbsVocoder,
) -> None:
    """Refuse prompts of ``count`` streams that one of the two cannot go on from.

    Raises:
        ValueError: another number of them, one without text or units, or one for what
            takes none.
    """
    if len(prompts) != count:
        raise ValueError(f"{len(prompts)} prompts for {count} streams")
    given = {row: prompt for row, prompt in enumerate(prompts) if prompt}
    for row, prompt in given.items():
        if not len(prompt.units) or not prompt.text.strip():
            raise ValueError(f"prompt of stream {row}: no text, or no units")
    if given and not decoder.takes_prompts:
        raise ValueError(
            f"prompts: the speech decoder {type(decoder).__name__} takes none "
            "(interleaved_lm does)"
        )
    heard = any(prompt.mel is not None for prompt in given.values())
    if heard and not vocoder.takes_prompts:
        raise ValueError(
            f"prompts: the vocoder {type(vocoder).__name__} takes none (leave out mel)"
        )


def fitted(
    prompt: VoicePrompt, row: int, vocoder: AbsVocoder
) -> tuple[torch.Tensor, Prompt | None]:
    """Units of a prompt, and units and mel for the vocoder, that fit each other.

    Args:
        prompt: checked.
        row: its stream, for the warning.
        vocoder: says what fits.

    Raises:
        ValueError: nothing does.
    """
    units = torch.as_tensor(prompt.units)
    if prompt.mel is None:
        return units, None
    whole = Prompt(units, prompt.mel)
    voice = vocoder.fit(whole)
    given, used = ((len(p.units), len(p.mel)) for p in (whole, voice))
    if not used[0]:
        raise ValueError(f"prompt of stream {row}: a mel of {given[1]} frames is none")
    # a unit or its frames more is rounding
    frames = max(used[1] // used[0], 1)
    if used[0] + 1 < given[0] or used[1] + 2 * frames <= given[1]:
        logging.warning(
            "prompt of stream %d: of %d units and %d mel frames, %d and %d go together "
            "and are used",
            *(row, *given, *used),
        )
    return voice.units, voice
