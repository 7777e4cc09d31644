"""What holds for every corpus: order, limits, atomic writing, what cannot be."""

import json
import os

import fake_corpora
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet2_taste.bin.datadir import main as datadir
from espnet2_taste.bin.prepare_corpus import main
from espnet2_taste.corpora.abs_corpus import AbsCorpus, Utterance, tidy_name, tidy_text
from espnet2_taste.corpora.prepare import Limits, prepare
from espnet2_taste.io import sorting
from espnet2_taste.io.datadir_check import validate
from espnet2_taste.io.segments import Segment
from espnet2_taste.io.tables import read_table

CUT = Segment("r", 0.0, 1.0, None)
SPEAKERS = {f"utt{i:03d}": f"spk{i % 7}" for i in range(100)}


class Toy(AbsCorpus):
    """Utterances that a test gives."""

    files = "nothing"
    parts = "none"
    given: list = []

    def read(self, root, parts, store):
        yield from self.given


def toy(*rows, **options):
    corpus = Toy()
    corpus.given = [Utterance(*row[:4], *row[4:]) for row in rows]
    return corpus


def many(seconds=None):
    return toy(*((u, f"{u}.wav", f"text {u}", s, seconds) for u, s in SPEAKERS.items()))


def test_sorted_in_little_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(sorting, "RUN", 3)
    monkeypatch.setattr(sorting.sorted_lines, "__defaults__", (3,))
    corpus = many(2.0)
    corpus.given = corpus.given[50:] + corpus.given[:50]
    summary = prepare(corpus, tmp_path, [], tmp_path / "out")
    assert validate(tmp_path / "out") == summary.utterances == 100
    assert read_table(tmp_path / "out/utt2spk") == SPEAKERS
    assert summary.speakers == 7 and summary.hours == pytest.approx(200 / 3600)
    written = json.loads((tmp_path / "out/summary.json").read_text())
    assert written["utterances"] == 100


def test_limits_choose_the_same_when_the_corpus_grows(tmp_path):
    corpus = many(36.0)
    prepare(corpus, tmp_path, [], tmp_path / "a", limits=Limits(hours=0.1))
    few = set(read_table(tmp_path / "a/text"))
    assert len(few) == 10 and few != set(list(SPEAKERS)[:10])
    corpus = many(36.0)
    corpus.given += [Utterance(f"new{i}", "x.wav", "t", "s", 36.0) for i in range(100)]
    prepare(corpus, tmp_path, [], tmp_path / "b", limits=Limits(utterances=20))
    more = set(read_table(tmp_path / "b/text"))
    old = more & set(SPEAKERS)
    assert len(more) == 20 and (old <= few or few <= old)
    prepare(many(), tmp_path, [], tmp_path / "c", limits=Limits(10, seed=1))
    assert set(read_table(tmp_path / "c/text")) != few


def test_hours_of_unknown_lengths(tmp_path):
    rows = []
    for i in range(6):
        wav = fake_corpora.write_audio(tmp_path / f"{i}.wav")
        rows.append((f"u{i}", str(wav), "text", "s"))
    (tmp_path / "6.wav").write_bytes(b"no audio")
    corpus = toy(*rows, ("u6", str(tmp_path / "6.wav"), "text", "s"))
    summary = prepare(
        corpus, tmp_path, [], tmp_path / "out", limits=Limits(hours=4.5 / 3600)
    )
    assert summary.utterances == 4
    assert not (tmp_path / "out/utt2dur").exists()  # which has what the corpus says


def test_what_cannot_be_used(tmp_path):
    corpus = toy(
        ("a", "a.wav", "one", "s"),
        ("a", "b.wav", "two", "s"),
        ("b c/d", "b.wav", "tab\there\x00 and\nthere \u200b", "s p"),
        ("", "c.wav", "text", "s"),
        ("d", "d.wav", "  \ufeff", "s"),
        ("e", "e.wav", "?!", "s"),
        ("f", " f.wav", "text", "s"),
        ("g", "g.wav", "text", "s", float("nan")),
        ("h", "h\udcff.wav", "text", "s"),
    )
    out = tmp_path / "out"
    prepare(corpus, tmp_path, [], out, lambda t: t.strip("?!"))
    assert read_table(out / "text") == {"a": "one", "b_c-d": "tab here and there"}
    assert read_table(out / "utt2spk")["b_c-d"] == "s_p"
    assert corpus.note.counts == {
        "id with white space or slashes, which were replaced": 1
    }
    assert set(corpus.skip.counts.values()) == {1}
    assert len(corpus.skip.counts) == 7


