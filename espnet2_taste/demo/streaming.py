"""Chunks of a stream as the page's player takes them."""

import base64
import itertools
from collections import deque

import numpy as np

from espnet2_taste.io.audio import to_pcm16

_NUMBERS = itertools.count()
#: Chunks sent again with each new one: a browser that is busy may skip an update.
_KEPT = 4


class Chunks:
    """The values of one stream.

    Args:
        rate: Hz.
    """

    def __init__(self, rate: int):
        self.rate, self.stream = rate, next(_NUMBERS)
        self.count, self.kept = 0, deque(maxlen=_KEPT)

    def add(self, sound: np.ndarray) -> dict:
        """(n,) float32 new samples -> the player's value."""
        if len(sound):
            pcm = base64.b64encode(to_pcm16(sound)).decode()
            self.kept.append({"index": self.count, "pcm": pcm})
            self.count += 1
        return {"stream": self.stream, "rate": self.rate, "chunks": list(self.kept)}
