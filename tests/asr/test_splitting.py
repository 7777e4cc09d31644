"""Cuts of utterances that are too long."""

import numpy as np
import pytest

from espnet2_taste.asr.splitting import (
    Piece,
    piece_id,
    split_by_pauses,
    split_by_words,
)
from espnet2_taste.io.ctm import TimedWord


def words(count, pauses=()):
    """Words of 0.4 s every 0.5 s; longer pauses before some of them."""
    start, found = 0.0, []
    for i in range(count):
        start += dict(pauses).get(i, 0.0)
        found.append(TimedWord(start, 0.4, f"w{i}"))
        start += 0.5
    return found, start


def test_cuts_are_in_the_longest_pause_near_the_middle():
    timed, seconds = words(20, [(9, 0.3), (2, 2.0), (12, 0.2)])
    text = " ".join(f"W{i}," for i in range(20))
    pieces = split_by_words(timed, text, seconds, 8.0)
    assert [p.text.split()[0] for p in pieces] == ["W0,", "W9,"]
    assert pieces[0].end == pieces[1].start and pieces[-1].end == seconds
    assert " ".join(p.text for p in pieces) == text
    first = pieces[1].words[0]
    assert first.word == "w9" and 0 < first.start < 0.3  # from the piece's start
    assert all(p.end - p.start <= 8.0 for p in pieces)


def test_texts_of_other_words_are_not_divided():
    timed, seconds = words(20)
    pieces = split_by_words(timed, "5 words", seconds, 8.0)
    assert pieces[0].text.startswith("w0 w1 ")
    with pytest.raises(ValueError, match="no word has a time"):
        split_by_words([], "", 40.0, 30.0)
    with pytest.raises(ValueError, match="no word ends within 30 s"):
        split_by_words([TimedWord(0, 40, "mmm")], "mmm", 40.0, 30.0)


@pytest.mark.parametrize("seconds, limit", [(30.05, 30), (61, 30), (7.3, 2), (95, 30)])
def test_quiet_cuts_cover_everything(seconds, limit):
    rate = 1000
    wav = np.random.default_rng(0).normal(size=round(seconds * rate)).astype("f")
    quiet = round(seconds / np.ceil(seconds / limit) * rate)
    wav[quiet : quiet + 150] = 0
    pieces = split_by_pauses(wav, rate, limit)
    assert pieces[0].start == 0 and pieces[-1].end == len(wav) / rate
    assert all(a.end == b.start for a, b in zip(pieces, pieces[1:], strict=False))
    assert max(p.end - p.start for p in pieces) <= limit
    assert min(p.end - p.start for p in pieces) > limit / 4
    assert quiet - 50 <= pieces[0].end * rate <= quiet + 200
    assert len(split_by_pauses(wav[: limit * rate], rate, limit)) == 1


def test_ids_are_in_the_order_of_time():
    spans = [(0.0, 9.5), (9.5, 101.25), (101.25, 1000.0)]
    ids = [piece_id("u", Piece(*span)) for span in spans]
    assert ids == sorted(ids) and ids[0] == "u-00000000-00009500"
