"""Manifests of lhotse (which is not needed): recordings and supervisions, or cuts."""

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path

from espnet2_taste.corpora.abs_corpus import NO_AUDIO, NO_TEXT, AbsCorpus, Utterance
from espnet2_taste.corpora.store import Store
from espnet2_taste.io.segments import Segment
from espnet2_taste.io.sorting import sorted_lines


class Lhotse(AbsCorpus):
    """``*cuts*<part>.jsonl.gz``, or ``*recordings*<part>*``, ``*supervisions*<part>*``.

    Also ``.jsonl``: what lhotse's preparers of some hundred corpora write.

    An utterance is a supervision; it is cut from its recording by ``segments``.
    """

    files = (
        "*cuts*.jsonl[.gz], or *recordings*.jsonl[.gz] and *supervisions*.jsonl[.gz]"
    )
    parts = "whatever the manifests' names have, e.g. dev-clean"

    def read(self, root: Path, parts: list[str], store: Store) -> Iterator[Utterance]:
        for part in parts or [""]:
            cuts, recordings, supervisions = (
                self.manifests(Path(root), kind, part)
                for kind in ("cuts", "recordings", "supervisions")
            )
            if cuts:
                for path in cuts:
                    yield from self.read_cuts(path)
            elif recordings and supervisions:
                for row, recording in self.joined(recordings, supervisions):
                    yield from self.utterance(row, recording, 0.0)
            else:
                raise self.missing(root, f"no manifest of {part or 'any part'}")

    def joined(
        self, recordings: list[Path], supervisions: list[Path]
    ) -> Iterator[tuple[dict, dict | None]]:
        """Supervisions with their recordings, by recording, in bounded memory."""

        def lines() -> Iterator[str]:
            kinds = (("id", recordings), ("recording_id", supervisions))
            for kind, (name, paths) in enumerate(kinds):
                for path in paths:
                    for row in self.rows(path):
                        yield f"{json.dumps(row.get(name))}\t{kind}\t{json.dumps(row)}"

        last, recording = "", None
        for line in sorted_lines(lines()):  # JSON has no tabs, except escaped
            key, kind, content = line.split("\t")
            row = json.loads(content)
            if kind == "1":
                yield row, recording if key == last else None
            elif key != last:
                last, recording = key, row
            elif row != recording:
                self.skip("recording whose id another has, too", row.get("id"))

    @staticmethod
    def manifests(root: Path, kind: str, part: str) -> list[Path]:
        if root.is_file():
            return [root] if kind in root.name else []
        found = (*root.glob(f"*{kind}*.jsonl"), *root.glob(f"*{kind}*.jsonl.gz"))
        ends = tuple(f"{part}{end}" for end in (".jsonl", ".jsonl.gz")) if part else ""
        return sorted(
            p for p in found if p.name.endswith(ends) and not p.name.startswith(".")
        )

    def rows(self, path: Path) -> Iterator[dict]:
        """Objects of a jsonl file."""
        try:
            opened = gzip.open if path.suffix == ".gz" else open
            with opened(path, "rb") as lines:
                for number, line in enumerate(lines, 1):
                    try:
                        row = json.loads(line) if line.strip() else None
                    except ValueError:
                        row = ()
                    if isinstance(row, dict):
                        yield row
                    elif row is not None:
                        self.skip("damaged json", f"{path}:{number}")
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            self.skip(f"rest of a truncated or damaged manifest ({error})", path)

    def read_cuts(self, path: Path) -> Iterator[Utterance]:
        """Supervisions of cuts, whose starts are relative to the cut's."""
        for cut in self.rows(path):
            if cut.get("type", "MonoCut") not in ("MonoCut", "MultiCut"):
                self.skip(f"a {cut['type']}, not cut from one recording", cut.get("id"))
            elif not cut.get("supervisions"):
                self.skip(NO_TEXT, cut.get("id"))
            for row in cut.get("supervisions") or ():
                start = float(cut.get("start") or 0)
                yield from self.utterance(row, cut.get("recording"), start)

    def utterance(self, row: dict, recording, offset: float) -> Iterator[Utterance]:
        """The utterance of a supervision, if its audio is a file or a command."""
        name = str(row.get("id", ""))
        if not isinstance(recording, dict):
            self.skip(NO_AUDIO, name)
            return
        sources = recording.get("sources") or [{}]
        kind, source = sources[0].get("type"), str(sources[0].get("source", ""))
        channels = sources[0].get("channels") or [0]
        channel = row.get("channel")
        if len(sources) > 1:
            self.skip("channels in several files", name)
            return
        if len(channels) == 1 or not isinstance(channel, int):
            channel = None  # all there are
        if kind not in ("file", "command"):
            self.skip(f"audio of type {kind}, not file or command", name)
            return
        if kind == "file" and not self.good_audio(Path(source)):
            return
        try:
            start = max(0.0, offset + float(row["start"]))
            seconds = float(row["duration"])
        except (KeyError, TypeError, ValueError):
            self.skip("supervision without start or duration", name)
            return
        entry = source if kind == "file" else f"{source} |"
        yield Utterance(
            name,
            entry,
            str(row.get("text") or ""),
            str(row.get("speaker") or ""),
            seconds,
            Segment(str(recording.get("id")), start, start + seconds, channel),
        )
