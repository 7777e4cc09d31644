"""Imports between rooms (folders of the package) only go down."""

import ast
from pathlib import Path

import espnet2_taste

PACKAGE = Path(espnet2_taste.__file__).parent
#: From the bottom. A room imports from itself and from floors below.
FLOORS = (
    ("io",),
    ("nn", "text"),
    ("asr", "corpora", "units", "speaker", "vocoder"),
    ("taste",),
    ("taslm",),
    ("tasks", "inference"),
    ("evaluate",),
    ("hub", "demo", "serve"),
    ("bin",),
)
#: On the same floor: importing room -> imported room.
BESIDE = {("vocoder", "units"), ("inference", "tasks")}
#: To be removed.
EXCEPTIONS = {("speaker", "units")}


def imported(path):
    """Modules of the package that a file imports, at its top or inside functions."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def arrows():
    """(file, room, imported room) of every import between rooms."""
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).parts
        for name in imported(path):
            package, *rest = name.split(".")
            if package == PACKAGE.name and len(parts) > 1 and rest[0] != "__version__":
                if rest[0] != parts[0]:
                    yield path.relative_to(PACKAGE).as_posix(), parts[0], rest[0]


def test_imports_only_go_down():
    height = {room: i for i, rooms in enumerate(FLOORS) for room in rooms}
    found = list(arrows())
    assert len(found) > 300
    wrong = {
        f"{file}: {room} -> {other}"
        for file, room, other in found
        if height[other] >= height[room] and (room, other) not in BESIDE | EXCEPTIONS
    }
    assert not wrong


def test_every_room_is_on_a_floor():
    rooms = {p.parent.name for p in PACKAGE.glob("*/__init__.py")}
    assert rooms == {room for rooms in FLOORS for room in rooms}
