"""A program's work on one part of a data set: resumed after a kill, visible when done.

A sharded program reads its options, asks whether its part was done before, loads its
model and goes through the batches::

    shard = Shard(args, arks=("taste",), tables=("text",))
    if shard.done:
        return
    for keys in shard.batches(lengths):
        with shard.clock("tokenizer"):
            codes = tokenize(keys)
        for key, row in zip(keys, codes, strict=True):
            shard.write(key, {"taste": row, "text": texts[key]}, audio_s=seconds[key])

What is written stays: arrays are appended to ``<name>.ark`` after each batch, then one
line of the journal says what the batch made and where the arks end. After a kill, the
next start cuts the arks to what the journal knows and goes on with the batch that was
at work. When all batches are done, ``<name>.scp``, the tables (sorted by key),
``rtf.json`` and ``.done`` appear, in this order and each by rename.
"""

import errno
import json
import logging
import shutil
import time
from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path
from typing import Any

from espnet2_taste.io.atomic import write_lines, write_text
from espnet2_taste.io.journal import Journal, new_batch
from espnet2_taste.io.rtf import Work, write_rtf
from espnet2_taste.io.signature import signature
from espnet2_taste.io.tables import write_table

PROGRESS_S = 10  # seconds between lines that say how far it is


class Shard:
    """The outputs of one program in ``args.output_dir`` for ``args.key_file``'s keys.

    The folder remembers the options and inputs it was made with: other ones clear what
    was written here, the same ones go on.

    Args:
        args: options of the program: ``output_dir``, ``batch_size``, and perhaps
            ``device``, ``key_file`` and ``data_dir``.
        arks: names of outputs that are arrays: ``<name>.ark`` and ``<name>.scp``.
        tables: file names of the other outputs: ``*.ctm`` (lists of lines), ``*.jsonl``
            (dicts), else one string a key.
        folders: names of folders with a file per key, which the program writes itself.

    Attributes:
        done: everything was written by an earlier run; nothing is to be done.
        files: name -> content of small files about the whole, written at the end.
    """

    def __init__(
        self,
        args: Namespace,
        arks: Iterable[str] = (),
        tables: Iterable[str] = (),
        folders: Iterable[str] = (),
    ):
        self.args = args
        self.folder = Path(args.output_dir)
        self.arks, self.tables = tuple(arks), tuple(tables)
        self.folders = tuple(folders)
        self.signature = signature(args, (self.arks, self.tables, self.folders))
        self.files: dict[str, str] = {}
        self.rows: dict[str, dict[str, Any]] = {}  # of done keys; arrays as offsets
        self.skipped: dict[str, str] = {}
        self.work: dict[str, Work] = {}
        self._device = device_name(getattr(args, "device", "cpu"))
        self._batch = new_batch()
        self._journal = Journal(self.folder, self.arks)
        self._same = self._read_signature().get("signature") == self.signature
        self.done = self._same and self._file(".done").is_file()
        if self.done:
            logging.info("%s: done before", self.folder)

    def _file(self, name: str) -> Path:
        return self.folder / name

    def _read_signature(self) -> dict:
        try:
            return json.loads(self._file(".signature").read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return {}

    def batches(
        self,
        keys: Iterable[str] | Mapping[str, int],
        ahead: Callable[[list[str]], None] | None = None,
    ) -> Iterator[list[str]]:
        """Yield the batches that are still to be done; what they write is then kept.

        Args:
            keys: in this order; or the length of each: similar ones come together,
                longest first (so that memory fails early).
            ahead: is told the first batch, and with each the one after it ([]: none),
                to read it while the other is at work; see
                :meth:`~espnet2_taste.io.wav_dir.WavDir.ahead`.

        Raises:
            OSError: nothing can be written (a full disk); what was written stays.
            RuntimeError: nothing could be used, and this is no shard (a shard may be
                unlucky; the set as a whole may not).
        """
        size = self.args.batch_size
        if isinstance(keys, Mapping):
            weights = {key: max(int(length), 1) for key, length in keys.items()}
            batches = list(length_batches(keys, size))
        else:
            order = list(keys)
            weights = dict.fromkeys(order, 1)
            batches = [order[i : i + size] for i in range(0, len(order), size)]
        try:  # errors of the loop's body do not come here
            self._start()
            with self._journal:
                for batch in self._left(batches, weights, ahead or (lambda _: None)):
                    yield batch
                    self._commit(batch)
            self._finish()
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT, None)
            way = "free space, run again" if full else "choose another, run again"
            raise OSError(
                f"{self.folder}: cannot be written ({error.strerror or error}): {way}; "
                "it goes on where it stopped"
            ) from None

    def _left(
        self, batches: list[list[str]], weights: dict[str, int], ahead: Callable
    ) -> Iterator[list[str]]:
        """The batches without what is done; says now and then how far it is."""
        known = self.rows.keys() | self.skipped.keys()
        left = [batch for batch in batches if not known.issuperset(batch)]
        if known:
            logging.info("%d of %d were done before", len(known), len(weights))
        total, finished = sum(weights[key] for keys in left for key in keys), 0
        started = said = time.monotonic()
        ahead(left[0] if left else [])
        for batch, following in zip_longest(left, left[1:], fillvalue=[]):
            ahead(following)
            yield batch
            finished += sum(weights[key] for key in batch)
            now = time.monotonic()
            if now - said > PROGRESS_S:
                said, seconds = now, (now - started) * (total - finished) / finished
                count = len(self.rows) + len(self.skipped)
                logging.info("%d of %d, %.0f s left", count, len(weights), seconds)

    def write(
        self, key: str, values: Mapping[str, Any], audio_s: float | None = 0.0
    ) -> None:
        """Keep the outputs of a key of the batch.

        Args:
            key: its id.
            values: by the names of ``arks`` and ``tables``; some may lack.
            audio_s: seconds of audio it took or made; None: unknown.
        """
        self._batch["rows"][key] = dict(values)
        if audio_s is None or self._batch["audio_s"] is None:
            self._batch["audio_s"] = None
        else:
            self._batch["audio_s"] += audio_s

    def skip(self, key: str, reason: object) -> None:
        """A key of the batch has no outputs: say why; it is counted at the end."""
        self._batch["skipped"][key] = str(reason)
        logging.warning("skipped %s: %s", key, reason)

    @contextmanager
    def clock(self, step: str) -> Iterator[None]:
        """Count what is done inside as work of ``step`` on this batch."""
        start, work = time.perf_counter(), self._batch["work"]
        yield
        work[step] = work.get(step, 0.0) + time.perf_counter() - start

    def _start(self) -> None:
        """Take up what an earlier run left, or clear it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self._same:
            self._clear()
            return
        for batch in self._journal.read():
            self._take(batch)

    def _clear(self) -> None:
        """Remove what a run with other options or inputs wrote."""
        outputs = [f"{name}{end}" for name in self.arks for end in (".scp", ".ark")]
        old = [".done", ".journal", *self._read_signature().get("outputs", [])]
        for name in dict.fromkeys(old + outputs):
            if self._file(name).is_dir():
                shutil.rmtree(self._file(name))
            else:
                self._file(name).unlink(missing_ok=True)
        outputs += [*self.folders, "rtf.json"]
        data_dir = getattr(self.args, "data_dir", None)
        if data_dir is None or Path(data_dir).resolve() != self.folder.resolve():
            outputs += self.tables  # else they may be what the user wrote
        content = {"signature": self.signature, "outputs": outputs}
        write_text(self._file(".signature"), json.dumps(content))

    def _take(self, entry: dict) -> None:
        """A batch is done."""
        self.rows |= entry["rows"]
        self.skipped |= entry["skipped"]
        for step, work_s in entry["work"].items():
            size = self.args.batch_size
            done = Work(work_s, entry["audio_s"], self._device, size)
            self.work[step] = self.work[step] + done if step in self.work else done

    def _commit(self, keys: list[str]) -> None:
        """Append the batch to arks and journal."""
        for key in keys:
            if key not in self._batch["rows"] and key not in self._batch["skipped"]:
                self.skip(key, "no output")
        self._journal.append(self._batch)
        self._take(self._batch)
        self._batch = new_batch()

    def _finish(self) -> None:
        """Make the outputs visible, sorted by key."""
        logging.info(
            "%s: %d utterances done, %d skipped%s",
            self.folder,
            len(self.rows),
            len(self.skipped),
            ": " + ", ".join(sorted(self.skipped)) if self.skipped else "",
        )
        if not self.rows and getattr(self.args, "key_file", None) is None:
            self._file(".journal").unlink()
            first = next(iter(self.skipped.values()), "the list is empty")
            raise RuntimeError(f"no utterance could be used ({first})")
        for name in self.arks:
            ark, offsets = self._file(f"{name}.ark"), self._column(name)
            scp = {key: f"{ark}:{offset}" for key, offset in offsets.items()}
            write_table(self._file(f"{name}.scp"), scp)
        for name in self.tables:
            self._write_table(name, self._column(name))
        if self.work:
            write_rtf(self.folder, self.work)
        for name, content in self.files.items():
            write_text(self._file(name), content)
        tables = [*(f"{name}.scp" for name in self.arks), *self.tables]
        done = {"tables": tables, "files": list(self.files), "skipped": self.skipped}
        write_text(self._file(".done"), json.dumps(done))
        self._file(".journal").unlink()

    def _column(self, name: str) -> dict[str, Any]:
        return {key: row[name] for key, row in self.rows.items() if name in row}

    def _write_table(self, name: str, column: dict[str, Any]) -> None:
        path = self._file(name)
        if name.endswith(".ctm"):
            write_lines(path, (line for key in sorted(column) for line in column[key]))
        elif name.endswith(".jsonl"):
            lines = ({"key": key} | column[key] for key in sorted(column))
            write_lines(path, map(json.dumps, lines))
        else:
            write_table(path, column)


def length_batches(lengths: dict[str, int], batch_size: int) -> Iterator[list[str]]:
    """Yield batches of keys of similar length, longest first (memory fails early)."""
    keys = sorted(lengths, key=lambda key: (-lengths[key], key))
    for start in range(0, len(keys), batch_size):
        yield keys[start : start + batch_size]


def device_name(device: str) -> str:
    """``cpu``, or the name of the GPU."""
    if device == "cpu":
        return device
    import torch  # seconds

    return torch.cuda.get_device_name(device) if torch.cuda.is_available() else device
