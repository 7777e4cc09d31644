from espnet2_taste.metrics.table import markdown_table
from espnet2_taste.report.results_md import paper_tables, results_markdown


def row(**values):
    entry = {"spread": None, "interval": None}
    metrics = {k: {"mean": v, "values": [v], **entry} for k, v in values.items()}
    return {"seeds": [""], "metrics": metrics, "errors": [None], "failures": [{}]}


def test_layout_of_the_paper():
    results = {
        "reconstruction": {"original": row(wer=0.0214, utmos=4.09), "x": row(wer=None)},
        "continuation": {"taslm": row(wer=0.1)},
        "likelihood": {"salmon": row(accuracy=0.625), "salmon/gender": row(accuracy=1)},
    }
    reconstruction, likelihood = paper_tables(results)  # no judge, no UTMOS
    assert reconstruction[0][:4] == ["Method", "Bitrate", "WER (%) ↓", "UTMOS ↑"]
    assert reconstruction[1][:4] == ["original", "n/a", "2.1", "4.09"]
    assert set(reconstruction[2][1:]) == {"n/a"}
    assert likelihood[1:] == [["salmon", "62.5"]]


def test_whole_file_without_recordings():
    """A spoken language model alone has no reconstruction."""
    results = {
        "likelihood": {"salmon": row(accuracy=0.5)},
        "scorers": {},
        "not_computed": {"UTMOS": "pip install something"},
    }
    text = results_markdown(results, "slm", {"date": "today"}, ["./run.sh"])
    for part in ("- date: `today`", "./run.sh", "# slm\n", "|salmon|50.0", "UTMOS"):
        assert part in text, part
    assert "Test set" not in text and "pip install something" in text


def test_markdown_table_is_aligned():
    got = markdown_table([["a", "long"], ["123", "4"]])
    assert got == "|a  |long|\n|---|----|\n|123|4   |"
