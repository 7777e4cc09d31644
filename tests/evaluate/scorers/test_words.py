import json
import os
import re
import shutil

import jiwer
import numpy as np
import pytest

from espnet2_taste.asr.pocketsphinx_recogniser import PocketsphinxRecogniser
from espnet2_taste.evaluate.rows import Row, read_rows
from espnet2_taste.evaluate.score import describe
from espnet2_taste.evaluate.scorers.words import WordsScorer
from espnet2_taste.evaluate.word_errors import (
    SPACE,
    WordErrors,
    characters,
    error_statistics,
    find_sclite,
    word_errors,
    write_wer_files,
)

REFERENCES = {
    "a-1": "the cat sat on the mat",
    "a-2": "she sells shells",
    "b-1": "one two three four",
    "b-2": "",
}
HYPOTHESES = {
    "a-1": "the cat on a mat",  # 1 deleted, 1 substituted
    "a-2": "she sells sea shells",  # 1 inserted
    "b-1": "",  # nothing recognised: 4 deleted
    "b-2": "oh",  # 1 inserted
}
TOTAL = WordErrors(4, 4, 13, 1, 5, 2)
UTT2SPK = {utt: utt[0] for utt in REFERENCES}


def split(texts):
    return {utt: text.split() for utt, text in texts.items()}


def random_texts(count, seed=0):
    """Pairs of texts over few words: what alignments are ambiguous in."""
    rng = np.random.default_rng(seed)
    sides = ({}, {})
    for i in range(count):
        size = rng.integers(2, 9)
        for side in sides:
            tokens = rng.integers(0, size, rng.integers(1, 15))
            side[f"u-{i}"] = [chr(97 + t) for t in tokens]
    return sides


def test_counts_by_hand():
    counts = [
        word_errors(REFERENCES[utt].split(), HYPOTHESES[utt].split())
        for utt in REFERENCES
    ]
    assert counts[0] == WordErrors(1, 1, 6, 1, 1, 0)
    assert sum(counts, WordErrors()) == TOTAL
    assert TOTAL.rate == pytest.approx(8 / 13)
    assert word_errors(["a"], ["a"]).sentence_errors == 0
    assert word_errors([], []) == WordErrors(1, 0, 0, 0, 0, 0)


def test_jiwer_finds_as_many_errors():
    """But where a row of substitutions is worse than gaps at sclite's weights."""
    more = 0
    for ref, hyp in zip(*(side.values() for side in random_texts(500)), strict=True):
        out = jiwer.process_words(" ".join(ref), " ".join(hyp))
        least = out.substitutions + out.deletions + out.insertions
        e = word_errors(ref, hyp)
        substituted, deleted, inserted = e.substituted, e.deleted, e.inserted
        assert len(ref) - deleted == len(hyp) - inserted
        weighted = 4 * substituted + 3 * (deleted + inserted)
        assert weighted <= 4 * out.substitutions + 3 * (out.deletions + out.insertions)
        assert substituted + deleted + inserted >= least
        more += substituted + deleted + inserted > least
    assert more < 10


def test_rates_per_utterance_and_of_all():
    total, statistics, errors = error_statistics(split(REFERENCES), split(HYPOTHESES))
    assert total == TOTAL and errors["a-2"] == WordErrors(1, 1, 3, 0, 0, 1)
    assert statistics["wer"].value() == pytest.approx(8 / 13)
    assert statistics["wer"].values() == pytest.approx(
        [1 / 3, 1 / 3, 1, np.nan], nan_ok=True
    )
    texts = {u: (REFERENCES[u], HYPOTHESES[u]) for u in ("a-1", "a-2", "b-1")}
    for utt, (reference, hypothesis) in texts.items():
        position = statistics["cer"].ids.index(utt)
        expected = jiwer.cer(reference, hypothesis)
        assert statistics["cer"].values()[position] == pytest.approx(expected)
    assert characters(["ab", "c"]) == ["a", "b", SPACE, "c"]
    missing, _, _ = error_statistics(split(REFERENCES), {})
    assert missing == WordErrors(4, 3, 13, 0, 13, 0)


def test_files_in_espnet_layout(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name, path=None: None)
    write_wer_files(tmp_path, split(REFERENCES), split(HYPOTHESES), UTT2SPK)
    first = (tmp_path / "ref.trn").read_text().splitlines()[0]
    assert first == "the cat sat on the mat\t(a-a-1)"
    assert (tmp_path / "hyp.trn").read_text().count("\n") == 4
    assert not (tmp_path / "result.txt").exists()  # is sclite's


def stand_in(folder, output, status=0):
    """A program named sclite that prints ``output``."""
    (folder / "output").write_text(output)
    program = folder / "sclite"
    program.write_text(f'#!/bin/sh\ncat "{folder}/output"\nexit {status}\n')
    program.chmod(0o755)


