"""The report's plots as inline SVG (prosody) and PNG (attention, curves)."""

import base64
import io
from html import escape
from pathlib import Path

import numpy as np

from espnet2_taste.evaluate.rows import Measures

WIDTH = 760  # px
_LABEL = 96  # px left of a plot, for names


def prosody_plot(lanes: dict[str, Measures]) -> str:
    """One lane per row: F0 above, word boxes below, all on one time and pitch scale."""
    lane, top = 78, 4
    seconds = max((m.seconds for m in lanes.values()), default=0.0)
    voiced = np.concatenate([m.f0[m.f0 > 0] for m in lanes.values()] or [np.zeros(0)])
    low, high = (voiced.min(), voiced.max()) if len(voiced) else (1.0, 2.0)
    span = max(float(np.log(high / low)), 1e-6)
    scale = (WIDTH - _LABEL - 4) / max(seconds, 1e-6)
    height = top + lane * len(lanes) + 20
    label = escape("Pitch and word times of " + ", ".join(lanes), quote=True)
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" role="img" '
        f'aria-label="{label}">'
    ]
    for number, (name, measure) in enumerate(lanes.items()):
        y = top + lane * number
        parts.append(f'<text x="0" y="{y + 28}">{escape(name)}</text>')
        end = _LABEL + measure.seconds * scale
        parts.append(f'<path class="axis" d="M{_LABEL} {y + lane - 6}H{end:.1f}"/>')
        for run in voiced_runs(measure.f0):
            xs = _LABEL + np.arange(run.start, run.stop) * measure.frame_period * scale
            ys = y + 44 - 40 * np.log(measure.f0[run] / low) / span
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


def voiced_runs(f0: np.ndarray) -> list[slice]:
    """Stretches of at least two voiced frames."""
    edges = np.flatnonzero(np.diff(np.r_[False, f0 > 0, False].astype(int)))
    runs = zip(edges[::2], edges[1::2], strict=True)
    return [slice(int(a), int(b)) for a, b in runs if b - a > 1]


def attention_picture(path: Path) -> tuple[str, str]:
    """``attention`` of W ``words`` -> :func:`attention_image` of it, and its words."""
    with np.load(path, allow_pickle=False) as content:
        words = [str(word) for word in content["words"]]
        attention = content["attention"].astype(np.float32)
    return attention_image(attention), " ".join(words)


def attention_image(attention: np.ndarray) -> str:
    """(W, F) in [0, 1] -> a picture's URI.

    A line per word, darker is more; the square root keeps weak attention visible.
    """
    gray = 255 - np.sqrt(np.clip(attention / max(attention.max(), 1e-9), 0, 1)) * 255
    return _uri(_image(gray.round().astype(np.uint8)))


def picture(path: Path, width: int = 640) -> str:
    """A PNG file -> a URI of it, at most ``width`` pixels wide, of 16 colours."""
    from PIL import Image

    with Image.open(path) as found:
        found = found.convert("RGB")
        if found.width > width:
            height = round(found.height * width / found.width)
            found = found.resize((width, height), Image.Resampling.LANCZOS)
        return _uri(found.quantize(16))


def _image(pixels: np.ndarray):
    from PIL import Image

    return Image.fromarray(pixels)


def _uri(found) -> str:
    file = io.BytesIO()
    found.save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
