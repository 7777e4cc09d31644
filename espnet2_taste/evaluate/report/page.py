"""The self-contained HTML report: a tab per table, audio side by side, plots."""

from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from string import Template
from urllib.parse import quote

from espnet2_taste.evaluate.columns import COLUMNS, TITLES
from espnet2_taste.evaluate.report.html_tables import (
    anchor_link,
    score_table,
    text_table,
)
from espnet2_taste.evaluate.report.listen import Utterance, listen_section
from espnet2_taste.evaluate.report.results_md import test_set_size
from espnet2_taste.evaluate.report.training import Training, training_section
from espnet2_taste.evaluate.report.worst import WorstList
from espnet2_taste.evaluate.table import definitions, shown_columns, tables

_FOLDER = Path(__file__).parent
#: Section -> name of its tab, in order.
TABS = {
    "reconstruction": "Reconstruction",
    "continuation": "Continuation",
    "likelihood": "Likelihood",
    "qa": "QA",
    "errors": "Word errors",
    "codes": "Codes",
    "rtf": "Real-time factors",
    "training": "Training",
    "listen": "Listen",
    "environment": "Environment",
}


@dataclass
class Report:
    """What a page is made from.

    Attributes:
        title: of the page.
        results: of ``bin.score``.
        env: item -> value, see ``results_md.environment``.
        commands: shell lines that made the results.
        utterances: to listen to.
        worst: lists of them.
        wrong: questions that were not answered, first line the header.
        training: experiment -> curves and attention maps.
        others: test set -> file name of its page, of the other sets of the same run.
    """

    title: str
    results: dict
    env: dict[str, str]
    commands: list[str] = field(default_factory=list)
    utterances: list[Utterance] = field(default_factory=list)
    worst: list[WorstList] = field(default_factory=list)
    wrong: list[list[str]] = field(default_factory=list)
    training: dict[str, Training] = field(default_factory=dict)
    others: dict[str, str] = field(default_factory=dict)


def build_page(report: Report) -> str:
    """The whole page. It needs no other file or host; it links to ``others``."""
    cells = tables(report.results)
    bodies = {
        kind: _score_section(report, kind, cells) for kind in COLUMNS if kind in cells
    }
    links = {w.key: w.anchor for w in report.worst if w.column.key == "wer"}
    for kind in ("errors", "codes", "rtf"):
        if kind in cells:
            bodies[kind] = text_table(cells[kind], links)
    bodies["training"] = training_section(report.training)
    bodies["listen"] = listen_section(report.utterances, report.worst)
    bodies["environment"] = _environment(report, cells)
    shown = {key: name for key, name in TABS.items() if bodies.get(key)}
    titles = TITLES | {key: TABS[key] for key in TABS if key not in TITLES}
    return Template(_read("template.html")).substitute(
        title=escape(report.title),
        subtitle=_subtitle(report),
        style=_read("page.css"),
        script=_read("page.js"),
        navigation="".join(
            anchor_link(key, escape(name), f' id="tab-{key}"')
            for key, name in shown.items()
        ),
        body="\n".join(
            f'<section id="{key}" aria-labelledby="tab-{key}">'
            f"<h2>{escape(titles[key])}</h2>{bodies[key]}</section>"
            for key in shown
        ),
    )


def _subtitle(report: Report) -> str:
    size = escape(test_set_size(report.results))
    links = ", ".join(
        f'<a href="{quote(page)}">{escape(name)}</a>'
        for name, page in report.others.items()
    )
    return f"{size} (other test sets: {links})" if links else size


def _read(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")


def _score_section(report: Report, kind: str, cells: dict) -> str:
    rows = report.results[kind]
    parts = [score_table(kind, report.results, report.worst)]
    notes = []
    if any(len(row["seeds"]) > 1 for row in rows.values()):
        notes.append("± is half the range over seeds.")
    metrics = [metric for row in rows.values() for metric in row["metrics"].values()]
    if any(metric.get("interval") for metric in metrics):
        notes.append("Small print: 95 % bootstrap interval over utterances.")
    if any(w.table == kind for w in report.worst):
        notes.append("A value leads to its worst utterances.")
    labels = {c.label for c in COLUMNS[kind]} - {
        c.label for c in shown_columns(kind, rows)
    }
    missing = [x for x in report.results.get("not_computed", {}) if x in labels]
    if missing:
        where = anchor_link("environment", "what to install")
        notes.append(f"Not computed: {escape(', '.join(missing))} ({where}).")
    parts.append(f'<p class="note">{" ".join(notes)}</p>')
    lines = definitions(report.results, [kind]).splitlines()
    prefix = f"- *{TITLES[kind]}, "
    items = "".join(
        f"<li>{escape(line.removeprefix(prefix).replace('*', '', 1))}</li>"
        for line in lines
    )
    parts.append(_details("Definitions", f"<ul>{items}</ul>"))
    failures = [
        line[1:] for line in cells.get("failures", []) if line[0] == TITLES[kind]
    ]
    if failures:
        header = cells["failures"][0][1:]
        parts.append(_details(TITLES["failures"], text_table([header, *failures])))
    if kind == "qa" and report.wrong:
        parts.append(_details("Questions not answered", text_table(report.wrong)))
    return "".join(parts)


def _details(summary: str, body: str) -> str:
    return f"<details><summary>{escape(summary)}</summary>{body}</details>"


def _environment(report: Report, cells: dict[str, list[list[str]]]) -> str:
    parts = []
    if "not_computed" in cells:
        parts.append(f"<h3>{escape(TITLES['not_computed'])}</h3>")
        parts.append(text_table(cells["not_computed"]))
    scorers = report.results.get("scorers", {})
    if scorers:
        lines = [list(item) for item in scorers.items()]
        parts.append("<h3>Scorers</h3>" + text_table([["What", "By"], *lines]))
    lines = [list(item) for item in report.env.items()]
    parts.append(
        "<h3>Machine and versions</h3>" + text_table([["Item", "Value"], *lines])
    )
    if report.commands:
        commands = escape("\n".join(report.commands))
        parts.append(f"<h3>Commands</h3><pre>{commands}</pre>")
    return "".join(parts)
