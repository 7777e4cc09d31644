"""The Listen section: a card per utterance, and the lists of worst ones."""

import base64
import io
from dataclasses import dataclass, field
from html import escape

import numpy as np

from espnet2_taste.evaluate.edit_counts import align
from espnet2_taste.evaluate.matching import Measures
from espnet2_taste.evaluate.report.html_tables import anchor_link
from espnet2_taste.evaluate.report.svg import attention_plot, prosody_plot
from espnet2_taste.evaluate.report.worst import WorstList
from espnet2_taste.evaluate.scorers.reading import SAMPLE_RATE
from espnet2_taste.io.audio import read_audio

#: libsndfile's MP3 quality: about 4 kB a second at 16 kHz.
_COMPRESSION = 0.75


@dataclass
class Clip:
    """One recording of an utterance.

    Attributes:
        row: key of its row.
        audio: as a URI, see :func:`encode_audio`.
        text: its words. recognised: those the recogniser heard, None if there is none.
        measures: word times and F0, if known.
    """

    row: str
    audio: str
    text: str
    recognised: str | None = None
    measures: Measures | None = None


@dataclass
class Utterance:
    """What the report shows of one utterance.

    Attributes:
        utt: id. text: the reference words.
        sample: belongs to the sample, not only to a list of the worst.
        clips: recordings in table order.
        attention: (W, F) attention, its W words and the frame shift [s], or None.
    """

    utt: str
    text: str
    sample: bool = False
    clips: list[Clip] = field(default_factory=list)
    attention: tuple[np.ndarray, list[str], float] | None = None

    @property
    def anchor(self) -> str:
        """Identifier within the page."""
        return f"utt-{self.utt}"


def listen_section(utterances: list[Utterance], worst: list[WorstList]) -> str:
    """Cards and lists; the script shows the cards of one list, or the sample."""
    if not utterances:
        return ""
    note = (
        "A sample at even steps through the test set, not chosen by ear; each row's "
        "first seed. In the words recognised, <del>struck out</del> is missing and "
        "<ins>underlined</ins> is too much."
    )
    texts = {u.utt: u.text for u in utterances}
    lists = "".join(_worst_list(w, texts) for w in worst)
    cards = "".join(_card(utterance) for utterance in utterances)
    return (
        f'<div id="sample"><p class="note">{note}</p></div>{lists}'
        f'<div id="cards">{cards}</div>'
    )


def _worst_list(worst: WorstList, texts: dict[str, str]) -> str:
    items = "".join(
        f'<li data-card="{_attribute(f"utt-{utt}")}">'
        f"{anchor_link(f'utt-{utt}', escape(texts.get(utt, utt)))} "
        f"<span>{escape(value)}</span></li>"
        for utt, value in worst.items
    )
    title = f"Worst of {worst.row} by {worst.column.label}"
    return (
        f'<div class="worst" id="{_attribute(worst.anchor)}" '
        f'data-row="{_attribute(worst.key)}"><h3>{escape(title)}</h3>'
        f'<p class="note">{anchor_link(worst.table, "back to the table")}</p>'
        f"<ol>{items}</ol></div>"
    )


def _card(utterance: Utterance) -> str:
    kind = ' class="sample"' if utterance.sample else ""
    parts = [
        f'<article id="{_attribute(utterance.anchor)}"{kind}>',
        f"<h3>{escape(utterance.text)}</h3>",
        f'<p class="note">{escape(utterance.utt)}</p><div class="clips">',
        *(_figure(clip, utterance) for clip in utterance.clips),
        "</div>",
    ]
    lanes = {c.row: c.measures for c in utterance.clips if c.measures is not None}
    if lanes:
        parts.append("<details><summary>Pitch and word times</summary>")
        parts.append(f'<div class="scroll">{prosody_plot(lanes)}</div></details>')
    if utterance.attention is not None:
        plot = attention_plot(*utterance.attention)
        parts.append("<details><summary>Aggregator attention</summary>")
        parts.append(f'<div class="scroll">{plot}</div></details>')
    return "".join(parts) + "</article>"


def _figure(clip: Clip, utterance: Utterance) -> str:
    said = ""
    if clip.recognised is not None:
        said = f"<p>{mark_differences(clip.text, clip.recognised)}</p>"
    elif clip.text != utterance.text:
        said = f"<p>{escape(clip.text)}</p>"
    seconds = f" {clip.measures.seconds:.1f} s" if clip.measures is not None else ""
    label = _attribute(f"{clip.row}: {clip.text}")
    return (
        f'<figure class="clip" data-row="{_attribute(clip.row)}">'
        f"<figcaption>{escape(clip.row)}<small>{seconds}</small></figcaption>"
        f'<audio controls preload="none" aria-label="{label}" '
        f'src="{clip.audio}"></audio>{said}</figure>'
    )


def mark_differences(expected: str, heard: str) -> str:
    """Words heard, as HTML: missing ones in <del>, wrong or added ones in <ins>.

    The alignment is that of the word error rate: every mark is one error, a
    substitution a pair of marks.
    """
    words, said = expected.split(), heard.split()
    parts = []
    for i, j in align(words, said):
        if None not in (i, j) and words[i] == said[j]:
            parts.append(escape(said[j]))
            continue
        missing = "" if i is None else f"<del>{escape(words[i])}</del>"
        added = "" if j is None else f"<ins>{escape(said[j])}</ins>"
        parts.append(missing + added)
    return " ".join(parts)


def encode_audio(entry: str, utt: str) -> str:
    """Audio of a ``wav.scp`` entry -> a ``data:`` URI, MP3."""
    import soundfile

    file = io.BytesIO()
    wav = read_audio(entry, utt, SAMPLE_RATE)
    soundfile.write(
        file,
        wav,
        SAMPLE_RATE,
        format="MP3",
        bitrate_mode="VARIABLE",
        compression_level=_COMPRESSION,
    )
    return "data:audio/mpeg;base64," + base64.b64encode(file.getvalue()).decode()


def _attribute(text: str) -> str:
    return escape(text, quote=True)
