"""UTF-8 byte by byte: tokens may have parts of characters.

A state says what may follow: 0, a character is complete; else some of its bytes are to
come. In strings, bytes that make no character are surrogates (:pep:`383`).
"""

import functools
from collections.abc import Callable

import torch

REJECT = -1
#: state -> lowest and highest next byte, and the state after it
_NEXT = {
    1: (0x80, 0xBF, 0),
    2: (0x80, 0xBF, 1),
    3: (0x80, 0xBF, 2),
    4: (0xA0, 0xBF, 1),  # after E0
    5: (0x80, 0x9F, 1),  # after ED
    6: (0x90, 0xBF, 2),  # after F0
    7: (0x80, 0x8F, 2),  # after F4
}
STATES = 1 + len(_NEXT)
#: highest first byte -> state after it
_FIRST = {0x7F: 0, 0xC1: REJECT, 0xDF: 1, 0xE0: 4, 0xEC: 2, 0xED: 5, 0xEF: 2}
_FIRST |= {0xF0: 6, 0xF3: 3, 0xF4: 7, 0xFF: REJECT}


def advance(state: int, written: bytes) -> int:
    """The state after some bytes; REJECT if they make no text."""
    for byte in written:
        if state == 0 and not 0x80 <= byte <= 0xBF:
            state = next(after for top, after in _FIRST.items() if byte <= top)
        elif state in _NEXT and _NEXT[state][0] <= byte <= _NEXT[state][1]:
            state = _NEXT[state][2]
        else:
            return REJECT
    return state


def transitions(pieces: list[str]) -> torch.Tensor | None:
    """State after each piece, from each state.

    A state from which no pieces lead to a complete character is REJECT, too.

    Args:
        pieces: V; "" for what is never written.

    Returns:
        (STATES, V) int8; None where no piece is a part of a character.
    """
    table = torch.full((STATES, len(pieces)), REJECT, dtype=torch.int8)
    table[0] = 0
    cut = [i for i, p in enumerate(pieces) if any("\udc80" <= c <= "\udcff" for c in p)]
    for i in cut:
        written = pieces[i].encode("utf-8", "surrogateescape")
        after = [advance(state, written) for state in range(STATES)]
        table[:, i] = torch.tensor(after, dtype=torch.int8)
    alive = {0}
    while True:
        leads = {s for s in _NEXT if set(table[s].unique().tolist()) & alive}
        if leads <= alive:
            break
        alive |= leads
    for state in set(_NEXT) - alive:
        table[table == state] = REJECT
    return table if (table[0] > 0).any() else None


def spell_cut(piece: str, kind: Callable[[str], str | None]) -> str | None:
    """A piece with a letter for the character that is cut off at its end.

    Args:
        piece: see :func:`transitions`.
        kind: of a letter; None: of what is none.

    Returns:
        None: which kind of letter is begun, or what follows a character that was begun
        before, cannot be told.
    """
    text = piece.lstrip("".join(map(chr, range(0xDC80, 0xDCC0))))
    whole = text.rstrip("".join(map(chr, range(0xDC80, 0xDD00))))
    letter = _some_letter(text[len(whole) :].encode("utf-8", "surrogateescape"), kind)
    if letter is None or text != piece and (kind(whole) or letter):
        return None
    return whole + letter


@functools.lru_cache
def _some_letter(first: bytes, kind: Callable[[str], str | None]) -> str | None:
    """A letter that begins with these bytes; None: they may be of several kinds; "":
    of none, or of the rare ones of four bytes."""
    if not first or first[0] >= 0xF0:
        return ""
    size = 2 if first[0] < 0xE0 else 3
    found: dict[str | None, list[str]] = {}
    for rest in range(64 ** (size - len(first))):
        tail = bytes([0x80 | rest >> 6, 0x80 | rest & 0x3F][len(first) - size :])
        character = (first + tail).decode("utf-8", "ignore")
        found.setdefault(kind(character), []).append(character)
    found.pop(None, None)
    some = sorted(found.values(), key=len)
    if sum(map(len, some[:-1])) > 0.05 * sum(map(len, some)):
        return None
    return some[-1][0] if some else ""
