"""Parts of corpora that are published in one piece."""

import hashlib
from collections.abc import Iterable, Sequence

TRAIN, DEV, TEST = "train", "dev", "test"


def check_parts(parts: list[str], known: Iterable[str]) -> None:
    """Refuse a part that a corpus does not have.

    Raises:
        ValueError: names it and those there are.
    """
    unknown = [part for part in parts if part not in known]
    if unknown or not parts:
        what = f"no part {unknown[0]}" if unknown else "give --parts"
        raise ValueError(f"{what}: there are {', '.join(known)}")


def tail(names: Sequence, held_out: int) -> tuple[Sequence, Sequence, Sequence]:
    """(train, dev, test) of names in order: the last ``held_out`` are for testing, as
    many before them for development, each at most a third."""
    held_out = min(held_out, len(names) // 3)
    if not held_out:
        return names, names[:0], names[:0]
    return names[: -2 * held_out], names[-2 * held_out : -held_out], names[-held_out:]


def by_digest(keys: Iterable[str], dev: float, test: float) -> dict[str, str]:
    """Key -> train, dev or test: by a digest of the key, whatever other keys there are.

    Where no key falls into dev or test, the one nearest to it does, if there are three.

    Args:
        keys: what is not divided: utterances, or speakers.
        dev, test: shares of the keys.
    """

    def place(key: str) -> float:
        return int(hashlib.sha1(key.encode()).hexdigest()[:8], 16) / 2**32

    places = sorted((place(key), key) for key in set(keys))
    found = {
        key: TEST if where < test else DEV if where < test + dev else TRAIN
        for where, key in places
    }
    order = [key for _, key in places]
    if len(order) >= 3:
        for index, (part, share) in enumerate(((TEST, test), (DEV, dev))):
            if share and part not in found.values():
                found[order[index]] = part
    return found
