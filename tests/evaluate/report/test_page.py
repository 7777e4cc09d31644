import re

from score_columns import COLUMNS

from espnet2_taste.evaluate.column import find_column
from espnet2_taste.evaluate.report.listen import WorstList
from espnet2_taste.evaluate.report.page import Report, build_page

ABOUT = ["Not computed", "Scorers"]


def metric(mean, *interval, spread=None):
    values = [mean] if spread is None else [mean - spread, mean + spread]
    limits = list(interval) or None
    metric = {"mean": mean, "spread": spread, "values": values, "interval": limits}
    return metric | {"utterances": [40] * len(values)}


def row(seeds=1, **metrics):
    entry = {"errors": [None] * seeds, "failures": [{}] * seeds}
    return {"seeds": [str(i) for i in range(seeds)], "metrics": metrics, **entry}


def test_spoken_language_model_alone():
    """No recordings: no Listen, no word errors, no size of a test set."""
    results = {
        "columns": COLUMNS,
        "likelihood": {"salmon": row(accuracy=metric(0.5, 0.45, 0.55))},
        "qa": {"llama": row(accuracy=metric(0.25))},
        "scorers": {},
        "not_computed": {},
    }
    wrong = [["Set", "Question", "Answers", "Said"], ["llama", "q1", "<a>", "b"]]
    html = build_page(Report("slm", results, wrong=wrong))
    sections = re.findall(r'<section id="(\w+)"', html)
    assert sections == ["overview", "likelihood", "qa", "about"]
    assert "[0.450, 0.550]</small>" in html
    assert "Questions not answered" in html and "&lt;a&gt;" in html


def test_score_table_cells():
    column = find_column({"columns": COLUMNS}, "reconstruction", "utmos")
    results = {
        "columns": COLUMNS,
        "reconstruction": {
            "original": row(utmos=metric(None)),
            "a&b": row(2, utmos=metric(3.5, 3.25, 3.75, spread=0.5)),
        },
        "scorers": {"naturalness": "a <model>"},
        "upper_bounds": {"utmos": "why <>"},
        "compared_to": {"reconstruction": "a&b", "continuation": ""},
        "not_computed": {"WER": "pip install x", "UTMOS": "y"},
    }
    worst = [WorstList("reconstruction", "a&b", "a&b:0", column, [("u", "1.20")])]
    html = build_page(Report("t", results, worst=worst))
    assert (
        '<td data-value="3.5"><a href="#worst-reconstruction-a%26b-utmos" '
        'title="worst utterances of a&amp;b by UTMOS">3.50 ± 0.50</a>'
        "<small>[3.25, 3.75]</small></td>"
    ) in html
    assert "<td>n/a</td>" in html
    meaning = "predicted naturalness, 1 to 5; † why &lt;&gt;"
    assert f'<th scope="col" title="{meaning}">UTMOS ↑ †</th>' in html
    assert "<p>Compared with <em>a&amp;b</em>.</p>" in html
    regions = re.findall(r'role="region" aria-label="([^"]*)"', html)
    assert regions == ["In the layout of the paper", "Reconstruction", *ABOUT]
    assert "± is half the range" in html and "95 % bootstrap" in html
    # Of what is missing, the note names what the table does not have after all.
    assert "Not computed: WER (" in html and "a &lt;model&gt;" in html
