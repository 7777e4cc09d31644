"""What the shards of a program wrote (:mod:`~espnet2_taste.io.shards`), as one."""

import json
from collections.abc import Iterable
from pathlib import Path

from espnet2_taste.io.atomic import write_text
from espnet2_taste.io.datadir import merge
from espnet2_taste.io.rtf import merge_rtf


def merge_shards(folder: Path, target: Path, names: Iterable[str] = ()) -> int:
    """Join the outputs of ``folder/output.*`` in ``target``.

    Tables are sorted, the work of ``rtf.json`` is added up, small files are copied.

    Args:
        folder: of a sharded program.
        target: made if absent.
        names: of tables; () for all that the program wrote, and its files.

    Returns:
        Lines of the longest table.

    Raises:
        FileNotFoundError: there is no shard, or one is not complete.
        ValueError: an id in two shards.
    """
    shards = sorted(folder.glob("output.*"))
    target.mkdir(parents=True, exist_ok=True)
    tables = list(names)
    if not tables:
        for shard in shards:
            if not (shard / ".done").is_file():
                raise FileNotFoundError(f"{shard} is not complete; see its job's log")
        for shard in reversed(shards):  # a shard may have had nothing to say
            done = json.loads((shard / ".done").read_text())
            tables = done["tables"]
            for name in done.get("files", []):
                write_text(target / name, (shard / name).read_text(encoding="utf-8"))
    if not tables:
        raise FileNotFoundError(f"{folder}: no shard to merge; see the jobs' logs")
    parts = {name: [s / name for s in shards if (s / name).exists()] for name in tables}
    merge_rtf(shards, target)
    return max(merge(parts[name], target / name) for name in tables)
