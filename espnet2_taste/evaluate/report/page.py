"""The self-contained HTML report: what to see and hear at once, then a tab a table."""

from dataclasses import dataclass, field
from pathlib import Path

from espnet2_taste.evaluate import table
from espnet2_taste.evaluate.column import GROUPS, Column
from espnet2_taste.evaluate.report.listen import Utterance, WorstList, even_steps
from espnet2_taste.evaluate.report.results_md import (
    PAPER_NOTE,
    paper_tables,
    test_set_size,
)
from espnet2_taste.evaluate.report.training import Training
from espnet2_taste.evaluate.table import TABLES, other_tables, shown_columns

NUM_FIRST = 3  # sentences to hear on the first page
TABS = {
    "overview": "Overview",
    "reconstruction": "Reconstruction",
    "continuation": "Continuation",
    "likelihood": "Likelihood",
    "qa": "QA",
    "errors": "Word errors",
    "codes": "Codes",
    "rtf": "Speed",
    "training": "Training",
    "listen": "Listen",
    "about": "About",
}
#: What a recipe's rows are, for the first page.
ROWS = {
    "original": "the recordings",
    "copy": "the recordings' speech units through the vocoder",
    "text_only": "spoken from the text alone",
    "no_vq": "from text and vectors that are not quantised",
    "taste": "from text and codes",
    "taslm": "text and codes with which the spoken language model continued a prompt",
    "control": "how it continued the prompt's words with other utterances' codes",
}


@dataclass
class Report:
    """What a page is made from.

    Attributes:
        title: of the page.
        results: of ``bin.score``.
        commands: shell lines that made the results.
        utterances: to listen to.
        worst: lists of them.
        wrong: questions that were not answered, first line the header.
        training: experiment -> curves and attention maps.
        others: test set -> file name of its page, of the other sets of the same run.
    """

    title: str
    results: dict
    commands: list[str] = field(default_factory=list)
    utterances: list[Utterance] = field(default_factory=list)
    worst: list[WorstList] = field(default_factory=list)
    wrong: list[list[str]] = field(default_factory=list)
    training: dict[str, Training] = field(default_factory=dict)
    others: dict[str, str] = field(default_factory=dict)

    @property
    def tabs(self) -> dict[str, str]:
        """Section -> name of its tab, those that there is something to show in."""
        there = {
            "overview": bool(paper_tables(self.results) or self.utterances),
            **{kind: bool(self.results.get(kind)) for kind in TABLES},
            **dict.fromkeys(other_tables(self.results), True),
            "training": any(t.curves or t.maps for t in self.training.values()),
            "listen": bool(self.utterances),
            "about": True,
        }
        return {key: name for key, name in TABS.items() if there.get(key)}

    @property
    def compared(self) -> list[tuple[str, str]]:
        """(row, what it is) of the recordings that were compared."""
        rows = [*self.results.get("reconstruction", {})]
        rows += [*self.results.get("continuation", {})]
        return [(row, ROWS.get(row, "")) for row in rows]

    @property
    def first(self) -> list[Utterance]:
        """Sentences of the first page."""
        return even_steps([u for u in self.utterances if u.sample], NUM_FIRST)

    def groups(self, kind: str) -> list[tuple[str, list[Column]]]:
        """(group, columns) of a table that has values in them."""
        columns = shown_columns(self.results, kind)
        found = [(g, [c for c in columns if c.group == g]) for g in GROUPS]
        return [(group, some) for group, some in found if some]

    def missing(self, kind: str) -> list[str]:
        """Labels of metrics of recordings that could not be computed."""
        if kind in table.TESTS:
            return []
        shown = {column.label for column in shown_columns(self.results, kind)}
        return sorted(self.results.get("not_computed", {}).keys() - shown)


def build_page(report: Report) -> str:
    """The whole page. It needs no other file or host; it links to ``others``."""
    import jinja2

    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(
        loader=loader,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    results = report.results
    return environment.get_template("page.html").render(
        report=report,
        results=results,
        size=test_set_size(results),
        paper=paper_tables(results),
        others=other_tables(results),
        bounds=set(results.get("upper_bounds", {}).values()),
        compared_to=list(filter(None, results.get("compared_to", {}).values())),
        paper_note=PAPER_NOTE,
        anchors={(w.table, w.row, w.column.key): w.anchor for w in report.worst},
        tables=table,
        ROWS=ROWS,
    )
