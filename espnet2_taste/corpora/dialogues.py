"""Dialogues: a JSON object a line, with the recording of each turn.

``{"id": "d1", "turns": [{"role": "user", "audio": "q.wav", "text": "are you there"},
{"role": "assistant", "audio": "a.wav", "text": "yes i am", "said": 2}, ...]}``

``role``: ``system``, ``user`` or ``assistant``. ``audio``: a path, relative ones from
the file's folder, or whatever else ``wav.scp`` may have; none: the turn is written, not
spoken. ``text``: what is said in it (a recogniser may be asked later instead).
``said``: the other side barged in after so many words of it. ``speaker``: default, the
role.
"""

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from espnet2_taste.corpora.abs_corpus import AbsCorpus, Ledger, Utterance, tidy_name
from espnet2_taste.corpora.store import Store
from espnet2_taste.io.arks import Arks, ArkWriter
from espnet2_taste.io.datadir import read_tables
from espnet2_taste.io.tables import read_json_lines, read_table, twice, write_table
from espnet2_taste.text.chat_template import ROLES
from espnet2_taste.text.segmenters import AbsSegmenter

#: key of a turn -> what its value must be
_FIELDS = {"role": str, "audio": str, "text": str, "said": int, "speaker": str}


@dataclass(frozen=True)
class Dialogue:
    """A line of the file.

    Attributes:
        name: its id.
        turns: as the file has them.
    """

    name: str
    turns: list[dict]

    def spoken(self) -> Iterator[tuple[str, dict]]:
        """Utterance id and turn of each that has audio."""
        for index, turn in enumerate(self.turns):
            if "audio" in turn:
                yield self.utterance(index), turn

    def utterance(self, index: int) -> str:
        """Id of a turn as an utterance."""
        return f"{self.name}-{index:03d}"


def read_dialogues(path: Path) -> Iterator[Dialogue]:
    """The dialogues of a file, one after the other.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a line that is no dialogue; the message has its number.
    """
    names = set()
    for number, row in read_json_lines(path):
        name = row.get("id")
        try:
            if not isinstance(name, str) or not name or tidy_name(name) != name:
                raise ValueError(f"id {name!r}: expected one without spaces or slashes")
            if name in names:
                raise ValueError(twice(name))
            if not isinstance(row.get("turns"), list) or not row["turns"]:
                raise ValueError(f"{name} has no list of turns")
            for index, turn in enumerate(row["turns"]):
                _check_turn(f"{name}: turn {index}", turn)
        except ValueError as error:
            raise ValueError(f"{path}:{number}: {error}") from None
        names.add(name)
        yield Dialogue(name, row["turns"])


def _check_turn(what: str, turn) -> None:
    """ValueError: no turn as described above; it begins with ``what``."""
    if not isinstance(turn, dict):
        raise ValueError(f"{what} is no JSON object")
    for key, value in turn.items():
        kind = _FIELDS.get(key)
        if kind is None:
            raise ValueError(f"{what} has {key}; known: {', '.join(_FIELDS)}")
        if not isinstance(value, kind) or isinstance(value, bool):
            raise ValueError(f"{what}: {key} {value!r} is no {kind.__name__}")
    if turn.get("role") not in ROLES:
        raise ValueError(
            f"{what}: role {turn.get('role')!r}: one of {', '.join(ROLES)}"
        )
    if not turn.get("audio", "x") or not turn.keys() & {"audio", "text"}:
        raise ValueError(f"{what} has neither audio nor text")
    if turn.get("said", 0) < 0:
        raise ValueError(f"{what}: said {turn['said']}: expected a number of words")


class Dialogues(AbsCorpus):
    """A ``.jsonl`` file of dialogues: each spoken turn is an utterance."""

    files = "dialogues, a JSON object a line, with id and turns"
    parts = "one"

    def read(self, root: Path, parts: list[str], store: Store) -> Iterator[Utterance]:
        if not Path(root).is_file():
            raise self.missing(root, "no file")
        for dialogue in read_dialogues(root):
            for name, turn in dialogue.spoken():
                audio = Path(root).parent / turn["audio"]
                if not audio.exists() and set("|:") & set(turn["audio"]):
                    audio = turn["audio"]  # a command, or within another file
                elif not self.good_audio(audio):
                    continue
                speaker = turn.get("speaker", turn["role"])
                yield Utterance(name, str(audio), turn.get("text", ""), speaker)


