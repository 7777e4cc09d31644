"""Examples are files that nobody writes twice."""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import soundfile

from espnet2_taste.demo.examples import EXAMPLES, sound_file, speak


def test_visitors_who_come_at_once_hear_one_whole_file():
    with ThreadPoolExecutor(4) as visitors:
        (path,) = set(visitors.map(sound_file, [EXAMPLES[2]] * 8))
    wav, rate = soundfile.read(path, dtype="float32")
    said = speak(EXAMPLES[2])
    assert rate == said.rate
    # other tests of this process may have asked for others; nothing half-written
    names = {f"{index}.wav" for index in range(len(EXAMPLES))}
    assert "2.wav" in (there := set(os.listdir(os.path.dirname(path))))
    assert there <= names
    np.testing.assert_allclose(wav, said.wav, atol=1 / 32768)
    written = os.stat(path).st_mtime_ns
    assert sound_file(EXAMPLES[2]) == path and os.stat(path).st_mtime_ns == written
