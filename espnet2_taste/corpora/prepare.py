"""A corpus as a Kaldi data directory: written at once, in order, in bounded memory."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path

from espnet2_taste.corpora.abs_corpus import AbsCorpus, Utterance, tidy_name, tidy_text
from espnet2_taste.corpora.store import Store
from espnet2_taste.corpora.tables import Arrays, Item, Summary, write_tables
from espnet2_taste.io.atomic import replacing_folder, write_text
from espnet2_taste.io.audio import load_audio
from espnet2_taste.io.sorting import sorted_lines


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
    with replacing_folder(folder) as new:
        reading = _Reading(corpus, root, parts, new, folder, clean)
        if limits == Limits():
            summary = reading.write(lambda name: True, iter)
        else:
            choice = _Choice(corpus, limits)
            summary = reading.write(lambda name: False, choice.make)
            if reading.refused:  # to write it, it must be known who is chosen
                corpus.skip.clear()
                corpus.note.clear()
                summary = reading.write(choice.has, choice.apply)
        summary.dropped = dict(corpus.skip.counts)
        summary.noted = dict(corpus.note.counts)
        summary.check(f"{root} {' '.join(parts)}".strip(), corpus.files)
        write_text(new / "summary.json", json.dumps(asdict(summary), indent=1) + "\n")
    return summary


@dataclass
class _Reading:
    """Reads some parts of a corpus and writes them to ``new``.

    Attributes:
        refused: whether there were audio and arrays that were not to be written.
    """

    corpus: AbsCorpus
    root: Path
    parts: list[str]
    new: Path
    folder: Path
    clean: Callable[[str], str]
    refused: bool = False

    def write(
        self,
        wanted: Callable[[str], bool],
        choose: Callable[[Iterator[Item]], Iterator[Item]],
    ) -> Summary:
        """Write the tables of what ``choose`` leaves, with what goes with them.

        Args:
            wanted: whether audio and arrays of a name are to be written.
            choose: passes some items on.
        """
        corpus, new = self.corpus, self.new
        form = {"encoding": "utf-8", "errors": "backslashreplace"}
        with (
            open(new / "skipped", "w", **form) as corpus.skip.file,
            Store(new, self.folder, lambda name: wanted(tidy_name(name))) as store,
            Arrays(new, self.folder, wanted) as arks,
        ):
            utterances = corpus.read(self.root, self.parts, store)
            items = choose(_items(corpus, utterances, self.clean, arks))
            summary = write_tables(_unique(corpus, _sorted(items)), new)
        arks.finish(new / "utt2spk")
        self.refused = store.refused or arks.refused
        return summary


def _items(
    corpus: AbsCorpus, utterances: Iterable[Utterance], clean, arks: Arrays
) -> Iterator[Item]:
    """What can be used, tidied; the rest is skipped."""
    for utterance in utterances:
        given, name = utterance.name, tidy_name(utterance.name)
        entry = utterance.audio if isinstance(utterance.audio, str) else ""
        text = tidy_text(utterance.text)
        problem = _problem(utterance, entry, name, text or corpus.text_optional)
        if not problem and text:
            text = clean(text)
            problem = "" if text else "nothing is left of the text by the cleaner"
        if problem:
            corpus.skip(problem, given or entry)
            continue
        if name != given:
            corpus.note("id with white space or slashes, which were replaced", given)
        speaker = tidy_name(utterance.speaker) or name
        arks.add(name, utterance)
        yield name, speaker, utterance.seconds, utterance.audio, text, utterance.span


def _problem(utterance: Utterance, entry: str, name: str, text: str | bool) -> str:
    """Why an utterance cannot be used; "": it can. ``text`` True: it may have none."""
    if not name:
        return "no id"
    if not text:
        return "empty text"
    if utterance.seconds is not None and not 0 < utterance.seconds < float("inf"):
        return "its length is no number of seconds"
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


class _Choice:
    """As many as the limits allow, in the order of a digest of their names."""

    def __init__(self, corpus: AbsCorpus, limits: Limits):
        self.corpus, self.limits = corpus, limits
        self.last = ""  # digest of a name that is taken
        self.unreadable: dict[str, str] = {}

    def digest(self, name: str) -> str:
        return hashlib.sha1(f"{self.limits.seed} {name}".encode()).hexdigest()

    def make(self, items: Iterable[Item]) -> Iterator[Item]:
        """Choose among all.

        Files are opened where the corpus does not say lengths, until there is enough.
        """
        count, hours = 0, 0.0
        ordered = _sorted(map(self.without_bytes, items), self.digest)
        for item in _unique(self.corpus, ordered):
            if self.limits.utterances is not None and count >= self.limits.utterances:
                return
            if self.limits.hours is not None:
                seconds = self.seconds(item)
                if seconds is None:
                    self.skip(item[0])
                    continue
                hours += seconds / 3600
                if hours > self.limits.hours:
                    return
            count, self.last = count + 1, self.digest(item[0])
            yield item

    def has(self, name: str) -> bool:
        """Whether an utterance was chosen."""
        return self.digest(name) <= self.last and name not in self.unreadable

    def apply(self, items: Iterable[Item]) -> Iterator[Item]:
        """Those that were chosen."""
        for name in self.unreadable:
            self.skip(name)
        return (item for item in items if self.has(item[0]))

    def without_bytes(self, item: Item) -> Item:
        """What can wait in a file; audio that is no file is measured now, if ever."""
        if isinstance(item[3], str):
            return item
        seconds = item[2] if self.limits.hours is None else self.seconds(item)
        return *item[:2], seconds, "", *item[4:]

    def seconds(self, item: Item) -> float | None:
        """Length of an utterance, by its header if possible; None: of no audio."""
        if item[2] is None and item[0] not in self.unreadable:
            try:
                return _seconds(item[3], item[0])
            except (OSError, ValueError) as error:
                self.unreadable[item[0]] = str(error)
        return item[2]

    def skip(self, name: str) -> None:
        reason = f"{name} ({self.unreadable[name]})"
        self.corpus.skip("audio that cannot be read", reason)


def _seconds(audio: str | bytes, name: str) -> float:
    import soundfile

    if isinstance(audio, bytes) or Path(audio).is_file():
        try:
            file = BytesIO(audio) if isinstance(audio, bytes) else audio
            return soundfile.info(file).duration
        except soundfile.LibsndfileError as error:
            raise ValueError(error.error_string) from None
    wav, rate = load_audio(audio, name)
    return len(wav) / rate
