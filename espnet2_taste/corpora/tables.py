"""The tables of a prepared corpus, written line by line from sorted utterances."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from espnet2_taste.corpora.abs_corpus import Utterance, tidy_name
from espnet2_taste.io.arks import ArkWriter
from espnet2_taste.io.atomic import write_lines
from espnet2_taste.io.segments import Segment
from espnet2_taste.io.sorting import sorted_lines

#: Seconds of speech per character that no language has, as the mean of a set.
RATES = (0.1, 100)


@dataclass
class Summary:
    """What a prepared set has.

    Attributes:
        utterances, speakers, characters: counts.
        timed: utterances whose length the corpus says.
        hours: of those.
        timed_characters: in the texts of those.
        dropped, noted: reason -> count.
    """

    utterances: int = 0
    speakers: int = 0
    characters: int = 0
    timed: int = 0
    hours: float = 0.0
    timed_characters: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    noted: dict[str, int] = field(default_factory=dict)

    def check(self, what: str, files: str) -> None:
        """Refuse what cannot be.

        Args:
            what: was read, for messages.
            files: that were looked for there.

        Raises:
            ValueError: no utterance, or characters and hours that do not fit.
        """
        dropped = ", ".join(f"{n} {reason}" for reason, n in self.dropped.items())
        if not self.utterances and not dropped:
            raise ValueError(f"{what}: no utterance; it should hold {files}")
        if not self.utterances:
            raise ValueError(f"{what}: no utterance is left (dropped: {dropped})")
        if self.hours < 0 or (self.timed and not self.hours):
            raise ValueError(f"{what}: {self.timed} utterances have {self.hours} hours")
        if self.timed_characters:
            rate = self.timed_characters / (self.hours * 3600)
            if not RATES[0] <= rate <= RATES[1]:
                raise ValueError(
                    f"{what}: {rate:.2g} characters a second cannot be: its texts are "
                    "not those of its audio, or its lengths are not seconds"
                )


#: (name, speaker, seconds, audio, text, span): an utterance of a table
Item = tuple[str, str, float | None, str | bytes, str, tuple | None]


def write_tables(items: Iterable[Item], folder: Path) -> Summary:
    """Write the tables of sorted items."""
    summary, spans = Summary(), set()
    speakers, recordings = folder / ".speakers", folder / ".recordings"
    with ExitStack() as files:

        def table(name: str) -> Callable[[str], None]:
            file = open(folder / name, "w", encoding="utf-8", newline="\n")
            write = files.enter_context(file).write
            return lambda line: write(line + "\n")

        tables = [table(name) for name in ("text", "utt2spk", "utt2dur", "segments")]
        text_table, utt2spk, utt2dur, segments = tables
        by_speaker, by_recording = table(speakers.name), table(recordings.name)
        for name, speaker, seconds, audio, text, span in items:
            summary.utterances += 1
            summary.characters += len(text)
            if seconds is not None:
                summary.timed += 1
                summary.hours += seconds / 3600
                summary.timed_characters += len(text)
                utt2dur(f"{name} {seconds:.3f}")
            spans.add(span is not None)
            cut = Segment(*span) if span else Segment(name, 0.0, None, None)
            recording = tidy_name(cut.recording)
            if text:
                text_table(f"{name} {text}")
            utt2spk(f"{name} {speaker}")
            end = -1.0 if cut.end is None else cut.end
            channel = "" if cut.channel is None else f" {cut.channel}"
            segments(f"{name} {recording} {cut.start:.3f} {end:.3f}{channel}")
            by_speaker(f"{speaker}\t{name}")
            by_recording(f"{recording}\t{audio}")
    if len(spans) > 1:
        raise ValueError("some utterances are parts of recordings, and some are whole")
    if spans != {True}:
        (folder / "segments").unlink()
    if not summary.characters:
        (folder / "text").unlink()
    if summary.timed < summary.utterances:
        (folder / "utt2dur").unlink()
    summary.speakers = _group(speakers, folder / "spk2utt")
    _recordings(recordings, folder / "wav.scp")
    return summary


def _sorted_pairs(path: Path) -> Iterator[tuple[str, str]]:
    """Lines ``key<TAB>value`` of a file, which is removed, sorted and split."""
    with open(path, encoding="utf-8", newline="\n") as lines:
        for line in sorted_lines(line.removesuffix("\n") for line in lines):
            key, _, value = line.partition("\t")
            yield key, value
    path.unlink()


def _group(path: Path, target: Path) -> int:
    """``speaker<TAB>utterance`` lines -> spk2utt; return how many speakers."""
    count = 0
    with open(target, "w", encoding="utf-8") as file:
        for speaker, pairs in groupby(_sorted_pairs(path), key=lambda pair: pair[0]):
            file.write(f"{speaker} {' '.join(name for _, name in pairs)}\n")
            count += 1
    return count


def _recordings(path: Path, target: Path) -> None:
    """``recording<TAB>entry`` lines -> wav.scp."""
    with open(target, "w", encoding="utf-8") as file:
        for name, pairs in groupby(_sorted_pairs(path), key=lambda pair: pair[0]):
            entries = {entry for _, entry in pairs}
            if len(entries) > 1:
                first, second = sorted(entries)[:2]
                raise ValueError(f"recording {name} is {first} and {second}")
            file.write(f"{name} {entries.pop()}\n")


class Arrays:
    """Arrays of utterances, written as they come; ``finish`` sorts their tables.

    Args:
        folder: that is written.
        final: its name when all is written.
        wanted: whether the arrays of a name are to be written.

    Attributes:
        refused: whether there were arrays that are not.
    """

    def __init__(self, folder: Path, final: Path, wanted: Callable[[str], bool]):
        self.folder, self.final, self.wanted = folder, final, wanted
        self.refused = False
        self.writers: dict[str, ArkWriter] = {}
        self.files = ExitStack()

    def __enter__(self) -> "Arrays":
        return self

    def __exit__(self, *error) -> None:
        self.files.__exit__(*error)

    def add(self, name: str, utterance: Utterance) -> None:
        if not self.wanted(name):
            self.refused |= bool(utterance.arrays)
            return
        for table, array in utterance.arrays.items():
            if table not in self.writers:
                writer = ArkWriter(self.folder, table)
                self.writers[table] = self.files.enter_context(writer)
            self.writers[table][name] = array

    def finish(self, keys: Path) -> None:
        """Keep the utterances of a table, in its order, with the arks' final names."""
        for table in self.writers:
            path = self.folder / f"{table}.scp"
            arks = str(self.folder / f"{table}.ark"), str(self.final / f"{table}.ark")
            with open(path, encoding="utf-8") as lines, open(keys) as wanted:
                found = sorted_lines(line.rstrip("\n") for line in lines)
                entries = (line.partition(" ") for line in found)
                kept = _matching(entries, (line.split()[0] for line in wanted))
                write_lines(path, (f"{k} {e.replace(*arks, 1)}" for k, e in kept))


def _matching(entries, keys: Iterator[str]) -> Iterator[tuple[str, str]]:
    """Those of sorted (key, _, value) whose key is among sorted keys; each key once."""
    key = next(keys, None)
    for name, _, value in entries:
        while key is not None and key < name:
            key = next(keys, None)
        if key == name:
            yield name, value
            key = next(keys, None)
