"""Sentences to begin with, said by espeak-ng on this machine: nothing is downloaded.

They are in the words of the mini recipe's corpus, and spoken as it is.
"""

import tempfile
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from threading import Lock

import numpy as np
import soundfile

from espnet2_taste.corpora.espeak import Espeak
from espnet2_taste.demo.recordings import Recording


@dataclass(frozen=True)
class Example:
    """A sentence and how it is said.

    Attributes:
        text: its words.
        manner: a few words for the list.
        voice: of espeak-ng.
        wpm: words a minute.
        pitch: 0 to 100.
        ssml: the sentence with marks of its prosody; "": without.
    """

    text: str
    manner: str
    voice: str
    wpm: int
    pitch: int
    ssml: str = ""

    @property
    def name(self) -> str:
        """What the list of examples says."""
        return f"{self.manner}: {self.text}"


_LAMP = "my happy teacher found the red umbrella"
_GARDEN = "yesterday susan quietly opened the window"
_SLOW = '<prosody rate="60%">{}</prosody>'
_HIGH = '<prosody pitch="+35%" rate="75%">{}</prosody>'
EXAMPLES = (
    Example(
        _LAMP,
        "low and slow",
        "edward",
        120,
        35,
        _LAMP.replace("happy", _SLOW.format("happy")),
    ),
    Example(
        _LAMP,
        "high and fast",
        "f3",
        200,
        60,
        _LAMP.replace("red", _HIGH.format("red")),
    ),
    Example(_GARDEN, "low", "m5", 150, 45),
    Example(
        _GARDEN,
        "high, hesitating",
        "f2",
        160,
        55,
        _GARDEN.replace("quietly", 'quietly<break time="400ms"/>'),
    ),
)
_ENGINE = Lock()  # espeak-ng has one state a process
_WRITING = Lock()  # `cache` may call twice when threads come at once


def example(name: str | None) -> Example | None:
    """The example of that name; None: there is none."""
    return next((one for one in EXAMPLES if one.name == name), None)


@lru_cache(maxsize=len(EXAMPLES))
def speak(example: Example) -> Recording:
    """Say it; the same samples every time."""
    with _ENGINE, Espeak() as say:
        ssml = f"<speak>{example.ssml or example.text}</speak>"
        voice = f"en-us+{example.voice}"
        wav, _, rate = say(ssml, voice, example.wpm, example.pitch, 50)
    return Recording(wav.astype(np.float32) / 32768, rate)


@cache
def _folder() -> tempfile.TemporaryDirectory:
    return tempfile.TemporaryDirectory(prefix="taste_examples_")


def sound_file(example: Example) -> str:
    """A wav of it, as long as this process lives.

    Gradio writes an array anew whenever it is shown, also while a browser reads the
    file; of a file that is there it keeps one copy.
    """
    with _WRITING:
        path = Path(_folder().name) / f"{EXAMPLES.index(example)}.wav"
        if not path.exists():
            sound = speak(example)
            begun = path.with_suffix(".part.wav")
            soundfile.write(begun, sound.wav, sound.rate, subtype="PCM_16")
            begun.replace(path)
    return str(path)
