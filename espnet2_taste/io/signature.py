"""What a program was started with: its options and the state of its inputs."""

import hashlib
import json
import os
from argparse import Namespace
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def signature(args: Namespace, outputs: tuple = ()) -> str:
    """Digest of options, keys, names of outputs, and the inputs that options name.

    A recipe's step exports what it knows of its inputs as STEP_SIGNATURE. Without it,
    the sizes and times of the files and folders among the options stand for them.
    """
    options = dict(vars(args))
    options.pop("output_dir")
    key_file = options.pop("key_file", None)
    keys = "" if key_file is None else Path(key_file).read_text(encoding="utf-8")
    inputs = os.environ.get("STEP_SIGNATURE") or _stats(options.values())
    content = json.dumps([inputs, sorted(options.items()), keys, outputs], default=str)
    return hashlib.sha256(content.encode()).hexdigest()


def _stats(values: Iterable[Any]) -> list:
    """Name, size and time of each file among the values or in a folder among them."""
    found = []
    for value in values:
        if isinstance(value, list | tuple):
            found += _stats(value)
        elif isinstance(value, str | Path) and os.path.exists(value):
            path = Path(value)
            files = sorted(path.iterdir()) if path.is_dir() else [path]
            stats = [(file.name, file.stat()) for file in files if file.exists()]
            found += [
                (name, stat.st_size, stat.st_mtime_ns)
                for name, stat in stats
                if not name.startswith(".")
            ]
    return found