def pair(
    user: Path,
    assistant: Path,
    segmenter: AbsSegmenter,
    turns: int = 4,
    interrupted: float = 0.25,
    seed: int = 0,
) -> Iterator[dict]:
    """Dialogues of utterances of two corpora, drawn at random, each used once.

    They make no sense, but show what a dialogue is to whoever tries the programs.

    Args:
        user: data directory of who begins.
        assistant: data directory of who answers.
        segmenter: tells the words.
        turns: of a dialogue, an even number.
        interrupted: share of the assistant's turns, but for the last, that the user
            cuts after a random number of words.
        seed: of all that is drawn.

    Raises:
        FileNotFoundError, ValueError: a data directory that cannot be used; or too few
            utterances for one dialogue.
    """
    drawn = random.Random(seed)
    sides = []
    for role, folder in (("user", user), ("assistant", assistant)):
        tables = read_tables(folder)
        if "segments" in tables:
            raise ValueError(f"{folder} has segments: bin.format_wav cuts them")
        names = sorted(tables["wav.scp"])
        drawn.shuffle(names)
        sides.append((role, tables, names))
    count = min(len(names) for *_, names in sides) // (turns // 2)
    if not count:
        raise ValueError(f"{user}, {assistant}: too few utterances for {turns} turns")
    for number in range(count):
        made = []
        for index in range(turns):
            role, tables, names = sides[index % 2]
            name = names.pop()
            audio, text = tables["wav.scp"][name], tables["text"][name]
            audio = str(Path(audio).absolute()) if Path(audio).is_file() else audio
            turn = {"role": role, "audio": audio, "text": text}
            turn["speaker"] = tables["utt2spk"][name]
            words = len(segmenter.words(text))
            cut = drawn.random() < interrupted
            if role == "assistant" and index < turns - 1 and words > 1 and cut:
                turn["said"] = drawn.randrange(1, words)
            made.append(turn)
        yield {"id": f"dialogue{number:06d}", "turns": made}


def join(path: Path, turns: Path, taste: Path, folder: Path, skip: Ledger) -> int:
    """Write dialogues as training reads them: text, taste.scp, utt2spk, words_shape.

    Args:
        path: the file of dialogues.
        turns: data directory of the spoken turns, with their ``text``.
        taste: taste.scp of them.
        folder: to write to.
        skip: called with the reason and the name of what is left out.

    Returns:
        how many were written.

    Raises:
        FileNotFoundError, ValueError: see :func:`read_dialogues`; or none is left.
    """
    texts, codes = read_table(turns / "text", allow_empty=True), Arks(taste)
    tables: dict[str, dict[str, str]] = {"text": {}, "utt2spk": {}, "words_shape": {}}
    with ArkWriter(folder, "taste") as ark:
        for dialogue in sorted(read_dialogues(path), key=lambda item: item.name):
            name, written, uncoded = dialogue.name, [], []
            for index, turn in enumerate(dialogue.turns):
                utterance = dialogue.utterance(index)
                if "audio" not in turn:
                    row = {"text": turn["text"], "spoken": False}
                else:
                    row = {"text": texts.get(utterance, "")}
                    if utterance not in texts or row["text"] and utterance not in codes:
                        uncoded.append(utterance)
                said = {"said": turn["said"]} if "said" in turn else {}
                written.append({"role": turn["role"]} | row | said)
            speakers = [
                given.get("speaker", "assistant")
                for given, turn in zip(dialogue.turns, written, strict=True)
                if turn["role"] == "assistant" and turn["text"]
            ]
            if uncoded:
                skip("a turn has no codes", uncoded[0])
            elif not speakers:
                skip("the assistant says nothing", name)
            else:
                size = sum(len(turn["text"].split()) for turn in written)
                tables["text"][name] = json.dumps(written, ensure_ascii=False)
                tables["utt2spk"][name] = speakers[-1]
                tables["words_shape"][name] = str(size)
                rows = [codes[key] for key, _ in dialogue.spoken() if key in codes]
                none = np.zeros(0, dtype=np.int32)
                ark[name] = np.concatenate([none, *rows]).astype(np.int32)
        if not tables["text"]:
            raise ValueError(f"{path}: no dialogue is left")
    for name, table in tables.items():
        write_table(folder / name, table)
    return len(tables["text"])
