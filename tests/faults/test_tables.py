"""One definition of lines, fields and ids for every table that is read."""

import codecs
import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from espnet2_taste.bin.format_wav import main as format_wav
from espnet2_taste.evaluate.testsets.files import read_answers, read_pairs
from espnet2_taste.io import datadir
from espnet2_taste.io.ctm import read_ctm
from espnet2_taste.io.datadir_check import validate
from espnet2_taste.io.segments import iterate_segments
from espnet2_taste.io.tables import (
    parse_count,
    read_entries,
    read_json_lines,
    read_records,
    read_selected,
    read_table,
    write_table,
)

#: White space of Unicode that separates nothing in Kaldi, and other traps.
ODD = "\xa0\x85\u1680\u2003\u2028\u2029\u202f\u3000\u200b\ufeff\x1c\x1d\x1e\x1f"
CHARACTERS = st.sampled_from("ab/-é語" + ODD)
IDS = st.text(CHARACTERS, min_size=1, max_size=5).filter(lambda k: k[0] != "\ufeff")
VALUES = st.lists(
    st.text(CHARACTERS, min_size=1, max_size=4), min_size=1, max_size=3
).map(" ".join)
TABLES = st.dictionaries(IDS, VALUES, min_size=1, max_size=5)


@given(
    TABLES,
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from([" ", "\t", "  ", " \t"]),
    st.sampled_from(["", "\ufeff"]),
    st.sampled_from(["", "\n", "\n \t\n"]),
    st.booleans(),
)
@example({"a": "b\u2028c", "b\x85": "\xa0"}, "\n", " ", "", "", True)
def test_whatever_editors_do_to_a_table(
    tmp_path_factory, table, end, tab, bom, blank, last
):
    path = tmp_path_factory.getbasetemp() / "table"
    lines = [f"{tab if tab == ' ' else ''}{k}{tab}{v}{tab}" for k, v in table.items()]
    text = bom + blank + (end + blank).join(lines) + (end + blank if last else "")
    path.write_bytes(text.encode())
    assert read_table(path) == table
    assert read_selected(path, path) == table
    write_table(path, table)
    assert read_table(path) == table
    assert list(read_table(path)) == sorted(table)


def test_joined_files_with_byte_order_marks(tmp_path):
    (tmp_path / "text").write_bytes("\ufeffa x\n\ufeffb y\n".encode())
    assert read_table(tmp_path / "text") == {"a": "x", "b": "y"}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"a x\na y\n", "table:2: id a appears twice"),
        (b"a x\n\n\nb\n", "table:4: b has no value"),
        (b"a x\nb \xff\n", "table:2: not UTF-8"),
        (b"a x\rb y\r", "table:1: a carriage return within the line"),
        (b"a x\nb y\rz\n", "table:2: a carriage return within the line"),
        (codecs.BOM_UTF16_LE + "a x\n".encode("utf-16-le"), "table: not UTF-8.*iconv"),
        (codecs.BOM_UTF16_BE + "a x\n".encode("utf-16-be"), "table: not UTF-8.*iconv"),
        ("a x\n".encode("utf-16-le"), "table: not UTF-8.*iconv"),
        ("a x\n".encode("utf-32"), "table: not UTF-8.*iconv"),
        ("a é\n".encode("latin-1"), "table:1: not UTF-8"),
    ],
)
def test_tables_that_are_none(tmp_path, data, message):
    path = tmp_path / "table"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=message):
        read_table(path)


@pytest.mark.parametrize("value", ["-1", "1.5", "x", "1 2", "nan", "", "0x5"])
def test_counts(tmp_path, value):
    (tmp_path / "utt2num_samples").write_text(f"a 5\nb {value}\n")
    with pytest.raises(ValueError, match="utt2num_samples:2: b"):
        read_table(tmp_path / "utt2num_samples", parse=parse_count)


@pytest.mark.parametrize(
    "line",
    ["r", "r 0", "r zero 1", "r 0 one", "r nan 1", "r 0 inf", "r 0 1 A", "r 0 1 -1"]
    + ["r 0 1 0 x", "r 0 1 0.5", "r 0,0 1,5", "r 00:01 00:02"],
)
def test_segments_that_are_none(tmp_path, line):
    (tmp_path / "segments").write_text(f"\n\ufeffu0 r 0 1\nu1 {line}\n")
    with pytest.raises(ValueError, match="segments:3: u1: expected 'recording start"):
        dict(iterate_segments(tmp_path))


@pytest.mark.parametrize(
    "line",
    ["u 1 0 1", "u 1 x 1 w", "u 1 0 y w", "u 1 -1 1 w", "u 1 0 -1 w", "u 1 nan 1 w"]
    + ["u 1 0 inf w", "u"],
)
def test_ctm_lines_that_are_none(tmp_path, line):
    (tmp_path / "words.ctm").write_text(f";; comment\n\nu 1 0 1 w\n{line}\n")
    with pytest.raises(ValueError, match="words.ctm:4: expected 'utt channel"):
        read_ctm(tmp_path / "words.ctm")


@given(st.lists(st.sampled_from("ab" + ODD.replace("\ufeff", "")), max_size=5))
def test_ctm_words_hold_what_is_no_space(tmp_path_factory, characters):
    path, word = tmp_path_factory.getbasetemp() / "w.ctm", "".join(characters) + "w"
    path.write_text(f"\ufeffu 1 0 1 {word}\r\n\r\nu 1 1 1 x 0.5\r\n")
    assert [timed.word for timed in read_ctm(path)["u"]] == [word, "x"]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("bom", ["", "\ufeff"])