def test_output_of_sclite_is_kept(heard_set, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    stand_in(tmp_path, "sclite says\n")
    write_wer_files(tmp_path / "out", split(REFERENCES), split(HYPOTHESES), UTT2SPK)
    assert (tmp_path / "out" / "result.txt").read_text() == "sclite says\n"
    original = read_rows(heard_set / "ref", [], [])  # its counts are not what we say
    known = WordsScorer(Ear(), "words").described(original)
    assert known["word errors"] == "aligned with sclite's weights (4, 3, 3)"
    stand_in(tmp_path, "sclite says\n", status=1)
    write_wer_files(tmp_path / "bad", split(REFERENCES), split(HYPOTHESES), UTT2SPK)
    assert "sclite failed" in caplog.text
    assert [path.name for path in sorted((tmp_path / "bad").iterdir())] == [
        *("hyp.trn", "ref.trn")
    ]


@pytest.mark.skipif(not find_sclite(), reason="sclite is not installed")
@pytest.mark.parametrize("texts", ["by hand", "random"])
def test_sclite_counts_the_same(tmp_path, texts):
    references, hypotheses = split(REFERENCES), split(HYPOTHESES)
    if texts == "random":
        references, hypotheses = random_texts(1000, seed=1)
    references = {u: t for u, t in references.items() if t}
    speakers = {u: u[0] for u in references}
    total, _, _ = error_statistics(references, hypotheses)
    write_wer_files(tmp_path, references, hypotheses, speakers)
    raw = r"^\s*\|\s*Sum\s*\|([\s\d|]+)\|"  # a table of counts has it
    sums = re.search(raw, (tmp_path / "result.txt").read_text(), re.MULTILINE)[1]
    counts = [int(number) for number in re.findall(r"\d+", sums)]
    sentences, words, _, substituted, deleted, inserted, _, wrong = counts
    found = WordErrors(sentences, wrong, words, substituted, deleted, inserted)
    assert found == total


class Ear:
    """A recogniser that is not asked."""

    on_device = rough = False
    identity = "an ear"


@pytest.fixture
def heard_set(tmp_path):
    """A reference set whose text is a recogniser's, and a row that speaks it."""
    texts = {"text": "u0 one, too\nu1 three\n", "text_given": "u0 one two\nu1 three\n"}
    for name in ("ref", "taste"):
        (tmp_path / name).mkdir()
        (tmp_path / f"{name}.wav").touch()  # nobody listens
        wavs = "".join(f"{utt} {tmp_path}/{name}.wav\n" for utt in ("u0", "u1"))
        (tmp_path / name / "wav.scp").write_text(wavs)
        (tmp_path / name / "text").write_text(texts["text"])
    (tmp_path / "ref/text_given").write_text(texts["text_given"])
    made = {"transcribed_by": "an ear", "utterances": 2, "with_given_text": 1}
    summary = json.dumps(made | {"dropped": {"nothing recognised": 3}})
    (tmp_path / "ref/transcripts.json").write_text(summary)
    return tmp_path


def test_a_given_text_is_what_is_compared(heard_set):
    """The tokenizer reads a recogniser's text; words are counted against the true."""
    rows = read_rows(heard_set / "ref", [f"taste={heard_set / 'taste'}"], [])
    scorer = WordsScorer(Ear(), "words")
    for row in rows:
        row.measured = {"words": {"u0": {"text": "one too"}, "u1": {"text": "three"}}}
        assert scorer.score(row, rows[0])["wer"].value() == pytest.approx(1 / 3)
        assert row.recordings[0].words == ("one", "too")  # what is said and aligned
    line = scorer.described(rows)["transcripts"]
    assert line.startswith("an ear; WER 33.3% against the given text")
    assert "1 have no given text" in line and "3 utterances left out" in line
    assert scorer.upper_bounds(rows[0], "") == {}


def test_general_english_of_pocketsphinx_is_rough(tmp_path):
    (tmp_path / "some.jsgf").write_text("#JSGF V1.0; grammar g; public <s> = a;")
    for grammar, rough in (("", ["wer", "cer"]), (tmp_path / "some.jsgf", [])):
        scorer = WordsScorer(PocketsphinxRecogniser(grammar))
        assert describe([Row("original", scorers=[scorer])])["rough"] == rough


def test_a_set_without_a_given_text(heard_set, monkeypatch):
    (heard_set / "ref/text_given").unlink()
    original = read_rows(heard_set / "ref", [], [])[0]
    scorer = WordsScorer(Ear(), "words")
    original.scorers = [scorer]
    original.measured = {"words": {"u0": {"text": "one too"}, "u1": {"text": "three"}}}
    assert scorer.score(original, original)["wer"].value() == 0
    assert (
        "no given text: WER and CER are against these transcripts"
        in (scorer.described([original])["transcripts"])
    )
    # It judges its own texts; another one would not.
    bounds = describe([original])["upper_bounds"]
    assert list(bounds) == ["wer", "cer"] and "also made the reference" in bounds["wer"]
    monkeypatch.setattr(Ear, "identity", "another ear")
    assert scorer.upper_bounds(original, "") == {}
    (heard_set / "ref/transcripts.json").unlink()
    assert "transcripts" not in scorer.described([original])
