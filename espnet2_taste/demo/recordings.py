"""What visitors give: recordings and texts, checked before any model sees them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from espnet2_taste.io.audio import AudioError, as_speech, load_audio, resample, to_mono

#: Of a recording, seconds.
LONGEST, SHORTEST = 30.0, 0.2
#: Below this peak a recording is silence (-60 dB of full scale).
SILENCE = 1e-3
#: Of a text.
MOST_CHARACTERS, MOST_WORDS = 400, 60


@dataclass(frozen=True)
class Recording:
    """One channel of sound.

    Attributes:
        wav: (N,) float32 in [-1, 1].
        rate: Hz.
    """

    wav: np.ndarray
    rate: int

    @property
    def seconds(self) -> float:
        """Its length."""
        return len(self.wav) / self.rate

    def at(self, rate: int) -> np.ndarray:
        """(N,) float32 samples at another rate, Hz."""
        return resample(self.wav, self.rate, rate)


def read_recording(path: str | Path | None) -> Recording:
    """A file that a visitor recorded or uploaded, of any format, rate and channels.

    Raises:
        ValueError: a sentence about what is wrong with it, without the file's name.
    """
    if not path:
        raise ValueError("There is no recording yet: record one, or choose a file.")
    try:
        wav, rate = load_audio(str(path), "recording", longest=LONGEST)
    except AudioError as error:
        raise ValueError(f"This recording {error.problem}{error.detail}.") from None
    except FileNotFoundError:
        raise ValueError("This recording is gone: record or choose it again.") from None
    return checked(as_speech(to_mono(wav)), rate)


def checked(wav: np.ndarray, rate: int) -> Recording:
    """A recording that is neither silent nor too short or long.

    Raises:
        ValueError: it is; in a sentence.
    """
    seconds = len(wav) / rate
    if seconds > LONGEST:
        raise ValueError(
            f"This recording is longer than {LONGEST:.0f} seconds, the most that is "
            "taken here: cut it, or say less."
        )
    if seconds < SHORTEST:
        raise ValueError("This recording is too short to say anything: record again.")
    if float(np.abs(wav).max(initial=0)) < SILENCE:
        raise ValueError(
            "There is only silence in this recording: is the microphone on, and the "
            "right one?"
        )
    return Recording(wav, rate)


def check_text(text: str | None, what: str = "transcript") -> str:
    """A text with single spaces between its words.

    Args:
        text: as typed.
        what: it is, for the message.

    Raises:
        ValueError: none, or more than is taken here; in a sentence.
    """
    text = " ".join((text or "").split())
    if not text:
        raise ValueError(f"There is no {what}: type what is said.")
    if len(text) > MOST_CHARACTERS or len(text.split()) > MOST_WORDS:
        raise ValueError(
            f"The {what} is too long ({len(text)} characters): up to "
            f"{MOST_CHARACTERS} characters and {MOST_WORDS} words are taken here."
        )
    return text
