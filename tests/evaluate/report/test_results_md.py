from score_columns import COLUMNS

from espnet2_taste.evaluate.report.results_md import paper_tables, results_markdown
from espnet2_taste.evaluate.table import markdown_table


def row(**values):
    entry = {"spread": None, "interval": None, "utterances": [40]}
    metrics = {k: {"mean": v, "values": [v], **entry} for k, v in values.items()}
    return {"seeds": [""], "metrics": metrics, "errors": [None], "failures": [{}]}


def test_layout_of_the_paper():
    results = {
        "reconstruction": {"original": row(wer=0.0214, utmos=4.09), "x": row(wer=None)},
        "continuation": {"taslm": row(judge=3.456), "control": row(wer=0.1)},
        "likelihood": {
            "salmon": row(accuracy=0.625),
            "salmon/gender": row(accuracy=1),
            "sstorycloze": row(accuracy=0.6),
            "tstorycloze": row(accuracy=0.9),
        },
    }
    reconstruction, spoken = paper_tables(results)
    assert reconstruction[0][:4] == ["Method", "Bitrate", "WER (%) ↓", "UTMOS ↑"]
    assert reconstruction[1][:4] == ["original", "n/a", "2.1", "4.09"]
    assert set(reconstruction[2][1:]) == {"n/a"}
    assert spoken == [
        ["Method", "Judge ↑", "UTMOS ↑", "SALMON ↑", "StoryCloze ↑", "Overall ↑"],
        ["taslm", "3.46", "n/a", "62.5", "75.0", "68.8"],
        ["control", "n/a", "n/a", "n/a", "n/a", "n/a"],
    ]
    assert paper_tables({"continuation": {"taslm": row(wer=0.1)}}) == []


def test_whole_file_without_recordings():
    """A spoken language model alone has no reconstruction."""
    results = {
        "columns": COLUMNS,
        "likelihood": {"salmon": row(accuracy=0.5)},
        "scorers": {},
        "not_computed": {"UTMOS": "pip install something"},
    }
    text = results_markdown({"test": results}, "slm", {"date": "today"}, ["./run.sh"])
    for part in (
        "- date: `today`",
        "./run.sh",
        "# slm\n",
        "|taslm |n/a    |n/a    |50.0",
        "UTMOS",
    ):
        assert part in text, part
    assert "Test set" not in text and "pip install something" in text


def test_markdown_table_is_aligned():
    got = markdown_table([["a", "long"], ["123", "4"]])
    assert got == "|a  |long|\n|---|----|\n|123|4   |"
