"""A corpus as a Kaldi data directory: written at once, in order, in bounded memory."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from itertools import groupby
from pathlib import Path

from espnet2_taste.corpora.abs_corpus import AbsCorpus, Utterance, tidy_name, tidy_text
from espnet2_taste.corpora.store import Store
from espnet2_taste.io.arks import ArkWriter
from espnet2_taste.io.atomic import replacing_folder, write_lines, write_text
from espnet2_taste.io.audio import load_audio
from espnet2_taste.io.datadir import Segment
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

    def check(self, what: str) -> None:
        """Refuse what cannot be.

        Raises:
            ValueError: no utterance, or characters and hours that do not fit.
        """
        dropped = ", ".join(f"{n} {reason}" for reason, n in self.dropped.items())
        if not self.utterances:
            raise ValueError(f"{what}: no utterance is left (dropped: {dropped or 0})")
        if self.hours < 0 or (self.timed and not self.hours):
            raise ValueError(f"{what}: {self.timed} utterances have {self.hours} hours")
        if self.timed:
            rate = self.timed_characters / (self.hours * 3600)
            if not RATES[0] <= rate <= RATES[1]:
                raise ValueError(
                    f"{what}: {rate:.2g} characters a second cannot be: its texts are "
                    "not those of its audio, or its lengths are not seconds"
                )


@dataclass(frozen=True)
class Limits:
    """How much of a corpus: all, or some that a change of the rest leaves the same.

    Attributes:
        utterances: at most; None: any number.
        hours: at most; None: any.
        seed: of the choice.
    """

    utterances: int | None = None
    hours: float | None = None
    seed: int = 0


def prepare(
    corpus: AbsCorpus,
    root: Path,
    parts: list[str],
    folder: Path,
    clean: Callable[[str], str] = str,
    limits: Limits = Limits(),
) -> Summary:
    """Write the data directory of some parts of a corpus.

    ``wav.scp text utt2spk spk2utt``, ``utt2dur`` if the corpus says all lengths,
    ``segments`` if utterances are parts of recordings, ``<name>.scp`` of what need not
    be extracted; ``skipped`` has a line for all that was left out.

    Args:
        corpus: what reads it.
        root, parts: see :meth:`AbsCorpus.read`.
        folder: takes the place of what is there.
        clean: of texts.
        limits: how much.

    Raises:
        FileNotFoundError, ValueError: see :meth:`AbsCorpus.read`,
            :meth:`Summary.check`; the folder is as it was.
    """
    with replacing_folder(folder) as new, ExitStack() as files:
        corpus.skip.file = files.enter_context(
            open(new / "skipped", "w", encoding="utf-8", errors="backslashreplace")
        )
        with Store(new, folder) as store, _Arks(new, folder) as arks:
            items = _items(corpus, corpus.read(root, parts, store), clean, arks)
            if limits != Limits():
                items = _some(corpus, items, limits)
            summary = _write(_unique(corpus, _sorted(items)), new)
        arks.write_tables(new / "utt2spk")
        summary.dropped = dict(corpus.skip.counts)
        summary.noted = dict(corpus.note.counts)
        summary.check(f"{root} {' '.join(parts)}".strip())
        write_text(new / "summary.json", json.dumps(asdict(summary), indent=1) + "\n")
    return summary


#: (name, speaker, seconds, audio, text, span): an utterance of a table
Item = tuple[str, str, float | None, str, str, tuple | None]


def _items(
    corpus: AbsCorpus, utterances: Iterable[Utterance], clean, arks: "_Arks"
) -> Iterator[Item]:
    """What can be used, tidied; the rest is skipped."""
    for utterance in utterances:
        given, name = utterance.name, tidy_name(utterance.name)
        text = tidy_text(utterance.text)
        problem = _problem(utterance, name, text)
        if not problem:
            text = clean(text)
            problem = "" if text else "nothing is left of the text by the cleaner"
        if problem:
            corpus.skip(problem, given or utterance.audio)
            continue
        if name != given:
            corpus.note("id with white space or slashes, which were replaced", given)
        speaker = tidy_name(utterance.speaker) or name
        arks.add(name, utterance)
        yield name, speaker, utterance.seconds, utterance.audio, text, utterance.span


def _problem(utterance: Utterance, name: str, text: str) -> str:
    """Why an utterance cannot be used; "": it can."""
    if not name:
        return "no id"
    if not text:
        return "empty text"
    if utterance.seconds is not None and not 0 < utterance.seconds < float("inf"):
        return "its length is no number of seconds"
    entry = utterance.audio
    if entry != entry.strip() or "\n" in entry:
        return "white space at the ends of its file name, or a line break in it"
    try:
        f"{name} {utterance.speaker} {entry} {text}".encode()
    except UnicodeEncodeError:
        return "a file name or text that is not UTF-8"
    return ""


def _sorted(items: Iterable[Item], key: Callable[[str], str] = str) -> Iterator[Item]:
    """By ``key`` of the name, then by all else."""
    lines = (f"{key(i[0])}\t{json.dumps(i, ensure_ascii=False)}" for i in items)
    for line in sorted_lines(lines):
        yield tuple(json.loads(line.partition("\t")[2]))


def _unique(corpus: AbsCorpus, items: Iterable[Item]) -> Iterator[Item]:
    """The first of each name; names lie together."""
    last = None
    for item in items:
        if item[0] == last:
            corpus.skip("id that another utterance has, too", last)
        else:
            yield item
        last = item[0]


def _some(corpus: AbsCorpus, items: Iterable[Item], limits: Limits) -> Iterator[Item]:
    """As many as the limits allow, in the order of a digest of their names.

    Audio is opened where the corpus does not say its length, until there is enough.
    """

    def digest(name: str) -> str:
        return hashlib.sha1(f"{limits.seed} {name}".encode()).hexdigest()

    count, hours = 0, 0.0
    for item in _unique(corpus, _sorted(items, digest)):
        if limits.utterances is not None and count >= limits.utterances:
            return
        if limits.hours is not None:
            try:
                seconds = item[2] if item[2] is not None else _seconds(item)
            except (OSError, ValueError) as error:
                corpus.skip("audio that cannot be read", f"{item[0]} ({error})")
                continue
            hours += seconds / 3600
            if hours > limits.hours:
                return
            item = item[:2] + (seconds,) + item[3:]
        count += 1
        yield item


def _seconds(item: Item) -> float:
    """Length of an utterance's audio, from its header if that is possible."""
    import soundfile

    if Path(item[3]).is_file():
        try:
            return soundfile.info(item[3]).duration
        except RuntimeError as error:
            raise ValueError(str(error)) from None
    wav, rate = load_audio(item[3], item[0])
    return len(wav) / rate


def _write(items: Iterable[Item], folder: Path) -> Summary:
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


class _Arks:
    """Arrays of utterances, written as they come; ``write_tables`` sorts their tables.

    Args:
        folder: that is written.
        final: its name when all is written.
    """

    def __init__(self, folder: Path, final: Path):
        self.folder, self.final = folder, final
        self.writers: dict[str, ArkWriter] = {}
        self.files = ExitStack()

    def __enter__(self) -> "_Arks":
        return self

    def __exit__(self, *error) -> None:
        self.files.__exit__(*error)

    def add(self, name: str, utterance: Utterance) -> None:
        for table, array in utterance.arrays.items():
            if table not in self.writers:
                writer = ArkWriter(self.folder, table)
                self.writers[table] = self.files.enter_context(writer)
            self.writers[table][name] = array

    def write_tables(self, keys: Path) -> None:
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
