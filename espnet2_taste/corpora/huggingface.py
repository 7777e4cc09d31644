"""Any speech data set of Hugging Face: a ``save_to_disk`` folder, or parquet files."""

import re
from collections.abc import Iterator
from pathlib import Path

from espnet2_taste.corpora.abs_corpus import NO_AUDIO, AbsCorpus, Utterance
from espnet2_taste.corpora.arrow_files import column_types, read_rows
from espnet2_taste.corpora.store import Store

TEXTS = "text transcription transcript sentence normalized_text raw_text".split()
IDS = "id utt_id utterance_id __key__ key segment_id file_name".split()
SPEAKERS = "speaker_id speaker client_id spk_id reader_id".split()
LENGTHS = "duration seconds audio_duration".split()


class HuggingFace(AbsCorpus):
    """``<split>/data-00000-of-00001.arrow`` or ``<split>-00000-of-00001.parquet``.

    Of Arrow files audio is read where it lies; of parquet files, which are
    compressed, it is copied into the data folder. Parts are the splits; [] takes all
    files.

    Args:
        audio, text, id, speaker, duration: columns (``a.b``: a field of a struct);
            default: what they are usually called. Without a column the id is the
            audio's file name, or split and row; the speaker is the utterance itself.
    """

    files = "<split>/*.arrow, <split>-*.parquet or <split>/*.parquet"
    parts = "the splits, e.g. train, validation, test"

    def __init__(
        self,
        audio: str | None = None,
        text: str | None = None,
        id: str | None = None,
        speaker: str | None = None,
        duration: str | None = None,
    ):
        super().__init__()
        self.audio = audio
        self.given = {"text": text, "id": id, "speaker": speaker, "duration": duration}

    def read(self, root: Path, parts: list[str], store: Store) -> Iterator[Utterance]:
        for part in parts or [""]:
            files = self.part_files(Path(root), part)
            if not files:
                raise self.missing(root, f"no file of split {part or 'any'}")
            for path in files:
                self.warn_absent(path, files)
                try:
                    yield from self.file(path, part, store)
                except ValueError as error:
                    if " is truncated or damaged" not in str(error):
                        raise
                    self.skip("rest of a truncated or damaged file", error)

    def part_files(self, root: Path, part: str) -> list[Path]:
        """Files of a split, in order; of save_to_disk no cache files."""
        kinds = ("*.arrow", "*.parquet")
        found = {p for k in kinds for f in (root, root / "data") for p in f.glob(k)}
        found |= {p for k in kinds for p in root.glob(f"*/{k}")}
        found |= {p for k in kinds for p in root.glob(f"*/*/{k}")}
        found = {p for p in found if not p.name.startswith((".", "cache-"))}
        if part:
            found = {
                p
                for p in found
                if p.parent.name == part or re.match(rf"{re.escape(part)}[-.]", p.name)
            }
        return sorted(found)

    def warn_absent(self, path: Path, files: list[Path]) -> None:
        """Note, with the first file, that ``-of-N`` says there are more."""
        number = re.search(r"-of-(\d+)", path.name)
        if number and path == files[0] and len(files) < int(number[1]):
            self.note(f"split with {len(files)} of {int(number[1])} files", path.parent)

    def columns(self, path: Path) -> tuple[str, dict[str, str | None]]:
        """Name of the audio's column, and those of the others.

        Raises:
            ValueError: there is none of audio or text; names the columns.
        """
        types = column_types(path)
        structs = [n for n, t in types.items() if {"bytes", "path"} & _fields(t)]
        audio = self.audio or next(iter(structs), None)
        names = {**dict.fromkeys(types), **dict.fromkeys(_dotted(types))}
        found = {}
        usual = {"text": TEXTS, "id": IDS, "speaker": SPEAKERS, "duration": LENGTHS}
        for what, wanted in self.given.items():
            if wanted is not None and wanted not in names:
                raise ValueError(
                    f"{path} has no column {wanted}, but {', '.join(names)}"
                )
            found[what] = wanted or next((n for n in usual[what] if n in names), None)
        if audio not in structs or found["text"] is None:
            what = "text" if audio in structs else "audio (a struct of bytes and path)"
            raise ValueError(
                f"{path} has no column of {what}, but {', '.join(names)} "
                "(--layout_conf audio=... text=...)"
            )
        return audio, found

    def file(self, path: Path, part: str, store: Store) -> Iterator[Utterance]:
        """The utterances of one file."""
        audio, columns = self.columns(path)
        for number, (row, place) in enumerate(read_rows(path, audio)):
            values = {w: _value(row, c) for w, c in columns.items()}
            file = row.get(audio)
            name = values["id"] or (Path(file).stem if file else "")
            name = str(name or f"{part or path.stem}-{path.stem}-{number:07d}")
            name = Path(name).stem if columns["id"] == "file_name" else name
            entry = self.entry(path, place, file, name, store)
            if entry is None:
                self.skip(NO_AUDIO, name)
                continue
            length = values["duration"]
            yield Utterance(
                name,
                entry,
                str(values["text"] or ""),
                str(values["speaker"] if values["speaker"] is not None else ""),
                float(length) if length is not None else None,
                arrays=self.arrays(row),
            )

    def entry(
        self, path: Path, place, file: str | None, name: str, store: Store
    ) -> str | bytes | None:
        """wav.scp entry of a row's audio: in this file, copied, or of its own file."""
        if isinstance(place, tuple) and place[1]:
            return f"{path}:{place[0]}:{place[1]}"
        if isinstance(place, bytes) and place:
            return store.add_bytes(name, place)
        if file and not isinstance(place, bytes | tuple):
            own = path.parent / file
            if own.is_file() and self.good_audio(own):
                return str(own)
        return None

    def arrays(self, row: dict) -> dict:
        """What need not be extracted; nothing."""
        return {}


def _fields(kind) -> set[str]:
    """Names of a struct's fields; of another type none."""
    try:
        return {kind.field(i).name for i in range(kind.num_fields)}
    except (AttributeError, TypeError):
        return set()


def _dotted(types: dict) -> list[str]:
    return [
        f"{name}.{f}" for name, kind in types.items() for f in sorted(_fields(kind))
    ]


def _value(row: dict, column: str | None):
    """Of a column, or of a struct's field; None: there is none."""
    if column is None:
        return None
    if column in row:
        return row[column]
    struct, _, name = column.partition(".")
    return (row.get(struct) or {}).get(name)
