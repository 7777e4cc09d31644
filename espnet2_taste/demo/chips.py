"""Words as chips: how high and how long each is said, and its codes."""

import math
from html import escape

from espnet2_taste.demo.measures import Change
from espnet2_taste.inference.speech_to_taste import TasteTokens

#: Semitones, and times as long or as short, at which the colours are at their ends.
_FULL_PITCH, _FULL_LENGTH = 6.0, 2.0


def word_codes(tokens: TasteTokens) -> list[str]:
    """The codes of each word as text; those of its tokens, where these have them."""
    rows = [[] for _ in tokens.words]
    for word, codes in zip(tokens.segments, tokens.codes.tolist(), strict=True):
        rows[word].append(" ".join(map(str, codes)))
    return [" · ".join(codes) for codes in rows]


def chips_html(
    tokens: TasteTokens, changes: list[Change] | None, expectation: str = ""
) -> str:
    """A list of words.

    Args:
        tokens: words and codes.
        changes: of each word against the expectation; None: no colours.
        expectation: what that is, for the legend.
    """
    if not tokens.words:
        return '<p class="taste-note">No words.</p>'
    items = []
    for i, (word, codes) in enumerate(
        zip(tokens.words, word_codes(tokens), strict=True)
    ):
        style, said = "", ""
        if changes is not None:
            style, said = _style(changes[i]), _in_words(changes[i])
        items.append(
            f'<li class="taste-chip"{style}><b>{escape(word)}</b>'
            + ('<i class="length" aria-hidden="true"></i>' if style else "")
            + f"<small>{said}</small><code>{escape(codes)}</code></li>"
        )
    legend = ""
    if changes is not None:
        legend = (
            f'<p class="taste-note">Against {escape(expectation)}: '
            '<span class="taste-key high">higher</span> '
            '<span class="taste-key low">lower</span> (st: semitones); the bar grows '
            "to the right where a word is longer, to the left where it is shorter. "
            "Below: its codes.</p>"
        )
    return f'<ol class="taste-chips" aria-label="Words">{"".join(items)}</ol>{legend}'


def _in_words(change: Change) -> str:
    pitch = "no pitch" if math.isnan(change.higher) else f"{change.higher:+.1f} st"
    return f"{pitch} · {change.longer:.1f}×"


def _style(change: Change) -> str:
    """Numbers that the style sheet makes colours of."""
    pitch = 0.0 if math.isnan(change.higher) else change.higher / _FULL_PITCH
    pitch = min(max(pitch, -1), 1)
    tone = "high" if pitch > 0 else "low"
    length = math.log(max(change.longer, 1e-3)) / math.log(_FULL_LENGTH)
    length = min(max(length, -1), 1)
    left, right = 50 + 50 * min(length, 0), 50 - 50 * max(length, 0)
    return (
        f' style="--tint: color-mix(in srgb, var(--taste-{tone}) '
        f"{70 * abs(pitch):.0f}%, transparent); --left: {left:.0f}%; "
        f'--right: {right:.0f}%"'
    )
