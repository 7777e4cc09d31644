"""File names of utterances: another for each id, and the id can be read from it."""

from urllib.parse import quote, unquote

_LIMIT = 200  # characters; file systems allow 255, ending and temporary names included
_SAFE = "!#$&'()+,-.;=@[]^_`{}~:"


def file_name(key: str, ending: str) -> str:
    """``ordinary-id.1`` -> ``ordinary-id.1<ending>``, a path that stays in its folder.

    What is no ASCII letter, digit or one of ``!#$&'()+,-.;=@[]^_`{}~:`` becomes ``%XX``
    of its UTF-8 bytes, as does a dot in front. Very long ids become folders of 200
    characters, whose names end in ``%``.

    Args:
        key: id of an utterance, not empty.
        ending: e.g. ``.wav``, or ``/picture.png`` for a folder of the key's own.
    """
    name = quote(key, safe=_SAFE)
    if name.startswith(".") or len(name) > _LIMIT:
        name = name.replace(".", "%2E")
    parts = [name[i : i + _LIMIT] for i in range(0, len(name), _LIMIT)]
    return "%/".join(parts) + ending


def key_of(name: str, ending: str) -> str:
    """The key whose :func:`file_name` it is."""
    return unquote(name.removesuffix(ending).replace("%/", ""))
