"""The mini recipe's test sets: what they hold, and that the readers take it."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from espnet2_taste.evaluate.testsets.layouts import read_layout

LOCAL = Path(__file__).parents[2] / "egs2" / "taste" / "mini" / "local"
LAYOUTS = {
    "salmon": "salmon",
    "tstorycloze": "storycloze",
    "sblimp": "sblimp",
    "web_questions": "web_questions",
}


def make(folder, *options):
    command = [sys.executable, str(LOCAL / "make_testsets.py")]
    command += ["--data_dir", str(folder), "--num_pairs", "3", *options]
    subprocess.run(command, check=True, capture_output=True)
    return folder / "testsets"


@pytest.fixture(scope="module")
def roots(tmp_path_factory):
    pytest.importorskip("espeakng_loader")
    return make(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def sets(roots):
    return {name: read_layout(layout, roots / name) for name, layout in LAYOUTS.items()}


@pytest.fixture(scope="module")
def fits():
    """Does the grammar allow a sentence?"""
    sys.path.insert(0, str(LOCAL))
    try:
        import make_testsets

        return lambda text: make_testsets.fits(text.split())
    finally:
        sys.path.remove(str(LOCAL))


def test_every_set_is_complete(sets):
    assert {name: len(s.pairs) for name, s in sets.items()} == {
        "salmon": 18,
        "tstorycloze": 3,
        "sblimp": 4,
        "web_questions": 0,
    }
    assert len(sets["web_questions"].answers) == 3
    for found in sets.values():
        assert not found.skipped
        assert found.text.keys() == found.wavs.keys()


def test_salmon_pairs_begin_alike_and_say_the_same(sets):
    found = sets["salmon"]
    for pair in found.pairs:
        assert found.text[pair.positive] == found.text[pair.negative]
        sides = [
            soundfile.read(found.wavs[utt])[0] for utt in (pair.positive, pair.negative)
        ]
        size = min(map(len, sides))
        different = np.flatnonzero(sides[0][:size] != sides[1][:size])
        # The first half is 1 of 3 words or more.
        assert different[0] > 0.2 * size, pair.name
        assert len(different) > 0.1 * size


def test_what_is_wrong_is_not_in_the_grammar(sets, fits):
    assert fits("today the teacher found my red table near every church")
    assert not fits("the teacher found red my table")
    for name in ("tstorycloze", "sblimp"):
        found = sets[name]
        for pair in found.pairs:
            assert fits(found.text[pair.positive])
            assert not fits(found.text[pair.negative])
    found = sets["web_questions"]
    for utt, answers in found.answers.items():
        for answer in answers:
            rest = (
                [answer] if fits(f"{found.text[utt]} {answer}") else [answer, "table"]
            )
            assert fits(" ".join([found.text[utt], *rest]))


def test_the_same_seed_gives_the_same_bytes_and_known_sentences_are_left_out(
    roots, sets, tmp_path
):
    (tmp_path / "train").mkdir()
    known = set(sets["tstorycloze"].text.values())
    (tmp_path / "train" / "text").write_text(
        "".join(f"u{i} {text}\n" for i, text in enumerate(sorted(known)))
    )
    again = make(tmp_path)
    paths = sorted(os.path.relpath(p, roots) for p in roots.glob("salmon/**/*.wav"))
    for path in paths:
        assert (roots / path).read_bytes() == (again / path).read_bytes()
    found = read_layout("storycloze", again / "tstorycloze")
    right = {found.text[pair.positive] for pair in found.pairs}
    assert not right & known
    other = make(tmp_path / "other", "--seed", "1")
    assert (other / "salmon/text").read_text() != (roots / "salmon/text").read_text()