@pytest.mark.parametrize(
    "rows, message",
    [
        ([], "no utterance; it should hold nothing"),
        ([("a", "a.wav", "", "s")], r"no utterance is left \(dropped: 1 empty text\)"),
        ([("a", "a.wav", "x" * 99, "s", 0.5)], "2e.02 characters a second cannot be"),
        ([("a", "a.wav", "x", "s", 2000.0)], "0.0005 characters a second cannot be"),
        (
            [
                ("a", "a.wav", "x", "s", None, CUT),
                ("b", "b.wav", "x", "s"),
            ],
            "some utterances are parts of recordings, and some are whole",
        ),
        (
            [(u, f"{u}.wav", "x", "s", None, CUT) for u in "ab"],
            "recording r is a.wav and b.wav",
        ),
    ],
)
def test_what_cannot_be(rows, message, tmp_path):
    out = tmp_path / "out"
    prepare(many(), tmp_path, [], out)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    with pytest.raises(ValueError, match=message):
        prepare(toy(*rows), tmp_path, [], out)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert os.listdir(tmp_path) == ["out"]


@settings(max_examples=60)
@given(st.text(), st.text())
def test_tidied(name, text):
    name, text = tidy_name(name), tidy_text(text)
    assert not set(name) & set(" \t\n\r\\/") and tidy_name(name) == name
    assert text == " ".join(text.split()) and tidy_text(text) == text


def test_options(tmp_path):
    common = ["--output_dir", str(tmp_path / "out"), "--root"]
    with pytest.raises(ValueError, match="nope is no layout of a corpus; choose from"):
        main(["--layout", "nope", *common, str(tmp_path)])
    with pytest.raises(
        ValueError, match="layout ljspeech: LJSpeech has no option x, but text"
    ):
        main(["--layout", "ljspeech", *common, ".", "--layout_conf", "x=1"])
    with pytest.raises(ValueError, match="--root is empty: where is vctk"):
        main(["--layout", "vctk", *common, ""])
    with pytest.raises(ValueError, match="emilia has to be asked for: give its folder"):
        main(["--layout", "emilia", *common, "downloads"])
    hint = "--root {} is not there; .*: hf download user/name.v1 --repo-type dataset"
    for root in ("user/name.v1", "https://huggingface.co/datasets/user/name.v1"):
        for layout in ("huggingface", "folder"):
            with pytest.raises(FileNotFoundError, match=hint.format(root)):
                main(["--layout", layout, *common, root])
    for root in (str(tmp_path / "user/name"), "../name"):
        with pytest.raises(FileNotFoundError, match=f"{root} is not there$"):
            main(["--layout", "folder", *common, root])
    name = f"{Toy.__module__}.{Toy.__qualname__}"
    Toy.given = [Utterance("a", "a.wav", "Yes!", "s")]
    main(["--layout", name, *common, str(tmp_path), "--cleaner", "whisper_en"])
    assert read_table(tmp_path / "out/text") == {"a": "yes"}


def sets(tmp_path):
    rows = {
        "train": [("a1", "a.wav", "One two", "84"), ("a2", "b.wav", "Three", "85")],
        "same_reader": [("t1", "c.wav", "four", "84")],
        "same_text": [
            ("t2", "c.wav", "ONE, TWO!", "86"),
            ("t3", "d.wav", "five", "86"),
        ],
        "same_audio": [("t4", "a.wav", "six", "86")],
        "same_id": [("a1", "e.wav", "seven", "86")],
        "fine": [("t5", "e.wav", "eight", "87")],
    }
    for name, items in rows.items():
        prepare(toy(*items), tmp_path, [], tmp_path / name)
    return {name: str(tmp_path / name) for name in rows}


def test_disjoint(tmp_path, caplog):
    caplog.set_level("INFO")
    folders = sets(tmp_path)
    train = folders["train"]
    datadir(["disjoint", train, folders["fine"], folders["same_text"]])
    assert "same_text: 1 of 2 utterances say a sentence of" in caplog.text
    for name, message in {
        "same_reader": "speaker 84 is in .*train, too",
        "same_audio": "audio a.wav of t4 is in .*train, too",
        "same_id": "utterance a1 is in .*train, too",
    }.items():
        with pytest.raises(ValueError, match=message):
            datadir(["disjoint", train, folders["fine"], folders[name]])
    assert "fine shares 0 of its 1 speakers with" in caplog.text
    datadir(["disjoint", "--shared_speakers", train, folders["same_reader"]])
    assert "same_reader shares 1 of its 1 speakers with" in caplog.text
    with pytest.raises(ValueError, match="same_text: 1 of 2 utterances say a sentence"):
        datadir(["disjoint", "--sentences", train, folders["same_text"]])
