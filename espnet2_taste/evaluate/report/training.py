"""The Training section: curves and attention maps of experiment folders."""

import base64
import io
import re
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

from espnet2_taste.evaluate.report.html_tables import Cell, html_table
from espnet2_taste.evaluate.report.svg import curve_charts
from espnet2_taste.evaluate.report.training_log import Curves, read_curves, read_facts
from espnet2_taste.io.file_names import key_of
from espnet2_taste.tasks.statistics import meaning

NUM_UTTERANCES = 2  # whose attention is shown
_WIDTH = 640  # px
_EPOCH = re.compile(r"(\d+)ep\.png")


@dataclass
class Training:
    """Of one experiment.

    Attributes:
        curves: of ``train.log``.
        facts: statistic -> its last value, of those that belong to training only.
        maps: utterance -> [(epoch, PNG)]: attention at the first, middle and last.
    """

    curves: Curves = field(default_factory=dict)
    facts: dict[str, float] = field(default_factory=dict)
    maps: dict[str, list[tuple[int, bytes]]] = field(default_factory=dict)

    @classmethod
    def read(cls, exp_dir: Path) -> "Training":
        """Whatever the folder has."""
        return cls(read_curves(exp_dir), read_facts(exp_dir), read_maps(exp_dir))


def read_maps(exp_dir: Path) -> dict[str, list[tuple[int, bytes]]]:
    """Pictures ``att_ws/<utt>/<epoch>ep.png`` of the first utterances."""
    maps = {}
    root = exp_dir / "att_ws"
    folders = sorted({p.parent for p in root.glob("**/*ep.png") if p.is_file()})
    for folder in folders[:NUM_UTTERANCES]:
        found = {
            int(match[1]): path
            for path in folder.iterdir()
            if (match := _EPOCH.fullmatch(path.name))
        }
        epochs = sorted(found)
        if epochs:
            chosen = sorted({epochs[0], epochs[len(epochs) // 2], epochs[-1]})
            utt = key_of(folder.relative_to(root).as_posix(), "")
            maps[utt] = [(e, _smaller(found[e])) for e in chosen]
    return maps


def _smaller(path: Path) -> bytes:
    from PIL import Image

    with Image.open(path) as picture:
        picture = picture.convert("L")
        if picture.width > _WIDTH:
            height = round(picture.height * _WIDTH / picture.width)
            picture = picture.resize((_WIDTH, height), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    picture.quantize(16).save(file, "PNG", optimize=True)
    return file.getvalue()


def training_section(experiments: dict[str, Training]) -> str:
    """Curves, facts and maps of all experiments."""
    shown = {name: t for name, t in experiments.items() if t.curves or t.maps}
    if not shown:
        return ""
    key = '<span class="key"></span> training <span class="key valid"></span>'
    parts = [f'<p class="note">{key} validation</p>']
    for name, training in shown.items():
        parts.append(f"<h3>{escape(name)}</h3>")
        if training.facts:
            facts = (
                f"{value:,.0f} {stat.replace('_', ' ')}"
                for stat, value in training.facts.items()
            )
            parts.append(f'<p class="note">{escape(", ".join(facts))}</p>')
        parts.append(_curves(training.curves))
        for utt, pictures in training.maps.items():
            figures = "".join(_map(utt, epoch, png) for epoch, png in pictures)
            summary = f"<summary>Attention to {escape(utt)} while training</summary>"
            parts.append(f'<details>{summary}<div class="maps">{figures}</div>')
            parts.append("</details>")
    return "".join(parts)


def _curves(curves: Curves) -> str:
    """Charts; a table of the only epoch if there is one."""
    if any(len(line) > 1 for phases in curves.values() for line in phases.values()):
        return f'<div class="curves">{curve_charts(curves, meaning)}</div>'
    header = [Cell("1 epoch"), Cell("Training"), Cell("Validation")]
    body = []
    for stat, phases in curves.items():
        values = [phases[phase][0][1] for phase in ("train", "valid")]
        cells = [Cell(f"{value:.4g}", value) for value in values]
        body.append([Cell(stat, hint=meaning(stat)), *cells])
    return html_table(header, body) if body else ""


def _map(utt: str, epoch: int, png: bytes) -> str:
    data = base64.b64encode(png).decode()
    label = escape(f"Attention of {utt} after epoch {epoch}", quote=True)
    return (
        f'<figure><img alt="{label}" src="data:image/png;base64,{data}">'
        f"<figcaption>epoch {epoch}</figcaption></figure>"
    )
