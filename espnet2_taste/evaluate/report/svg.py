"""The report's plots as inline SVG: curves, prosody lanes, attention."""

import base64
import io
from collections.abc import Callable
from html import escape

import numpy as np

from espnet2_taste.evaluate.matching import Measures
from espnet2_taste.evaluate.report.training_log import Curves

WIDTH = 760
_DOTS = 10  # epochs up to which they are marked
_LABEL = 96  # px left of a plot, for names


def _open(width: int, height: int, label: str) -> str:
    return (
        f'<svg viewBox="0 0 {width} {height}" width="{width}" role="img" '
        f'aria-label="{escape(label, quote=True)}">'
    )


def curve_chart(
    stat: str, phases: dict[str, list[tuple[int, float]]], meaning: str = ""
) -> str:
    """Training and validation of one statistic over epochs; its meaning a tooltip."""
    width, height, left, bottom = 300, 150, 46, 22
    points = [p for line in phases.values() for p in line]
    (x0, y0), (x1, y1) = np.min(points, axis=0), np.max(points, axis=0)

    def place(x: float, y: float) -> str:
        right = left + (x - x0) / max(x1 - x0, 1e-9) * (width - left - 8)
        down = 10 + (y1 - y) / max(y1 - y0, 1e-12) * (height - bottom - 16)
        return f"{right:.1f},{down:.1f}"

    parts = [_open(width, height, f"{stat} by epoch")]
    epochs = f"{int(x1)} epoch{'' if x1 == 1 else 's'}"
    for phase, line in phases.items():
        places = [place(*p) for p in line]
        parts.append(f'<polyline class="{phase}" points="{" ".join(places)}"/>')
        if len(places) <= _DOTS:
            dots = (at.partition(",") for at in places)
            circle = f'<circle class="{phase}" r="2.5" cx="{{}}" cy="{{}}"/>'
            parts += [circle.format(x, y) for x, _, y in dots]
    parts += [
        f'<text x="{left - 4}" y="14" class="end">{y1:.3g}</text>',
        f'<text x="{left - 4}" y="{height - bottom - 2}" class="end">{y0:.3g}</text>',
        f'<text x="{left}" y="{height - 6}">{int(x0)}</text>',
        f'<text x="{width - 8}" y="{height - 6}" class="end">{epochs}</text>',
        "</svg>",
    ]
    caption = f"<figcaption>{escape(stat)}</figcaption>"
    hint = f' title="{escape(meaning, quote=True)}"' if meaning else ""
    return f"<figure{hint}>{''.join(parts)}{caption}</figure>"


def curve_charts(curves: Curves, meaning: Callable[[str], str]) -> str:
    """All statistics of a training run, losses first; ``meaning`` explains a name."""
    order = sorted(curves, key=lambda stat: (not stat.startswith("loss"), stat))
    return "".join(curve_chart(stat, curves[stat], meaning(stat)) for stat in order)


def prosody_plot(lanes: dict[str, Measures]) -> str:
    """One lane per row: F0 above, word boxes below, all on one time and pitch scale."""
    lane_height, top = 78, 4
    seconds = max((m.seconds for m in lanes.values()), default=0.0)
    voiced = np.concatenate([m.f0[m.f0 > 0] for m in lanes.values()] or [np.zeros(0)])
    low, high = (voiced.min(), voiced.max()) if len(voiced) else (1.0, 2.0)
    span = max(float(np.log(high / low)), 1e-6)
    scale = (WIDTH - _LABEL - 4) / max(seconds, 1e-6)
    height = top + lane_height * len(lanes) + 20
    label = "Pitch and word times of " + ", ".join(lanes)
    parts = [_open(WIDTH, height, label)]
    for i, (name, measure) in enumerate(lanes.items()):
        y = top + i * lane_height
        parts.append(f'<text x="0" y="{y + 28}">{escape(name)}</text>')
        end = _LABEL + measure.seconds * scale
        parts.append(
            f'<path class="axis" d="M{_LABEL} {y + lane_height - 6}H{end:.1f}"/>'
        )
        for run in _voiced_runs(measure.f0):
            values = measure.f0[run]
            xs = _LABEL + np.arange(run.start, run.stop) * measure.frame_period * scale
            ys = y + 44 - 40 * np.log(values / low) / span
            path = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(xs, ys, strict=True))
            parts.append(f'<polyline class="f0" points="{path}"/>')
        # None after a failure, or without an aligner.
        times = zip(measure.words, measure.starts, measure.durations, strict=False)
        for word, start, duration in times:
            x, w = start * scale + _LABEL, duration * scale
            parts.append(
                f'<rect class="word" x="{x:.1f}" y="{y + 50}" width="{w:.1f}" '
                f'height="18"><title>{escape(word)} {duration:.2f} s</title></rect>'
                f'<text class="mid" x="{x + w / 2:.1f}" y="{y + 63}">'
                f"{escape(word)}</text>"
            )
    scale_text = f"{low:.0f} to {high:.0f} Hz (log), {seconds:.1f} s"
    parts.append(f'<text x="{_LABEL}" y="{height - 4}">{scale_text}</text></svg>')
    return "".join(parts)


def _voiced_runs(f0: np.ndarray) -> list[slice]:
    """Stretches of at least two voiced frames."""
    edges = np.flatnonzero(np.diff(np.r_[False, f0 > 0, False].astype(int)))
    runs = zip(edges[::2], edges[1::2], strict=True)
    return [slice(int(a), int(b)) for a, b in runs if b - a > 1]


def attention_plot(attention: np.ndarray, words: list[str], frame_shift: float) -> str:
    """Attention of W words over F encoder frames, a row per word: (W, F) in [0, 1]."""
    from PIL import Image

    peak = max(float(attention.max()), 1e-9)
    # Darker is more; the square root keeps weak attention visible.
    gray = 255 - np.sqrt(np.clip(attention / peak, 0, 1)) * 255
    file = io.BytesIO()
    Image.fromarray(gray.round().astype(np.uint8)).save(file, "PNG", optimize=True)
    data = base64.b64encode(file.getvalue()).decode()
    line = 16
    height = line * len(words) + 18
    seconds = attention.shape[1] * frame_shift
    parts = [
        _open(WIDTH, height, "Aggregator attention of each word over time"),
        f'<image x="{_LABEL}" y="0" width="{WIDTH - _LABEL - 4}" '
        f'height="{line * len(words)}" preserveAspectRatio="none" class="pixels" '
        f'href="data:image/png;base64,{data}"/>',
    ]
    for i, word in enumerate(words):
        y = i * line + 12
        parts.append(
            f'<text x="{_LABEL - 6}" y="{y}" class="end">{escape(word)}</text>'
        )
    parts.append(f'<text x="{_LABEL}" y="{height - 4}">0 s</text>')
    end = f'<text x="{WIDTH - 4}" y="{height - 4}" class="end">{seconds:.1f} s</text>'
    return "".join([*parts, end, "</svg>"])
