"""Hub ids that are taken from $TASTE_MODELS."""

import pytest

from espnet2_taste.io.published import published


@pytest.fixture
def models(tmp_path, monkeypatch):
    (tmp_path / "models/whisper-large-v3").mkdir(parents=True)
    monkeypatch.setenv("TASTE_MODELS", str(tmp_path / "models"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "models"


def test_names(models, monkeypatch):
    found = str(models / "whisper-large-v3")
    assert published("openai/whisper-large-v3") == found
    for name in ("openai/whisper-base", "whisper-large-v3", "a/b/whisper-large-v3"):
        assert published(name) == name
    for name in ("/openai/whisper-large-v3", "openai/..", "openai/", ""):
        assert published(name) == name
    (models.parent / "openai/whisper-large-v3").mkdir(parents=True)
    assert published("openai/whisper-large-v3") == "openai/whisper-large-v3"
    monkeypatch.delenv("TASTE_MODELS")
    assert published("x/whisper-large-v3") == "x/whisper-large-v3"
