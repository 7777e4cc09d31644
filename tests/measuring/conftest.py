import pytest
from spoken import spoken_data  # noqa: F401

from espnet2_taste.measuring.audio import read_audio


@pytest.fixture(scope="session")
def wavs(spoken_data):  # noqa: F811
    lines = (spoken_data / "wav.scp").read_text().splitlines()
    pairs = (line.split() for line in lines)
    return {utt: read_audio(path, utt) for utt, path in pairs}


@pytest.fixture(scope="session")
def words(spoken_data):  # noqa: F811
    lines = (spoken_data / "text").read_text().splitlines()
    return {utt: text for utt, *text in (line.split() for line in lines)}
