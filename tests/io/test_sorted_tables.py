"""Long tables line by line: what dictionaries would give, and clear messages."""

from collections import Counter
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from espnet2_taste.io import datadir, sorting
from espnet2_taste.io.datadir_check import validate
from espnet2_taste.io.shards import Shard
from espnet2_taste.io.sorted_tables import (
    concatenated,
    first_unsorted,
    grouped,
    join,
    read_sorted,
    selected,
    sorted_entries,
)
from espnet2_taste.io.tables import read_table
from espnet2_taste.io.wav_dir import WavDir

KEYS = st.text("ab-_~\u00e9\u4e00\U0001f600\x01", min_size=1, max_size=3)
VALUES = st.text("xy \u2028\u4e00", max_size=4).map(str.strip)
TABLES = st.dictionaries(KEYS, VALUES, max_size=9)


def write(path, table: dict, order=None):
    lines = [f"{key} {table[key]}\n" for key in (order or table)]
    path.write_bytes("".join(lines).encode())
    return path


@given(st.lists(TABLES, min_size=1, max_size=4), st.booleans(), st.data())
def test_join_is_what_dictionaries_say(tmp_path_factory, tables, in_order, data):
    """Sorted files or files in any order, sorted in parts of two lines."""
    folder, names = tmp_path_factory.getbasetemp(), "abcd"
    files = {}
    for name, table in zip(names, tables, strict=False):
        order = sorted(table) if in_order else data.draw(st.permutations(list(table)))
        files[name] = write(folder / name, table, order)
    few = pytest.MonkeyPatch()
    few.setattr(sorting.sorted_lines, "__defaults__", (2,))
    try:
        found = list(
            join({n: sorted_entries(f, allow_empty=True) for n, f in files.items()})
        )
    finally:
        few.undo()
    pairs = list(zip(names, tables, strict=False))
    assert found == [
        (key, {name: table[key] for name, table in pairs if key in table})
        for key in sorted(set().union(*tables))
    ]


@given(TABLES)
def test_orders_are_found_as_lc_all_c_has_them(tmp_path_factory, table):
    path = write(tmp_path_factory.getbasetemp() / "table", table)
    keys = list(table)
    places = [n for n in range(1, len(keys)) if keys[n] < keys[n - 1]]
    assert first_unsorted(path) == (
        (places[0] + 1, keys[places[0]]) if places else None
    )


@given(st.lists(st.tuples(KEYS, KEYS), max_size=9), st.sets(KEYS))
def test_grouped_and_selected(pairs, keys):
    expected: dict = {}
    for key, value in pairs:
        expected.setdefault(value, []).append(key)
    assert dict(grouped(pairs)) == {value: sorted(k) for value, k in expected.items()}
    items = sorted(pairs, key=lambda pair: pair[0])
    kept = [pair for pair in items if pair[0] in keys]
    assert list(selected(items, sorted(keys))) == kept


@given(st.lists(TABLES, min_size=1, max_size=3))
def test_concatenated(tables):
    parts = {str(i): sorted(table.items()) for i, table in enumerate(tables)}
    counts = Counter(key for table in tables for key in table)
    both = [key for key in sorted(counts) if counts[key] > 1]
    if both:
        with pytest.raises(ValueError, match=r"^[12]: id \S+ is in both"):
            list(concatenated(parts, "is in both"))
    else:
        joined = {key: value for table in tables for key, value in table.items()}
        assert list(concatenated(parts, "is in both")) == sorted(joined.items())


@pytest.mark.parametrize(
    "text, cure, message",
    [
        (
            "a 1\nb 2\na 3\n",
            "fix it",
            "not sorted .*: line 3, a, comes after b; fix",
        ),
        ("a 1\nb 2\na 3\n", "", r"table:3: id a appears twice"),
        ("a 1\na 2\n", "fix it", r"table:2: id a appears twice"),
        ("b 1\na\n", "", "table:2: a has no value"),
        ("a 1\nb \r x\n", "", "table:2: a carriage return within"),
    ],
)
def test_messages_name_file_and_line(tmp_path, text, cure, message):
    (tmp_path / "table").write_text(text)
    with pytest.raises(ValueError, match=message):
        list(sorted_entries(tmp_path / "table", cure=cure))


def test_bad_bytes_are_named_when_they_are_reached(tmp_path):
    path = tmp_path / "table"
    path.write_bytes(b"a 1\nb \xff\n")
    entries = sorted_entries(path)
    assert next(entries) == ("a", "1")
    with pytest.raises(ValueError, match="table:2: not UTF-8"):
        next(entries)
    with pytest.raises(FileNotFoundError, match="no file"):
        next(sorted_entries(tmp_path / "absent"))
    path.write_text("a\n")
    with pytest.raises(ValueError, match="table:1: 'a' has no field 2"):
        list(read_sorted(path, 1))


def test_a_shard_holds_its_lines_alone(tmp_path):
    path = write(tmp_path / "table", {"a": "1", "b": "x", "c": "3"})
    assert read_table(path, parse=int, keys={"a", "c"}) == {"a": 1, "c": 3}
    path.write_text("a 1\nb 2\na 3\n")
    assert read_table(path, keys={"b"}) == {"b": "2"}
    with pytest.raises(ValueError, match="table:3: id a appears twice"):
        read_table(path, keys={"a"})


@given(TABLES, TABLES, st.data())
def test_fix_is_what_dictionaries_say(tmp_path_factory, text, more, data):
    """Any order of lines, ids that some tables lack, empty values."""
    folder = tmp_path_factory.getbasetemp() / "set"
    folder.mkdir(exist_ok=True)
    tables = {"text": text}
    speakers = {**text, **dict.fromkeys(more, "s")}
    tables["utt2spk"] = {key: value[:1] for key, value in speakers.items()}
    tables["wav.scp"] = dict.fromkeys([*more, *text], "x.wav")
    for name, table in tables.items():
        write(folder / name, table, data.draw(st.permutations(list(table))))
    kept = [k for k in sorted(text) if all(table.get(k) for table in tables.values())]
    if not kept:
        with pytest.raises(ValueError, match="no utterance is left"):
            datadir.fix(folder)
        return
    dropped = datadir.fix(folder)
    everything = set().union(*tables.values())
    assert sum(dropped.values()) == len(everything) - len(kept)
    assert list(read_table(folder / "text")) == kept
    assert validate(folder) == len(kept)


def test_reading_ahead_changes_nothing(tiny_data, tmp_path):
    """Each batch is read while the one before is at work; what is bad is skipped."""
    args = SimpleNamespace(output_dir=tmp_path / "out", batch_size=2)
    shard, data = Shard(args, tables=["text"]), WavDir(tiny_data, None)
    data.wavs["utt3"] = "absent.wav"
    order, tellings = data.order(), []
    assert order == data.lengths()

    def ahead(keys):
        tellings.append(keys)
        start(keys)

    start, batches, found = data.ahead(8000), [], {}
    for keys in shard.batches(order, ahead):
        assert tellings[-2] == keys
        batches.append(keys)
        found |= data.read(keys, 8000, shard)
        for key in found.keys() & keys:
            shard.write(key, {"text": "x"})
    assert tellings == [*batches, []]
    assert list(shard.skipped) == ["utt3"]
    alone = WavDir(tiny_data, None).read([k for k in order if k != "utt3"], 8000, shard)
    assert found.keys() == alone.keys()
    assert all((found[key] == alone[key]).all() for key in alone)
