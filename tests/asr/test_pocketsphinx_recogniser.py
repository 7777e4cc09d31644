import numpy as np
import pytest

from espnet2_taste.asr.recognisers import load_recogniser


@pytest.fixture(scope="module")
def recognise(spoken_data):
    return load_recogniser("pocketsphinx", grammar=str(spoken_data / "grammar.jsgf"))


def test_recognises_what_was_said(recognise, wavs, words):
    texts = recognise(list(wavs.values()))
    right = sum(text.split() == words[u] for u, text in zip(wavs, texts, strict=True))
    assert right >= len(wavs) - 1


def test_order_does_not_matter(recognise, spoken_data, wavs):
    texts = recognise(list(wavs.values()))
    grammar = spoken_data / "grammar.jsgf"
    again = load_recogniser("pocketsphinx", grammar=str(grammar))
    assert again(list(wavs.values())[::-1])[::-1] == texts


def test_the_viterbi_path_in_a_grammar_only(recognise):
    """As its identity says; the lattice's best path has more errors there."""
    assert not recognise.sphinx.decoder.config["bestpath"]
    assert load_recogniser("pocketsphinx").sphinx.decoder.config["bestpath"]


def test_without_a_grammar_its_language_model_is_used(wavs):
    recognise = load_recogniser("pocketsphinx")
    assert "trigram" in recognise.identity
    assert recognise([next(iter(wavs.values()))])[0]


def test_no_audio_is_no_words(recognise):
    assert recognise([np.zeros(0, np.float32), np.zeros(1599, np.float32)]) == ["", ""]


def test_identity_names_the_grammar_and_what_is_in_it(recognise, tmp_path, spoken_data):
    assert "Viterbi path in grammar.jsgf (" in recognise.identity
    other = tmp_path / "grammar.jsgf"
    other.write_text((spoken_data / "grammar.jsgf").read_text() + "\n")
    changed = load_recogniser("pocketsphinx", grammar=str(other))
    assert changed.identity != recognise.identity


def test_bad_grammar_is_one_clear_error(tmp_path):
    path = tmp_path / "bad.jsgf"
    path.write_text("#JSGF V1.0; grammar g; public <s> = <nowhere")
    recognise = load_recogniser("pocketsphinx", grammar=str(path))
    with pytest.raises(ValueError, match="bad.jsgf: pocketsphinx refuses"):
        recognise([np.zeros(16000, np.float32)])


def test_what_it_does_not_take_is_one_clear_error():
    with pytest.raises(ValueError, match="recogniser pocketsphinx: .* no option model"):
        load_recogniser("pocketsphinx", model="x")
    with pytest.raises(ValueError, match="nobody is no recogniser; choose from pocket"):
        load_recogniser("nobody")
