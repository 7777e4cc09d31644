"""Whatever a visitor gives is a recording or text, or a sentence says why not."""

import numpy as np
import pytest
import soundfile
from visitors import humming

from espnet2_taste.demo.examples import EXAMPLES, example, speak
from espnet2_taste.demo.recordings import check_text, read_recording


def test_any_rate_and_channels(tmp_path):
    wav = np.stack([humming(1.5, rate=8000), np.zeros(12000, np.float32)], 1)
    soundfile.write(tmp_path / "a.flac", wav, 8000)
    found = read_recording(tmp_path / "a.flac")
    assert found.rate == 8000 and found.seconds == 1.5
    assert len(found.at(16000)) == 24000


def test_mp3_whose_header_lies(tmp_path):
    path = tmp_path / "a.mp3"
    soundfile.write(path, humming(3.0), 16000, format="MP3")
    content = path.read_bytes()
    path.write_bytes(content * 2)  # the header still tells of the first half
    assert read_recording(path).seconds > 5.5


@pytest.mark.parametrize(
    "wav, message",
    [
        (np.zeros(16000), "only silence"),
        (humming(1.0)[:500], "too short"),
        (np.tile(humming(1.0), 120), "longer than 30 seconds"),
    ],
)
def test_what_is_no_use(tmp_path, wav, message):
    soundfile.write(tmp_path / "a.wav", wav, 16000)
    with pytest.raises(ValueError, match=message):
        read_recording(tmp_path / "a.wav")


def test_no_file_of_the_machine_is_named(tmp_path):
    (tmp_path / "a.wav").write_text("no audio")
    for path, message in (
        (tmp_path / "a.wav", "is not readable audio"),
        (tmp_path / "gone.wav", "is gone"),
        (None, "no recording yet"),
    ):
        with pytest.raises(ValueError, match=message) as error:
            read_recording(path)
        assert str(tmp_path) not in str(error.value)


def test_texts():
    assert check_text("  set the\n lamp ") == "set the lamp"
    for text, message in ((None, "no transcript"), (" ", "no"), ("a " * 5000, "long")):
        with pytest.raises(ValueError, match=message):
            check_text(text)


def test_examples_are_spoken_here():
    pytest.importorskip("espeakng_loader")
    sounds = [speak(one) for one in EXAMPLES[:2]]
    assert all(1 < sound.seconds < 10 for sound in sounds)
    assert sounds[0].seconds > 1.3 * sounds[1].seconds
    assert example(EXAMPLES[1].name) is EXAMPLES[1]
    assert example("../../etc/passwd") is None and example(None) is None
