from score_columns import COLUMNS, SCORERS

from espnet2_taste.evaluate.codes import LABELS
from espnet2_taste.evaluate.column import GROUPS, find_column
from espnet2_taste.evaluate.table import (
    MAX_COLUMNS,
    MAX_WIDTH,
    format_value,
    group_tables,
    markdown,
    markdown_table,
    other_tables,
    score_cells,
    shown_columns,
)

RESULTS = {"columns": COLUMNS}


def entry(*values, spread=None):
    mean = None if None in values else sum(values) / len(values)
    return {"mean": mean, "spread": spread, "values": list(values), "interval": None}


def row(**metrics):
    return {"seeds": [""], "metrics": metrics, "errors": [None], "failures": [{}]}


def test_columns_are_named_once_and_defined():
    for scorer in SCORERS:
        for table in ("reconstruction", "continuation"):
            columns = [c for c in scorer.columns if c.table in ("", table)]
            keys = [column.key for column in columns]
            labels = [column.label for column in columns]
            assert len(set(keys)) == len(keys) and len(set(labels)) == len(labels)
        for column in scorer.columns:
            assert column.meaning and column.better in ("lower", "higher", "")
    mcd = find_column(RESULTS, "reconstruction", "mcd")
    assert mcd.unit == "dB" and mcd.heading == "MCD (dB) ↓"
    assert find_column(RESULTS, "qa", "mcd") is None


def test_a_column_without_values_is_not_shown():
    rows = {"a": row(wer=entry(0.5), utmos=entry(None)), "b": row(wer=entry(None))}
    results = RESULTS | {"reconstruction": rows, "not_computed": {"UTMOS": "get it"}}
    assert [c.key for c in shown_columns(results, "reconstruction")] == ["wer"]
    assert score_cells(results, "reconstruction") == [
        ["Row", "Seeds", "WER ↓"],
        ["a", "1", "0.500"],
        ["b", "1", "n/a"],
    ]
    cells = other_tables(results)
    assert cells["not_computed"][1:] == [["UTMOS", "get it"]]
    assert "errors" not in cells


def test_tables_fit_a_page():
    """Every metric there is, with spreads: each once, in tables that can be read."""
    keys = [c["key"] for c in COLUMNS["reconstruction"]]
    cells = {key: entry(0.25, 0.75, spread=0.25) for key in keys}
    results = RESULTS | {"reconstruction": {"text_only": row(**cells)}, "scorers": {}}
    found = group_tables(results, "reconstruction")
    shown = [c for c in COLUMNS["reconstruction"] if not c["detail"]]
    assert sum(len(table[0]) - 2 for _, table in found) == len(shown)
    for _, table in found:
        assert len(table[0]) <= MAX_COLUMNS
        assert len(markdown_table(table).split("\n")[0]) <= MAX_WIDTH
    text = markdown(results)
    assert text.index("### Intelligibility") < text.index("### Prosody")


def test_spread_is_shown():
    column = find_column(RESULTS, "reconstruction", "utmos")
    assert format_value(entry(0.25, 0.75, spread=0.25), column) == "0.50 ± 0.25"
    assert format_value(None, column) == "n/a"


def test_what_says_nothing_looks_so():
    utmos = find_column(RESULTS, "reconstruction", "utmos")
    assert format_value(entry(3.0) | {"p": 0.2}, utmos) == "3.00 ≈"
    assert format_value(entry(3.0) | {"p": 0.02}, utmos) == "3.00"
    assert format_value(entry(3.0) | {"p": None}, utmos) == "3.00 ≈"  # of too few
    assert format_value(entry(None) | {"p": None}, utmos) == "n/a"


def test_bars_do_not_break_a_table():
    table = markdown_table([["Metric", "What"], ["UTMOS", "a|b"]])
    assert table.splitlines()[2] == "|UTMOS |a\\|b|"


def test_shares_of_no_words_are_none():
    """A text that is empty for the recogniser's cleaner, and one word inserted."""
    errors = {"sentences": 1, "sentence_errors": 1, "words": 0, "substituted": 0}
    silent = row() | {"errors": [errors | {"deleted": 0, "inserted": 1}]}
    line = other_tables({"reconstruction": {"a": silent}})["errors"][1]
    assert line == ["a", "1", "0", *["n/a"] * 5, "100.0"]


def test_tests_show_items():
    metric = entry(0.75) | {"interval": [0.6, 0.875], "utterances": [40]}
    bare = entry(1.0) | {"interval": None, "utterances": [4]}
    rows = {
        name: {"seeds": [""], "errors": [None], "metrics": {"accuracy": one}}
        for name, one in (("salmon", metric), ("small", bare))
    }
    header, *body = score_cells(RESULTS | {"likelihood": rows}, "likelihood")
    assert header[:2] == ["Row", "Items"]
    assert body == [["salmon", "40", "0.750"], ["small", "4", "1.000"]]


def test_definitions_stand_alone():
    """As tooltips, and in tables that are sorted."""
    texts = [column["meaning"] for table in COLUMNS.values() for column in table]
    texts += [label for label, _ in LABELS.values()]
    assert not [text for text in texts if "the same" in text or text[:5] == "that "]
    labels = {column["label"] for table in COLUMNS.values() for column in table}
    assert not labels & {group.capitalize() for group in GROUPS}
