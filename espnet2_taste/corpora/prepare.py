"""A corpus as a Kaldi data directory: written at once, in order, in bounded memory."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
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
    with replacing_folder(folder) as new, ExitStack() as files:
        corpus.skip.file = files.enter_context(
            open(new / "skipped", "w", encoding="utf-8", errors="backslashreplace")
        )
        with Store(new, folder) as store, Arrays(new, folder) as arks:
            items = _items(corpus, corpus.read(root, parts, store), clean, arks)
            if limits != Limits():
                items = _some(corpus, items, limits)
            summary = write_tables(_unique(corpus, _sorted(items)), new)
        arks.finish(new / "utt2spk")
        summary.dropped = dict(corpus.skip.counts)
        summary.noted = dict(corpus.note.counts)
        summary.check(f"{root} {' '.join(parts)}".strip(), corpus.files)
        write_text(new / "summary.json", json.dumps(asdict(summary), indent=1) + "\n")
    return summary


def _items(
    corpus: AbsCorpus, utterances: Iterable[Utterance], clean, arks: Arrays
) -> Iterator[Item]:
    """What can be used, tidied; the rest is skipped."""
    for utterance in utterances:
        given, name = utterance.name, tidy_name(utterance.name)
        text = tidy_text(utterance.text)
        problem = _problem(utterance, name, text or corpus.text_optional)
        if not problem and text:
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


def _problem(utterance: Utterance, name: str, text: str | bool) -> str:
    """Why an utterance cannot be used; "": it can. ``text`` True: it may have none."""
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
