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
    # What has no value throughout is left out: Bitrate, x; UTMOS, control.
    assert reconstruction == [
        ["Method", "WER (%) ↓", "UTMOS ↑"],
        ["original", "2.1", "4.09"],
    ]
    assert spoken == [
        ["Method", "Judge ↑", "SALMON (%) ↑", "StoryCloze (%) ↑", "Overall (%) ↑"],
        ["taslm", "3.46", "62.5", "75.0", "68.8"],
    ]
    assert paper_tables({"continuation": {"taslm": row(wer=0.1)}}) == []


def test_bitrate_of_the_paper_has_the_texts():
    rows = {"original": row(wer=0), "text_only": row(), "no_vq": row(wer=0)}
    rows |= {"taste": row(bitrate=48.7), "copy": row(bitrate=226.3)}
    made_from = {"text_only": "text", "taste": "codes", "copy": "units", "x": "codes"}
    results = {"reconstruction": rows, "made_from": made_from}
    (cells,) = paper_tables(results | {"codes": {"text_bitrate": 97.4}})
    assert {line[0]: line[1] for line in cells[1:]} == {
        **{"original": "n/a", "text_only": "97", "no_vq": "n/a"},
        **{"taste": "146", "copy": "226"},
    }
    (cells,) = paper_tables(results)  # of a text of unknown bits
    assert [line for line in cells[1:] if line[1] != "n/a"] == [["copy", "226", "n/a"]]


def test_marks_in_the_layout_of_the_paper():
    """† as elsewhere; ≈ of one set is the set's; no number of a rough recogniser."""
    taste = row(wer=0.2, speaker_similarity=0.9)
    taste["metrics"]["speaker_similarity"]["p"] = 0.3
    story, salmon = row(accuracy=0.6), row(accuracy=0.5)
    salmon["metrics"]["accuracy"]["p"] = story["metrics"]["accuracy"]["p"] = 0.3
    results = {
        "reconstruction": {"taste": taste},
        "likelihood": {"salmon": salmon, "sstorycloze": story, "tstorycloze": story},
        "upper_bounds": {"speaker_similarity": "why"},
        "rough": ["wer", "cer"],
    }
    reconstruction, spoken = paper_tables(results)
    assert reconstruction == [["Method", "Spkr. Sim. ↑ †"], ["taste", "0.90 ≈"]]
    assert spoken[1] == ["taslm", "50.0 ≈", "60.0", "55.0"]


def test_whole_file_without_recordings():
    """A spoken language model alone has no reconstruction."""
    results = {
        "columns": COLUMNS,
        "likelihood": {"salmon": row(accuracy=0.5)},
        "scorers": {},
        "not_computed": {"UTMOS": "pip install something"},
        "environment": {"date": "today"},
    }
    text = results_markdown({"test": results}, "slm", ["./run.sh"])
    for part in (
        "- date: `today`",
        "./run.sh",
        "# slm\n",
        "|taslm |50.0        |",
        "UTMOS",
    ):
        assert part in text, part
    assert "Test set" not in text and "pip install something" in text


def test_markdown_table_is_aligned():
    got = markdown_table([["a", "long"], ["123", "4"]])
    assert got == "|a  |long|\n|---|----|\n|123|4   |"
