"""The self-contained HTML report: tables, audio side by side, plots."""

import base64
import io
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from string import Template

import numpy as np

from espnet2_taste.metrics.audio import SAMPLE_RATE, read_audio
from espnet2_taste.metrics.matching import Measures
from espnet2_taste.metrics.table import COLUMNS, TITLES, definitions, tables
from espnet2_taste.report.svg import attention_plot, curve_charts, prosody_plot
from espnet2_taste.report.training_log import Curves

TEMPLATE = Path(__file__).with_name("template.html")


@dataclass
class Clip:
    """One recording of an utterance: row name, ``wav.scp`` entry, its words."""

    row: str
    entry: str
    text: str
    measures: Measures | None = None


@dataclass
class Utterance:
    """What the report shows of one utterance.

    Attributes:
        utt: id. text: the reference words.
        clips: recordings in table order.
        attention: (W, F) attention, its W words and the frame shift [s], or None.
    """

    utt: str
    text: str
    clips: list[Clip] = field(default_factory=list)
    attention: tuple[np.ndarray, list[str], float] | None = None


def build_page(
    title: str,
    scores: dict,
    env: dict[str, str],
    commands: list[str],
    utterances: list[Utterance],
    curves: dict[str, Curves],
) -> str:
    """The whole page. Nothing in it refers to another file or host."""
    sections = {
        "Scores": _tables(scores),
        "Listen": _listen(utterances),
        "Training": _training(curves),
        "Environment": _environment(env, commands),
    }
    sections = {name: body for name, body in sections.items() if body}
    size = f"{scores['num_utterances']} utterances, {scores['seconds']:.0f} s of audio"
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        title=escape(title),
        subtitle=escape(f"{size}. Scorers: {'; '.join(scores['scorers'].values())}."),
        navigation=" ".join(
            f'<a href="#{name.lower()}">{name}</a>' for name in sections
        ),
        body="\n".join(
            f'<section id="{name.lower()}"><h2>{name}</h2>{body}</section>'
            for name, body in sections.items()
        ),
    )


def html_table(cells: list[list[str]], sortable: bool) -> str:
    """Cells, first line the header -> a table."""
    head = "".join(f'<th scope="col">{escape(c)}</th>' for c in cells[0])
    lines = (
        "<tr>" + "".join(f"<td>{escape(c)}</td>" for c in line) + "</tr>"
        for line in cells[1:]
    )
    kind = ' class="sortable"' if sortable else ""
    return (
        f'<div class="scroll"><table{kind}><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def _tables(scores: dict) -> str:
    parts = []
    for key, cells in tables(scores).items():
        parts.append(f"<h3>{escape(TITLES[key])}</h3>")
        parts.append(html_table(cells, sortable=key in COLUMNS or key == "errors"))
        kinds = [key] if key in COLUMNS else []
        note = definitions(scores, kinds).replace("*", "").splitlines()
        if note:
            items = "".join(f"<li>{escape(line[2:])}</li>" for line in note)
            parts.append(f"<details><summary>Definitions</summary><ul>{items}</ul>")
            parts.append("</details>")
        parts.append("<br>")
    parts.append('<p class="note">± is half the range over sampling seeds.</p>')
    return "".join(parts)


def _listen(utterances: list[Utterance]) -> str:
    if not utterances:
        return ""
    note = "Taken at even steps from the test set, not chosen by ear."
    return f'<p class="note">{note}</p>' + "".join(
        _article(utterance, unfolded=not i) for i, utterance in enumerate(utterances)
    )


def _article(utterance: Utterance, unfolded: bool) -> str:
    clips = "".join(
        f'<figure class="clip"><figcaption>{escape(clip.row)}</figcaption>'
        f'<audio controls preload="metadata" '
        f'aria-label="{escape(f"{clip.row}: {clip.text}", quote=True)}" '
        f'src="{encode_audio(clip.entry, utterance.utt)}"></audio>'
        + (f"<small>{escape(clip.text)}</small>" if clip.text != utterance.text else "")
        + "</figure>"
        for clip in utterance.clips
    )
    parts = [
        f'<article id="{escape(utterance.utt, quote=True)}">',
        f"<h3>{escape(utterance.text)}</h3>",
        f'<p class="note">{escape(utterance.utt)}</p><div class="clips">{clips}</div>',
    ]
    details = "<details open>" if unfolded else "<details>"
    lanes = {c.row: c.measures for c in utterance.clips if c.measures is not None}
    if lanes:
        plot = prosody_plot(lanes)
        parts.append(
            f"{details}<summary>Pitch and word times</summary>{plot}</details>"
        )
    if utterance.attention is not None:
        plot = attention_plot(*utterance.attention)
        parts.append(
            f"{details}<summary>Aggregator attention</summary>{plot}</details>"
        )
    return "".join(parts) + "</article>"


def encode_audio(entry: str, utt: str) -> str:
    """Audio of a ``wav.scp`` entry -> a ``data:`` URI, MP3 (about 4 kB a second)."""
    import soundfile

    file = io.BytesIO()
    soundfile.write(file, read_audio(entry, utt), SAMPLE_RATE, format="MP3")
    return "data:audio/mpeg;base64," + base64.b64encode(file.getvalue()).decode()


def _training(curves: dict[str, Curves]) -> str:
    shown = {name: lines for name, lines in curves.items() if lines}
    if not shown:
        return ""
    key = '<span class="key"></span> training <span class="key valid"></span>'
    parts = [f'<p class="note">{key} validation</p>']
    for name, lines in shown.items():
        charts = curve_charts(lines)
        parts.append(f'<h3>{escape(name)}</h3><div class="curves">{charts}</div>')
    return "".join(parts)


def _environment(env: dict[str, str], commands: list[str]) -> str:
    body = html_table([["Item", "Value"], *map(list, env.items())], sortable=False)
    if commands:
        body += f"<pre>{escape(chr(10).join(commands))}</pre>"
    return body