def test_csv(tmp_path, end, bom):
    path = tmp_path / "gold.csv"
    rows = [["id", "text"], ["a", '"x, ""y""\u2028z"'], ["b", " \xa0n\x85m "], ["c"]]
    path.write_bytes((bom + end.join(map(",".join, rows)) + end).encode())
    found = list(read_records(path, ["id"]))
    assert found == [
        (2, {"id": "a", "text": 'x, "y"\u2028z'}),
        (3, {"id": "b", "text": "n\x85m"}),
        (4, {"id": "c", "text": ""}),
    ]
    with pytest.raises(ValueError, match="gold.csv:1: no column word"):
        list(read_records(path, ["word"]))
    path.write_text("id,text\na,b,c\n")
    with pytest.raises(ValueError, match="gold.csv:2: more fields than the header"):
        list(read_records(path))
    path.write_text('id,text\na,"b\n', encoding="utf-16")
    with pytest.raises(ValueError, match="gold.csv: not UTF-8"):
        list(read_records(path))


@pytest.mark.parametrize("line", ["{", "[1]", "1", "null", "{'a': 1}", "NaN"])
def test_json_lines(tmp_path, line):
    path = tmp_path / "a.jsonl"
    good = json.dumps({"key": "a\u2028b", "answers": ["x\x85y"]}, ensure_ascii=False)
    path.write_text(f"\ufeff{good}\r\n\n{line}\n")
    with pytest.raises(ValueError, match="a.jsonl:3: no JSON object"):
        list(read_json_lines(path))
    path.write_text(f"\ufeff{good}\r\n\n")
    assert read_answers(path) == {"a\u2028b": ["x\x85y"]}


def test_pairs(tmp_path):
    path = tmp_path / "pairs"
    path.write_text("\ufeffp\xa01\ttask  a b\u2028 i\r\n\r\n")
    (pair,) = read_pairs(path)
    assert (pair.name, pair.negative, pair.item) == ("p\xa01", "b\u2028", "i")


def write_dir(folder, **tables):
    folder.mkdir()
    for name, text in tables.items():
        (folder / name.replace("wav", "wav.scp")).write_text(text, encoding="utf-8")


def test_stage_2_makes_one_text_of_all_spaces(tmp_path, caplog):
    import numpy as np
    import soundfile

    soundfile.write(tmp_path / "a.wav", np.full(8000, 0.1), 16000)
    keys = ["u1", "u2", "u3", "u\xa04", "u5"]
    texts = ["a\xa0b\u2028c", "\u3000x\x85 y\u3000", "\xa0 \u2028", "x", "x\u200by"]
    write_dir(
        tmp_path / "in",
        wav="".join(f"{key} {tmp_path}/a.wav\r\n" for key in keys),
        text="\ufeff" + "".join(f"{k}\t{t}\n" for k, t in zip(keys, texts)),  # noqa: B905
        utt2spk="\n".join(f"{key} s" for key in keys) + "\n\nu6 s",
    )
    caplog.set_level("INFO")
    format_wav([str(tmp_path / "in"), str(tmp_path / "out")])
    text = read_table(tmp_path / "out" / "text")
    assert text == {"u1": "a b c", "u2": "x y", "u5": "x\u200by"}
    for part in ("1 empty text", "1 white space in the id", "1 not in text"):
        assert part in caplog.text, part
    assert validate(tmp_path / "out") == 3


def test_a_speaker_is_one_word(tmp_path):
    write_dir(tmp_path / "in", wav="u a.wav\n", text="u a\n", utt2spk="u John Doe\n")
    with pytest.raises(ValueError, match="utt2spk: u: a space in speaker 'John Doe'"):
        datadir.fix(tmp_path / "in")


@pytest.mark.parametrize("odd", [c for c in ODD if c.isspace()])
def test_ids_that_espnet_would_split(tmp_path, odd):
    key = f"a{odd}b"
    tables = {"wav": "a.wav", "text": "x", "utt2spk": "s"}
    folder = tmp_path / "in"
    write_dir(folder, **{k: f"{key} {v}\n" for k, v in tables.items()})
    (folder / "spk2utt").write_text(f"s {key}\n")
    with pytest.raises(ValueError, match="utt2spk: white space in id"):
        validate(folder)


def test_parts_of_directories_keep_odd_characters(tmp_path):
    odd = "a\u2028b\x85c"
    write_dir(
        tmp_path / "in",
        wav="u1 x.wav\nu2 y.wav\n",
        text=f"u1 {odd}\nu2 z\n",
        utt2spk="u1 s\nu2 s\n",
        **{"words.ctm": f"\n;; c\nu2 1 0 1 z\nu1 1 0 1 {odd}\n\n"},
    )
    assert datadir.fix(tmp_path / "in") == {}
    assert datadir.subset(tmp_path / "in", tmp_path / "out", ["u1"]) == 1
    assert read_table(tmp_path / "out" / "text") == {"u1": odd}
    assert (tmp_path / "out/words.ctm").read_text() == f"u1 1 0 1 {odd}\n"
    parts = [tmp_path / "in" / "words.ctm", tmp_path / "out" / "words.ctm"]
    assert datadir.merge(parts[1:], tmp_path / "all.ctm") == 1


def test_what_is_odd_is_found_in_any_block(tmp_path, monkeypatch):
    monkeypatch.setattr("espnet2_taste.io.tables._BLOCK", 4)
    (tmp_path / "t").write_bytes(b"a 1\n\nb 2\n\xef\xbb\xbfc 3\r\n d 4 \n")
    expected = [(1, "a", "1"), (3, "b", "2"), (4, "c", "3"), (5, "d", "4")]
    assert list(read_entries(tmp_path / "t")) == expected
    (tmp_path / "t").write_bytes(b"a 1\nb 2\nc 3\rd 4\n")
    with pytest.raises(ValueError, match="t:3: a carriage return"):
        list(read_entries(tmp_path / "t"))
