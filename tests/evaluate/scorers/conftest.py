"""Recordings for meters: synthetic voices, and everything that can be wrong."""

import numpy as np
import pytest
import soundfile
from spoken import spoken_data, wavs, words  # noqa: F401
from voices import RATE, voice

from espnet2_taste.asr.recording import Recording


@pytest.fixture
def record(tmp_path):
    """Callable (wav, name, rate) -> path of a file with it."""

    def write(wav, name="a", rate=RATE):
        path = tmp_path / f"{name}.wav"
        soundfile.write(path, np.asarray(wav), rate, "FLOAT")
        return str(path)

    return write


@pytest.fixture
def bad_entries(tmp_path, record):
    """What is wrong -> ``wav.scp`` entry."""
    nan = voice(200.0)
    nan[100] = np.nan
    text = tmp_path / "text.wav"
    text.write_text("no audio")
    return {
        "silent": record(np.zeros(RATE), "silent"),
        "empty": record(np.zeros(0), "empty"),
        "short": record(voice(200.0, 0.05), "short"),
        "nan": record(nan, "nan"),
        "text": str(text),
        "missing": str(tmp_path / "nowhere.wav"),
        "command": "cat a.wav |",
    }


@pytest.fixture
def refuses(bad_entries, record, caplog):
    """Callable: a meter gives nothing for any bad recording, says so, and goes on."""

    def check(meter):
        good = record(voice(200.0), "good")
        recordings = [Recording(k, e, (), good) for k, e in bad_entries.items()]
        assert meter([*recordings, Recording("good", good, (), good)])[-1]
        caplog.clear()
        assert meter(recordings) == [{}] * len(recordings)
        for kind in bad_entries:
            assert any(m.startswith(f"{kind}: ") for m in caplog.messages), kind
        if meter.needs_reference:
            caplog.clear()
            recordings = [Recording(k, good, (), e) for k, e in bad_entries.items()]
            found = meter([*recordings, Recording("alone", good)])
            compared = {"mcd", "energy_corr", "speaker_similarity", "visqol"}
            assert not any(compared & measures.keys() for measures in found)
            for kind in bad_entries:
                assert any(f"reference of {kind}: " in m for m in caplog.messages), kind

    return check
