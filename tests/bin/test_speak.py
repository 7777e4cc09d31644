"""bin.speak: one utterance to a file, or to a player that may stop listening."""

import io
import os
import subprocess
import sys

import kaldiio
import numpy as np
import pytest
import soundfile
import torch
from tiny_system import SPEAKER, TEXT

from espnet2_taste.bin.speak import as_pcm
from espnet2_taste.bin.speak import main as speak
from espnet2_taste.inference import TasteToSpeech
from espnet2_taste.nn.random_streams import item_seed
from espnet2_taste.vocoder import load_vocoder

MODEL = ["--model_file", "exp/taste", "--vocoder", "exp/units", "--data_dir", "data"]


@pytest.fixture
def data(tiny_system):
    """Two utterances beside the tiny system, which is the working directory."""
    rng = np.random.default_rng(0)
    (tiny_system / "data" / "text").write_text(f"b {TEXT}\na a lamp\n")
    codes = {key: rng.integers(8, size=2 * n) for key, n in (("b", 4), ("a", 2))}
    voices = {key: rng.standard_normal(SPEAKER, np.float32) for key in "ba"}
    for name, table in (("taste", codes), ("spk_emb", voices)):
        table = {k: np.asarray(v, np.float32) for k, v in table.items()}
        if name == "taste":
            table = {k: v.astype(np.int32) for k, v in table.items()}
        kaldiio.save_ark(f"data/{name}.ark", table, f"data/{name}.scp")
    return {"codes": codes, "voices": voices}


def test_files_are_what_the_class_says(data, capfd):
    vocoder = load_vocoder("world_vq", "exp/units")
    model = TasteToSpeech.from_pretrained("exp/taste", vocoder=vocoder)
    codes = torch.from_numpy(data["codes"]["b"].reshape(4, 2))
    whole = model(TEXT, data["voices"]["b"], codes, seed=item_seed("b"))
    speak([*MODEL, "--utt", "b", "--taste", "data/taste.scp", "--output", "w.wav"])
    wav, rate = soundfile.read("w.wav")
    assert rate == 16000
    np.testing.assert_allclose(wav, whole.wav, atol=1e-4)
    told = capfd.readouterr()
    assert told.out == "" and "first sound after" in told.err
    options = ["--taste", "data/taste.scp", "--stream", "--block", "5"]
    speak([*MODEL, *options, "--output", "s.flac"])  # the first utterance
    stream = model.stream(TEXT, data["voices"]["b"], codes, item_seed("b"), most=5)
    np.testing.assert_allclose(
        soundfile.read("s.flac")[0], torch.cat(list(stream)), atol=1e-4
    )
    assert len(soundfile.read("s.flac")[0]) == len(wav)
    assert "real-time factor" in capfd.readouterr().err


def test_words_from_stdin_and_pcm_to_stdout(data, monkeypatch, capfdbinary):
    told = ["--utt", "a", "--stream", "--output"]
    speak([*MODEL, *told, "a.wav", "--text", "the red lamp"])
    monkeypatch.setattr(sys, "stdin", io.StringIO("the red\n\nlamp\n"))
    capfdbinary.readouterr()
    speak([*MODEL, *told, "-", "--text", "-"])
    pcm = np.frombuffer(capfdbinary.readouterr().out, "<i2")
    wav = soundfile.read("a.wav")[0]
    assert len(pcm) == len(wav)  # noise and level: world_stream's, of other pieces
    again = np.frombuffer(as_pcm(torch.from_numpy(wav)), "<i2") / 32768
    np.testing.assert_allclose(again, wav, atol=2 / 32768)


def test_a_taslm_is_heard_while_it_writes(data):
    more = ["--taslm", "exp/taslm", "--taste", "data/taste.scp", "--max_new_words", "3"]
    lengths = []
    for way in ([], ["--stream"]):
        options = ["--utt", "b", "--prompt_words", "2", "--output", "t.wav"]
        try:
            speak([*MODEL, *more, *options, *way])
            lengths.append(soundfile.info("t.wav").frames)
        except ValueError as error:  # an untrained one may have nothing to say
            lengths.append(str(error))
    assert lengths[0] == lengths[1]


@pytest.mark.parametrize(
    "options,message",
    [
        (["--text", "a", "--taste", "t"], "--text has no codes"),
        (["--taslm", "exp/taslm"], "--taslm needs the codes"),
        (["--utt", "c"], "data/text has no utterance c"),
        (["--output", "o.mp3"], "o.mp3: expected a .wav or .flac"),
        (["--text", " "], "there was nothing to say"),
        (["--text", "\u4e2d"], "no known token"),
    ],
)
def test_what_cannot_be_spoken_leaves_no_file(data, options, message):
    before = sorted(os.listdir())
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        speak([*MODEL, "--stream", "--output", "o.wav", *options])
    assert sorted(os.listdir()) == before


def test_a_player_that_stops_is_no_fault(data):
    words = [sys.executable, "-m", "espnet2_taste.bin.speak", *MODEL, "--stream"]
    words += ["--output", "-", "--block", "1", "--text", " ".join(["lamp"] * 40)]
    command = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert len(command.stdout.read(100)) == 100
    command.stdout.close()
    told = command.stderr.read().decode()
    assert command.wait(60) == 1
    assert "Traceback" not in told and "error" not in told.lower()
