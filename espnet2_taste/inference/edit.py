"""Text-aligned editing: the prosody of chosen words, taken from another reading of the
same text (paper sec. 3.1)."""

from dataclasses import dataclass, replace

import numpy as np
import torch

from espnet2_taste.inference.speech_to_taste import SpeechToTaste, TasteTokens
from espnet2_taste.inference.taste_to_speech import Synthesis, TasteToSpeech


@dataclass
class Reading:
    """One utterance of the text that two share.

    Attributes:
        speech: (N,) 16 kHz mono waveform.
        text: its transcript.
        spk_emb: (S,) speaker embedding.
        name: for error messages.
    """

    speech: np.ndarray
    text: str
    spk_emb: np.ndarray
    name: str = "utterance"


@dataclass
class Edited:
    """A reading before and after it took words from the other one.

    Attributes:
        tokens: its own words and codes.
        edited_tokens: with the other reading's codes at the chosen words.
        speech: resynthesised from ``tokens``.
        edited_speech: resynthesised from ``edited_tokens``.
    """

    tokens: TasteTokens
    edited_tokens: TasteTokens
    speech: Synthesis
    edited_speech: Synthesis


def exchange_words(
    first: TasteTokens, second: TasteTokens, words: list[int]
) -> tuple[TasteTokens, TasteTokens]:
    """Exchange the codes of some words; everything else stays as it was.

    Args:
        first: a tokenised utterance.
        second: another one of the same words.
        words: indices of words, 0 the first.

    Returns:
        ``first`` with codes of ``second`` at ``words``, and the reverse.

    Raises:
        ValueError: the texts differ, there is no such word, or none is chosen.
    """
    for index, pair in enumerate(zip(first.words, second.words, strict=False)):
        if pair[0] != pair[1]:
            raise ValueError(
                f"the texts differ at word {index}: {pair[0]!r} and {pair[1]!r}; only "
                "readings of the same text can be exchanged word by word"
            )
    count = len(first.words)
    if count != len(second.words):
        raise ValueError(f"the texts have {count} and {len(second.words)} words")
    if not count:
        raise ValueError("nothing is said in these readings: no words to exchange")
    outside = [word for word in words if not 0 <= word < count]
    if outside or not words:
        raise ValueError(f"word indices {words} are not among 0 to {count - 1}")
    chosen = torch.tensor([[word in words] for word in first.segments])
    return (
        replace(first, codes=torch.where(chosen, second.codes, first.codes)),
        replace(second, codes=torch.where(chosen, first.codes, second.codes)),
    )


class TasteEdit(SpeechToTaste, TasteToSpeech):
    """Tokenise two readings of a text, exchange words, resynthesise.

    Args:
        args: see :class:`TasteToSpeech`.
        kwargs: see :class:`TasteToSpeech`.

    Example:
        >>> editor = TasteEdit.from_pretrained("exp/taste_rvq", vocoder=vocoder)
        >>> slow, fast = editor(slow_reading, fast_reading, words=[2, 3])
        >>> said = slow.edited_speech
        >>> soundfile.write("out.wav", said.wav, said.sample_rate)
    """

    def __call__(
        self, first: Reading, second: Reading, words: list[int], seed: int = 0
    ) -> tuple[Edited, Edited]:
        """Exchange the codes of ``words`` between two readings.

        Args:
            first: a reading.
            second: another one of the same text, of any speaker.
            words: indices of words, 0 the first.
            seed: of the one random stream that all four syntheses draw from.

        Raises:
            ValueError: see :func:`exchange_words`.
        """
        both = (first, second)
        tokens = self.batch_tokenize(
            [reading.speech for reading in both],
            [reading.text for reading in both],
            names=[reading.name for reading in both],
        )
        edited = exchange_words(*tokens, words)
        made = self.batch_synthesize(
            [first.text, second.text] * 2,
            [first.spk_emb, second.spk_emb] * 2,
            [item.codes for item in (*tokens, *edited)],
            item_seeds=[seed] * 4,
        )
        return tuple(
            Edited(tokens[i], edited[i], made[i], made[i + 2]) for i in range(2)
        )
