"""The report's plots: prosody, which the page draws, and PNG (attention, curves)."""

import base64
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from espnet2_taste.evaluate.rows import Measures

_WIDTH, _LABEL = 760, 96  # px: of a plot, and left of it for names


@dataclass(frozen=True)
class Lane:
    """A row in a prosody plot, in px from its upper left corner.

    Attributes:
        name: of the row. end: of its audio.
        f0: the points of each voiced stretch. words: (word, s, x, width).
    """

    name: str
    end: float
    f0: list[str]
    words: list[tuple[str, float, float, float]]


def prosody_plot(measured: dict[str, Measures]) -> tuple[list[Lane], str]:
    """One lane per row (at least one), all on one time and pitch scale; which that is.

    F0 above, word boxes below.
    """
    seconds = max(m.seconds for m in measured.values())
    voiced = np.concatenate([m.f0[m.f0 > 0] for m in measured.values()])
    low, high = (voiced.min(), voiced.max()) if len(voiced) else (1.0, 2.0)
    span = max(float(np.log(high / low)), 1e-6)
    scale = (_WIDTH - _LABEL - 4) / max(seconds, 1e-6)
    lanes = []
    for name, m in measured.items():
        lines = []
        for run in voiced_runs(m.f0):
            xs = _LABEL + np.arange(run.start, run.stop) * m.frame_period * scale
            ys = 44 - 40 * np.log(m.f0[run] / low) / span
            points = (f"{x:.1f},{y:.1f}" for x, y in zip(xs, ys, strict=True))
            lines.append(" ".join(points))
        # None after a failure, or without an aligner.
        times = zip(m.words, m.starts, m.durations, strict=False)
        words = [(w, d, start * scale + _LABEL, d * scale) for w, start, d in times]
        lanes.append(Lane(name, _LABEL + m.seconds * scale, lines, words))
    return lanes, f"{low:.0f} to {high:.0f} Hz (log), {seconds:.1f} s"


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
    from PIL import Image

    gray = 255 - np.sqrt(np.clip(attention / max(attention.max(), 1e-9), 0, 1)) * 255
    return _uri(Image.fromarray(gray.round().astype(np.uint8)))


def picture(path: Path, width: int = 640) -> str:
    """A PNG file -> a URI of it, at most ``width`` pixels wide, of 16 colours."""
    from PIL import Image

    with Image.open(path) as found:
        found = found.convert("RGB")
        if found.width > width:
            height = round(found.height * width / found.width)
            found = found.resize((width, height), Image.Resampling.LANCZOS)
        return _uri(found.quantize(16))


def _uri(found) -> str:
    file = io.BytesIO()
    found.save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
