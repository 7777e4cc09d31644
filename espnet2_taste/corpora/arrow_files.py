"""Rows of Arrow and parquet files; audio in Arrow files is read where it lies."""

from collections.abc import Callable, Iterator
from pathlib import Path

from espnet2_taste.io.extras import import_extra

EXTRA = "arrow"


def read_rows(path: Path, audio: str | None = None) -> Iterator[tuple[dict, object]]:
    """(row, audio) of a file: an Arrow stream (``.arrow``) or parquet.

    Args:
        path: of the file.
        audio: column of structs with ``bytes`` and ``path``; None: nothing is audio.

    Yields:
        the row without that column's bytes, and the audio: ``(offset, size)`` of bytes
        in the file, the bytes (of a compressed file), or None.

    Raises:
        ValueError: no such file format, or a damaged file, after its good rows.
    """
    pa = import_extra("pyarrow", EXTRA)
    try:
        if path.suffix == ".parquet":
            for batch in _parquet(path):
                yield from _rows(batch, audio, lambda buffer: None)
        else:
            with pa.memory_map(str(path)) as source:
                whole = source.read_buffer()
                with pa.ipc.open_stream(whole) as batches:
                    for batch in batches:
                        yield from _rows(batch, audio, _offset_in(whole))
    except (pa.ArrowException, OSError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{path} is truncated or damaged ({reason})") from None


def column_types(path: Path) -> dict:
    """Column -> Arrow type.

    Raises:
        ValueError: a damaged file.
    """
    pa = import_extra("pyarrow", EXTRA)
    try:
        if path.suffix == ".parquet":
            schema = import_extra("pyarrow.parquet", EXTRA).read_schema(path)
        else:
            with pa.memory_map(str(path)) as source, pa.ipc.open_stream(source) as file:
                schema = file.schema
    except (pa.ArrowException, OSError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{path} is no Arrow stream or parquet ({reason})") from None
    return {field.name: field.type for field in schema}


def _parquet(path: Path):
    parquet = import_extra("pyarrow.parquet", EXTRA)
    with parquet.ParquetFile(path) as file:
        yield from file.iter_batches(batch_size=64)


def _offset_in(whole) -> Callable:
    """Where a buffer starts in another; None if it does not lie in it."""

    def offset(buffer) -> int | None:
        start = buffer.address - whole.address
        return start if 0 <= start and start + buffer.size <= whole.size else None

    return offset


def _rows(batch, audio: str | None, offset: Callable) -> Iterator[tuple[dict, object]]:
    places: list = [None] * batch.num_rows
    if audio is not None:
        column = batch.column(audio)
        names = [field.name for field in column.type]
        if "bytes" in names:
            places = _places(column.field("bytes"), offset)
        paths = column.field("path").to_pylist() if "path" in names else places
        paths = [None if isinstance(p, bytes | tuple) else p for p in paths]
        rest = batch.drop_columns([audio]).to_pylist()
        rows = [r | {audio: p} for r, p in zip(rest, paths, strict=True)]
    else:
        rows = batch.to_pylist()
    yield from zip(rows, places, strict=True)


def _places(values, offset: Callable) -> list:
    """Of each value of a binary array: (offset, size) in the file, bytes, or None."""
    size_of = 8 if "large" in str(values.type) else 4
    buffers = values.buffers()
    start = offset(buffers[-1]) if buffers[-1] is not None else None
    if start is None:
        return values.to_pylist()
    ends = memoryview(buffers[1]).cast("q" if size_of == 8 else "i")
    found: list = []
    for index in range(len(values)):
        first, last = (ends[values.offset + index + i] for i in (0, 1))
        found.append((start + first, last - first) if values[index].is_valid else None)
    return found
