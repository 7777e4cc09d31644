"""Sounds as HTML: a player, the waveform with its pitch and words, an attention map.

Nothing a visitor gives becomes markup: every text is escaped.
"""

import base64
from dataclasses import dataclass
from html import escape

import numpy as np

from espnet2_taste.evaluate.report.plots import attention_image, voiced_runs
from espnet2_taste.evaluate.rows import Measures
from espnet2_taste.io.audio import to_pcm16

_WIDTH, _HEIGHT = 360, 128  # of a plot, in its own units
_MIDDLE, _REACH = 40, 34  # of the waveform
_POINTS = 240  # of a waveform as long as the plot is wide


@dataclass(frozen=True)
class Clip:
    """A sound and what was measured on it.

    Attributes:
        title: of its card.
        note: a few words on what it is.
        wav: (N,) float32 in [-1, 1].
        rate: Hz.
        measures: its words and pitch; None: not measured.
        attention: (W, F) of the tokenizer, or None.
        tone: ``original``, ``taste`` or ``other``: its colour.
    """

    title: str
    note: str
    wav: np.ndarray
    rate: int
    measures: Measures | None = None
    attention: np.ndarray | None = None
    tone: str = "taste"

    @property
    def seconds(self) -> float:
        """Its length."""
        return len(self.wav) / self.rate


def audio_uri(wav: np.ndarray, rate: int) -> str:
    """(N,) float samples -> a ``data:`` URI of a 16-bit wav file."""
    pcm = to_pcm16(wav)
    sizes = (36 + len(pcm)).to_bytes(4, "little"), len(pcm).to_bytes(4, "little")
    kind = (16, 4), (1, 2), (1, 2), (rate, 4), (2 * rate, 4), (2, 2), (16, 2)
    header = b"".join(value.to_bytes(size, "little") for value, size in kind)
    file = b"RIFF" + sizes[0] + b"WAVEfmt " + header + b"data" + sizes[1] + pcm
    return "data:audio/wav;base64," + base64.b64encode(file).decode()


def clips_html(clips: list[Clip], summary: str = "") -> str:
    """Cards side by side, on one scale of time and one of pitch.

    Args:
        clips: in their order.
        summary: a line of text above them.
    """
    seconds = max((clip.seconds for clip in clips), default=1.0)
    voiced = [clip.measures.f0[clip.measures.f0 > 0] for clip in clips if clip.measures]
    voiced = np.concatenate([np.zeros(0), *voiced])
    pitch = (voiced.min(), voiced.max()) if len(voiced) else (100.0, 200.0)
    cards = "".join(_card(clip, seconds, pitch) for clip in clips)
    line = f'<p class="taste-summary">{escape(summary)}</p>' if summary else ""
    return f'{line}<div class="taste-clips">{cards}</div>'


def _card(clip: Clip, seconds: float, pitch: tuple[float, float]) -> str:
    said = " ".join(clip.measures.words) if clip.measures else ""
    label = escape(f"{clip.title}: {said}" if said else clip.title, quote=True)
    parts = [
        f'<figure class="taste-clip taste-{clip.tone}"><figcaption>'
        f"<strong>{escape(clip.title)}</strong> <small>{escape(clip.note)}</small>"
        f'</figcaption><audio controls preload="auto" aria-label="{label}" '
        f'src="{audio_uri(clip.wav, clip.rate)}"></audio>',
        _plot(clip, seconds, pitch, label),
    ]
    if clip.attention is not None and clip.measures and clip.measures.words:
        parts.append(_attention(clip, seconds))
    return "".join(parts) + "</figure>"


def _plot(clip: Clip, seconds: float, pitch: tuple[float, float], label: str) -> str:
    """Waveform, pitch over it, words below."""
    scale = _WIDTH / max(seconds, 1e-6)
    parts = [
        f'<svg class="taste-plot" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="Waveform, pitch and words of {label}">',
        f'<path class="wave" d="{_envelope(clip, scale)}"/>',
    ]
    made = clip.measures
    if made is not None:
        span = max(float(np.log(pitch[1] / pitch[0])), 1e-6)
        for run in voiced_runs(made.f0):
            xs = np.arange(run.start, run.stop) * made.frame_period * scale
            ys = 74 - 66 * np.log(made.f0[run] / pitch[0]) / span
            points = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(xs, ys, strict=True))
            parts.append(f'<polyline class="f0" points="{points}"/>')
        times = zip(made.words, made.starts, made.durations, strict=False)
        for i, (word, start, length) in enumerate(times):
            x, width = start * scale, length * scale
            y = 98 + 13 * (i % 2)
            parts.append(
                f'<rect class="word" x="{x + 0.5:.1f}" y="82" '
                f'width="{max(width - 1, 1):.1f}" height="4"/>'
                f'<text x="{x + width / 2:.1f}" y="{y}">{escape(word)}</text>'
            )
        low, high = (round(value) for value in pitch)
        parts.append(
            f'<text class="scale" x="2" y="{_HEIGHT - 4}">{clip.seconds:.2f} s</text>'
            f'<text class="scale end" x="{_WIDTH - 2}" y="{_HEIGHT - 4}">'
            f"pitch {low} to {high} Hz</text>"
        )
    return "".join(parts) + "</svg>"


def _envelope(clip: Clip, scale: float) -> str:
    """The waveform's outline as a path."""
    count = max(2, round(clip.seconds * scale * _POINTS / _WIDTH))
    edges = np.linspace(0, len(clip.wav), count + 1).astype(int)[:-1]
    peaks = np.maximum.reduceat(np.abs(clip.wav), edges) if len(clip.wav) else [0, 0]
    peaks = np.minimum(np.asarray(peaks) / max(np.max(peaks), 1e-3), 1) * _REACH
    xs = np.linspace(0, clip.seconds * scale, len(peaks))
    top = [f"{x:.1f} {_MIDDLE - y:.1f}" for x, y in zip(xs, peaks, strict=True)]
    low = [f"{x:.1f} {_MIDDLE + y:.1f}" for x, y in zip(xs, peaks, strict=True)]
    return "M" + "L".join(top + low[::-1]) + "Z"


def _attention(clip: Clip, seconds: float) -> str:
    """Where the tokenizer looks for each word: a line per word, time to the right."""
    words = "".join(f"<span>{escape(word)}</span>" for word in clip.measures.words)
    width = 100 * clip.seconds / seconds
    return (
        '<details class="taste-attention"><summary>Attention</summary>'
        f'<div><div class="names">{words}</div><div class="map">'
        f'<img style="width:{width:.1f}%" alt="Where the tokenizer looks for words" '
        f'src="{attention_image(clip.attention)}"></div></div></details>'
    )
