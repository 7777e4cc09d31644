#!/usr/bin/env python3
"""Marks of steps that are done: what a step read and what it made, by content.

    mark.py todo <mark> "<inputs>" "<outputs>" <command...>
        prints nothing if the step is done: the same command, inputs and outputs as
        when it ended. Else prints the step's signature (of command and inputs).
    mark.py finish <mark>
        after the step has run: records its outputs and writes the mark.
    mark.py guard <file> "<inputs>"
        prints those of the inputs that changed since the first call, which records
        them in the file; nothing if none did.

A folder means all files in it, a table ``*.scp`` also the files it names, in commands,
too. Times and places do not count, so a copy of a finished experiment is done; they
only save reading what nobody touched. All names and sizes count; of the contents, all
where there is little, else a part of each file.
"""

import hashlib
import json
import os
import shlex
import sys
import time
from pathlib import Path

BLOCK = 1 << 16  # bytes read at a time of a file that is not read whole
NUM_BLOCKS = 256
SMALL = 64 << 20  # bytes; of a larger file, blocks are read
TOTAL = 1 << 30  # bytes read of all files together, about
MAX_FILES = 20_000  # of more, the others count by name and size


def spread(items, count):
    """At most ``count`` of the items, at even steps."""
    step = max(1.0, len(items) / count)
    return [items[int(i * step)] for i in range(min(count, len(items)))]


def files_of(path):
    """The files that ``path`` stands for: itself, what is in it, what it names."""
    if os.path.isdir(path):
        found = (os.path.join(top, f) for top, _, fs in os.walk(path) for f in fs)
        return sorted(found)
    if not path.endswith(".scp"):
        return [path]
    named = {path: None}
    with open(path, encoding="utf-8", errors="replace") as table:
        for line in table:
            value = "".join(line.split(maxsplit=1)[1:]).strip()
            if value.endswith("|"):  # a command: its words that are files
                named.update(dict.fromkeys(filter(os.path.isfile, words_of(value))))
            elif value:
                name, _, offset = value.rpartition(":")
                named[name if name and offset.split("[")[0].isdigit() else value] = None
    return list(named)


def words_of(command):
    """Words of a shell's command; those of a broken one, roughly."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    try:
        return list(lexer)
    except ValueError:  # a quote without its other
        return command.replace("|", " ").split()


def content(path, limit):
    """Digest of a file: of its size and of about ``limit`` bytes at most."""
    digest = hashlib.blake2b(digest_size=16)
    size = os.path.getsize(path)
    digest.update(str(size).encode())
    blocks = min(NUM_BLOCKS, limit // BLOCK)
    with open(path, "rb") as file:
        if size <= max(limit, 3 * BLOCK):
            while block := file.read(1 << 20):
                digest.update(block)
        else:
            for i in range(max(3, blocks)):
                file.seek((size - BLOCK) * i // (max(3, blocks) - 1))
                digest.update(file.read(BLOCK))
    return digest.hexdigest()


def look(path, known=(None, None)):
    """[digest of the content, digest of sizes and times] of a path.

    If sizes and times are as in ``known``, so is the content.
    """
    if not os.path.exists(path):
        return [None, None]
    files = files_of(path)
    seen, sizes = hashlib.blake2b(digest_size=16), {}
    for name in files:
        try:
            stat = os.stat(name)
        except OSError:
            continue
        sizes[name] = stat.st_size
        seen.update(f"{name} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    seen = seen.hexdigest()
    if seen == known[1]:
        return list(known)
    whole = hashlib.blake2b(digest_size=16)
    looked_into = set(spread(files, MAX_FILES))
    limit = min(SMALL, TOTAL // max(1, len(looked_into)))
    for name in files:
        there = sizes.get(name, "missing")
        if name in looked_into and os.path.isfile(name):
            there = content(name, limit)
        whole.update(f"{name} {there}\n".encode())
    return [whole.hexdigest(), seen]


def read(path):
    """A record, {} if there is none or a damaged one."""
    try:
        record = json.loads(Path(path).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def write(path, record):
    """The record appears under its name when it is complete."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    temporary.replace(path)


def look_at(paths, known):
    """path -> :func:`look`, given an earlier result."""
    return {path: look(path, known.get(path, (None, None))) for path in paths}


def contents(looks):
    return {path: digest for path, (digest, _) in looks.items()}


def todo(mark, inputs, outputs, *command):
    """Signature of a step that must run, "" if it is done.

    Where what a step made is not what it was, the signature is a new one, so that no
    program takes its part of it for done.
    """
    old = read(mark)
    pending = read(mark + ".started")
    known = {**pending.get("inputs", {}), **old.get("inputs", {})}
    new = {
        "command": shlex.join(command),
        "inputs": look_at(inputs.split(), known),
        "outputs": outputs.split(),
    }
    for path, (digest, _) in new["inputs"].items():
        if digest is None:
            sys.exit(f"no {path}, which {mark} needs")
    same = old.keys() >= new.keys() and (
        old["command"] == new["command"]
        and contents(old["inputs"]) == contents(new["inputs"])
        and list(old["outputs"]) == new["outputs"]
    )
    if same:
        made = look_at(new["outputs"], old["outputs"])
        if contents(made) == contents(old["outputs"]):
            new["outputs"] = made
            if new != old:  # a copy: other times
                write(mark, new)
            return ""
    if same or (pending.get("again") and pending["inputs"] == new["inputs"]):
        new["again"] = pending.get("again") or str(time.time())
    write(mark + ".started", new)
    Path(mark).unlink(missing_ok=True)
    read_and_done = [new["command"], contents(new["inputs"]), new.get("again")]
    return hashlib.sha256(json.dumps(read_and_done).encode()).hexdigest()


def finish(mark):
    """Write the mark."""
    record = read(mark + ".started")
    if not record and read(mark):
        return ""  # another run, which began it at the same time, was first
    record["outputs"] = look_at(record["outputs"], {})
    for path, (digest, _) in record["outputs"].items():
        if digest is None:
            # The next try is another one, for programs that go on where they were.
            write(mark + ".started", {**record, "again": str(time.time())})
            sys.exit(f"{path} was to be made for {mark}, but is not there")
    record.pop("again", None)
    write(mark, record)
    Path(mark + ".started").unlink(missing_ok=True)
    return ""


def guard(file, inputs):
    """The inputs that changed since they were recorded."""
    old = read(file)
    new = look_at(inputs.split(), old)
    changed = [path for path in new if old and old.get(path, [None])[0] != new[path][0]]
    if not changed:
        write(file, new)
    return " ".join(changed)


if __name__ == "__main__":
    action = {"todo": todo, "finish": finish, "guard": guard}[sys.argv[1]]
    print(action(*sys.argv[2:]), end="")
