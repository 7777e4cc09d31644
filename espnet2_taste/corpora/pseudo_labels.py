"""Texts that a recogniser made: telling those that nobody said."""

import re
from collections import Counter
from collections.abc import Callable

#: Sessions of Emilia (EN) that F5-TTS leaves out: synthetic, or mixed languages.
_F5_SPEAKERS = frozenset(
    f"EN_{name}"
    for name in """
    B00013_S00913 B00042_S00120 B00055_S04111 B00061_S00693 B00061_S01494 B00061_S03375
    B00059_S00092 B00111_S04300 B00100_S03759 B00087_S03811 B00059_S00950 B00089_S00946
    B00078_S05127 B00070_S04089 B00074_S09659 B00061_S06983 B00061_S07060 B00059_S08397
    B00082_S06192 B00091_S01238 B00089_S07349 B00070_S04343 B00061_S02400 B00076_S01262
    B00068_S06467 B00076_S02943 B00064_S05954 B00061_S05386 B00066_S06544 B00076_S06944
    B00072_S08620 B00076_S07135 B00076_S09127 B00065_S00497 B00059_S06227 B00063_S02859
    B00075_S01547 B00061_S08286 B00079_S02901 B00092_S03643 B00096_S08653 B00063_S04297
    B00063_S04614 B00079_S04698 B00104_S01666 B00061_S09504 B00061_S09694 B00065_S05444
    B00063_S06860 B00065_S05725 B00069_S07628 B00083_S03875 B00071_S07665 B00062_S04187
    B00065_S09873 B00065_S09922 B00084_S02463 B00067_S05066 B00106_S08060 B00073_S06399
    B00073_S09236 B00087_S00432 B00085_S05618 B00064_S01262 B00072_S01739 B00059_S03913
    B00069_S04036 B00067_S05623 B00060_S05389 B00060_S07290 B00062_S08995
    """.split()
)
_F5_LETTERS = "\u0627\u3044\u3066"


def keep_all(text: str, speaker: str) -> str:
    """Nothing is left out."""
    return ""


def f5(text: str, speaker: str) -> str:
    """F5-TTS's rules for English: listed sessions, three foreign letters, any four
    characters more than ten times. Returns the reason, or ""."""
    if speaker in _F5_SPEAKERS:
        return "session that F5-TTS leaves out"
    if any(letter in text for letter in _F5_LETTERS):
        return "foreign letters"
    grams = Counter(text[i : i + 4] for i in range(len(text) - 3))
    return "repeats itself" if grams and max(grams.values()) > 10 else ""


def espnet(text: str, speaker: str) -> str:
    """ESPnet's rules: one character more than ten times in a row, a word of up to three
    letters more than five times, half of the text one character, 15 digits in a row.
    Returns the reason, or ""."""
    letters = Counter("".join(text.lower().split()))
    if re.search(r"(.)\1{10}", text, re.IGNORECASE):
        return "repeats itself"
    words = [word for word in re.split(r"[\s,;.!?]+", text.lower()) if word]
    row = 1
    for before, word in zip(words, words[1:], strict=False):
        row = row + 1 if word == before and len(word) <= 3 else 1
        if row > 5:
            return "repeats itself"
    if letters and max(letters.values()) > 0.5 * letters.total():
        return "repeats itself"
    if re.search(r"\d{15}", re.sub(r"[,|'.]", "", text)):
        return "a long number"
    return ""


#: name -> (text, speaker) -> why it is left out, or "".
FILTERS: dict[str, Callable[[str, str], str]] = {
    "none": keep_all,
    "f5": f5,
    "espnet": espnet,
}
