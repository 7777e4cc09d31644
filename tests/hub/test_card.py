"""The model card says what is known, and that the rest is not."""

import re
import zipfile
from pathlib import Path

import numpy as np
import soundfile
import yaml
from score_columns import COLUMNS

from espnet2_taste.hub.card import Card

PARTS = {"taste": "4 codebooks", "speaker": "64 dimensions"}


def row(mean, key="wer"):
    metric = {"mean": mean, "spread": None, "values": [mean], "interval": None}
    metric["utterances"] = [40]
    names = ("words", "sentences", "substituted", "deleted", "inserted")
    errors = dict.fromkeys((*names, "sentence_errors"), 8)
    return {
        "seeds": [None],
        "metrics": {key: metric},
        "errors": [errors],
        "failures": [{}],
    }


def results():
    """As bin.score writes them."""
    return {
        "columns": COLUMNS,
        "reconstruction": {"original": row(0.02), "taste": row(0.125)},
        "continuation": {},
        "likelihood": {"salmon_gender": row(0.75, "accuracy")},
        "num_utterances": 12,
        "seconds": 33.4,
        "scorers": {"WER": f"a recogniser in {Path.cwd()}/exp/asr"},
        "not_computed": {"UTMOS": "pip install something"},
        "folders": {"taste": "/somewhere"},
    }


def front_matter(text):
    return yaml.safe_load(text.split("---")[1])


def test_nothing_is_invented():
    text = Card("tiny", "tiny.zip", PARTS).text()
    for line in (
        "- Training data: not given",
        "- Language: not given",
        "- License: not given",
        "- Vocoder: none",
        "- Spoken language model (TASLM): none",
        "Not computed: packed without results",
        "All weights are inside.",
    ):
        assert line in text, line
    assert front_matter(text).keys() == {"tags", "library_name"}
    assert "espnet" in front_matter(text)["tags"]
    assert "taslm_generate" not in text and "synthesize" not in text
    assert "arXiv:2504.07053" in text and "watanabe2018espnet" in text


def test_what_is_given_is_said():
    card = Card(
        "user/tiny",
        "user/tiny",
        PARTS,
        remote=["openai/whisper-large-v3"],
        license="CC-BY-4.0",
        data="libritts",
        language=["en", "de"],
        results={"test": results()},
    )
    text = card.text()
    assert front_matter(text) == {
        "tags": ["espnet", "audio", "text-to-speech", "speech-tokenizer"],
        "library_name": "espnet",
        "language": ["en", "de"],
        "license": "cc-by-4.0",
        "datasets": ["libritts"],
        "metrics": ["wer", "accuracy"],
    }
    assert "from the hub: `openai/whisper-large-v3`." in text
    assert "### Test set test: 12 utterances, 33 s of audio" in text
    assert re.search(r"\|taste +\|1 +\|0.125 ?\|", text)
    assert "a recogniser in exp/asr" in text and str(Path.cwd()) not in text
    assert "UTMOS" in text and "pip install something" in text
    assert not re.search(r"^# (?!user/tiny)", text.split("```")[-1], flags=re.M)
    assert "/somewhere" not in text


def test_code_of_the_card_runs(tiny_system, pack, monkeypatch, capsys):
    """Beside a recording, as a reader would try it."""
    with zipfile.ZipFile(pack()) as archive:
        text = archive.read("README.md").decode()
    monkeypatch.chdir("exp")
    code = re.search(r"```python\n(.*?)```", text, flags=re.S)[1]
    code = code.replace("what is said in it", "set the red lamp")
    wav = np.random.default_rng(0).standard_normal(8000) * 0.1
    soundfile.write("a.wav", wav, 16000)
    exec(code, {})
    assert "['set', 'the', 'red', 'lamp']" in capsys.readouterr().out
    assert soundfile.info("out.wav").samplerate == 16000
