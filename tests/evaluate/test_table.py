from espnet2_taste.evaluate.columns import COLUMNS, find_column
from espnet2_taste.evaluate.table import (
    format_value,
    heading,
    markdown_table,
    score_cells,
    shown_columns,
    tables,
)


def entry(*values, spread=None):
    mean = None if None in values else sum(values) / len(values)
    return {"mean": mean, "spread": spread, "values": list(values), "interval": None}


def row(**metrics):
    return {"seeds": [""], "metrics": metrics, "errors": [None], "failures": [{}]}


def test_columns_are_named_once_and_defined():
    for table, columns in COLUMNS.items():
        keys = [column.key for column in columns]
        labels = [column.label for column in columns]
        assert len(set(keys)) == len(keys) and len(set(labels)) == len(labels), table
        for column in columns:
            assert column.meaning and column.better in ("lower", "higher", "")
    assert find_column("reconstruction", "mcd").unit == "dB"
    assert find_column("qa", "mcd") is None
    assert heading(find_column("reconstruction", "mcd")) == "MCD (dB) ↓"


def test_order_of_the_paper():
    order = [column.key for column in COLUMNS["reconstruction"]]
    first = ["wer", "cer", "utmos", "dnsmos", "visqol", "duration_consistency"]
    assert order[:7] == [*first, "speaker_similarity"]


def test_a_column_without_values_is_not_shown():
    rows = {"a": row(wer=entry(0.5), utmos=entry(None)), "b": row(wer=entry(None))}
    assert [c.key for c in shown_columns("reconstruction", rows)] == ["wer"]
    cells = tables({"reconstruction": rows, "not_computed": {"UTMOS": "get it"}})
    assert cells["reconstruction"] == [
        ["Row", "Seeds", "WER ↓"],
        ["a", "1", "0.500"],
        ["b", "1", "n/a"],
    ]
    assert cells["not_computed"][1:] == [["UTMOS", "get it"]]
    assert "errors" not in cells and "qa" not in cells


def test_spread_is_shown():
    assert format_value(entry(0.25, 0.75, spread=0.25), 2) == "0.50 ± 0.25"
    assert format_value(None, 2) == "n/a"


def test_bars_do_not_break_a_table():
    table = markdown_table([["Metric", "What"], ["UTMOS", "a|b"]])
    assert table.splitlines()[2] == "|UTMOS |a\\|b|"


def test_shares_of_no_words_are_none():
    """A text that is empty for the recogniser's cleaner, and one word inserted."""
    errors = {"sentences": 1, "sentence_errors": 1, "words": 0, "substituted": 0}
    silent = row() | {"errors": [errors | {"deleted": 0, "inserted": 1}]}
    line = tables({"reconstruction": {"a": silent}})["errors"][1]
    assert line == ["a", "1", "0", *["n/a"] * 5, "100.0"]


def test_tests_show_items_and_intervals():
    metric = entry(0.75) | {"interval": [0.5, 0.875], "utterances": [40]}
    bare = entry(1.0) | {"interval": None, "utterances": [4]}
    rows = {
        name: {"seeds": [""], "errors": [None], "metrics": {"accuracy": one}}
        for name, one in (("salmon", metric), ("small", bare))
    }
    header, *body = score_cells("likelihood", rows)
    assert header[:2] == ["Row", "Items"]
    assert body == [["salmon", "40", "0.750 [0.500, 0.875]"], ["small", "4", "1.000"]]
