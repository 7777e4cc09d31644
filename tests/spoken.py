"""A data directory of real speech: eight sentences said by espeak-ng in process."""

import math

import numpy as np
import pytest
import soundfile
import soxr

from espnet2_taste.io.audio import read_audio

GRAMMAR = """#JSGF V1.0;
grammar tiny;
public <s> = ( the ( teacher | painter ) | she ) <did> the <what>;
<did> = carried | found | painted;
<what> = window | garden | table;
"""
SENTENCES = [
    "the teacher carried the window",
    "she found the garden",
    "the painter painted the table",
    "the teacher found the window",
    "she painted the garden",
    "the painter carried the table",
    "she carried the window",
    "the painter found the garden",
]


@pytest.fixture(scope="session")
def spoken_data(tmp_path_factory):
    """wav.scp text utt2spk words.ctm grammar.jsgf: two speakers, rates, pitches."""
    pytest.importorskip("espeakng_loader")
    pytest.importorskip("pocketsphinx")
    from espnet2_taste.corpora.espeak import Espeak

    folder = tmp_path_factory.mktemp("spoken")
    (folder / "grammar.jsgf").write_text(GRAMMAR)
    lines = {"wav.scp": [], "text": [], "utt2spk": [], "words.ctm": []}
    with Espeak() as say:
        for i, sentence in enumerate(SENTENCES):
            speaker, voice = [("f", "en-us+f3"), ("m", "en-us+edward")][i // 4]
            utt, path = f"{speaker}-{i}", folder / f"{i}.wav"
            wpm, pitch = 130 + 40 * (i % 3), 35 + 12 * (i % 4)
            ssml = f"<speak>{sentence}</speak>"
            samples, starts, hz = say(ssml, voice, wpm, pitch, 50)
            wav = soxr.resample(samples.astype(np.float64) / 32768, hz, 16000)
            soundfile.write(path, np.pad(wav, 1600), 16000, "PCM_16")
            lines["wav.scp"].append(f"{utt} {path}")
            lines["text"].append(f"{utt} {sentence}")
            lines["utt2spk"].append(f"{utt} {speaker}")
            times = [0.1 + start / hz for start in starts] + [0.1 + len(wav) / 16000]
            for j, word in enumerate(sentence.split()):
                duration = max(times[j + 1] - times[j], math.ulp(1.0))
                line = f"{utt} 1 {times[j]:.3f} {duration:.3f} {word}"
                lines["words.ctm"].append(line)
    for name, content in lines.items():
        (folder / name).write_text("\n".join(content) + "\n")
    return folder


@pytest.fixture(scope="session")
def wavs(spoken_data):
    """id -> samples of ``spoken_data``."""
    lines = (spoken_data / "wav.scp").read_text().splitlines()
    pairs = (line.split() for line in lines)
    return {utt: read_audio(path, utt, 16000) for utt, path in pairs}


@pytest.fixture(scope="session")
def words(spoken_data):
    """id -> words of ``spoken_data``."""
    lines = (spoken_data / "text").read_text().splitlines()
    return {utt: text for utt, *text in (line.split() for line in lines)}
