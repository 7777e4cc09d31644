import shutil

import pytest

from espnet2_taste.metrics.wer import (
    WordErrors,
    find_sclite,
    sclite_counts,
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


def test_files_in_espnet_layout(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name, path=None: None)
    write_wer_files(tmp_path, split(REFERENCES), split(HYPOTHESES), UTT2SPK)
    first = (tmp_path / "ref.trn").read_text().splitlines()[0]
    assert first == "the cat sat on the mat\t(a-a-1)"
    assert (tmp_path / "hyp.trn").read_text().count("\n") == 4
    result = (tmp_path / "result.txt").read_text()
    assert "| Sum/Avg |     4     13 |   53.8    7.7   38.5   15.4   61.5" in result
    # Ours can be read back the way sclite's is.
    assert sclite_counts(result) == TOTAL


@pytest.mark.skipif(not find_sclite(), reason="sclite is not installed")
def test_sclite_counts_the_same(tmp_path):
    references = {u: t for u, t in REFERENCES.items() if t}
    write_wer_files(tmp_path, split(references), split(HYPOTHESES), UTT2SPK)
    total = sum(
        (word_errors(t.split(), HYPOTHESES[u].split()) for u, t in references.items()),
        WordErrors(),
    )
    assert sclite_counts((tmp_path / "result.txt").read_text()) == total
