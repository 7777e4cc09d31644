"""The rows of a score table: what they say, what was measured, what came of it."""

import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from espnet2_taste.asr.recording import Recording
from espnet2_taste.evaluate.statistics import Statistics
from espnet2_taste.io.audio import audio_rate
from espnet2_taste.io.tables import read_table
from espnet2_taste.text.normalise import spaced_words

REFERENCE_ROW = "original"
MIN_VOICED_FRAMES = 3
_NAME = re.compile(r"\w[\w.-]*")  # files are called after rows


@dataclass
class Measures:
    """What was measured on one recording, from its audio and its words alone.

    Attributes:
        words: W words as normalised (the row's own text).
        seconds: length of the audio.
        failure: why there are no word times, "" when there are.
        starts, durations, pauses: (W,) s, see ``WordTimes``; empty after a failure.
        log_f0: mean ln F0 of the utterance, nan if unvoiced.
        word_log_f0: (W,) mean ln F0 per word, nan where unvoiced; empty on failure.
        f0: (F,) contour in Hz, 0 where unvoiced; frames of ``frame_period`` s.
        frame_period: s.
    """

    words: list[str]
    seconds: float = 0.0
    failure: str = ""
    starts: np.ndarray = field(default_factory=lambda: np.zeros(0))
    durations: np.ndarray = field(default_factory=lambda: np.zeros(0))
    pauses: np.ndarray = field(default_factory=lambda: np.zeros(0))
    log_f0: float = float("nan")
    word_log_f0: np.ndarray = field(default_factory=lambda: np.zeros(0))
    f0: np.ndarray = field(default_factory=lambda: np.zeros(0))
    frame_period: float = 0.005

    @classmethod
    def of(cls, words: list[str], pitch: dict, times: dict) -> "Measures":
        """Of what the scorers ``pitch`` and ``times`` found; {}: nothing."""
        failure = pitch.get("failure") or times.get("failure") or ""
        made = cls(words, failure=failure)
        if "f0" in pitch:
            made.seconds, made.frame_period = pitch["seconds"], pitch["frame_period"]
            made.f0 = np.array(pitch["f0"], np.float64)
            made.log_f0 = mean_log_f0(made.f0)
        if "starts" in times and not failure:
            for name in ("starts", "durations", "pauses"):
                setattr(made, name, np.array(times[name], np.float64))
            made.word_log_f0 = word_log_f0(
                made.f0, made.frame_period, made.starts, made.durations
            )
        return made


def mean_log_f0(f0: np.ndarray) -> float:
    """Mean ln F0 [ln Hz] over the voiced (F0 > 0) frames of (F,) Hz; nan if < 3."""
    voiced = f0[f0 > 0]
    if len(voiced) < MIN_VOICED_FRAMES:
        return float("nan")
    return float(np.log(voiced).mean())


def word_log_f0(
    f0: np.ndarray, frame_period: float, starts: np.ndarray, durations: np.ndarray
) -> np.ndarray:
    """Mean ln F0 in each of W words: (F,) Hz, s per frame, (W,) s, (W,) s -> (W,).

    nan for a word with fewer than three voiced frames.
    """
    first = np.round(starts / frame_period).astype(int)
    last = np.round((starts + durations) / frame_period).astype(int)
    return np.array(
        [mean_log_f0(f0[a:b]) for a, b in zip(first, last, strict=True)], np.float64
    )


@dataclass
class Row:
    """A system's output on the reference set, from one sampling seed.

    ``name:seed=folder`` on the command line; rows of one name are averaged. The folder
    holds ``wav.scp`` and, where the words are not the reference's, ``text``; or it is
    itself a ``wav.scp`` file with nothing beside it.

    Attributes:
        name, seed, folder: as above.
        table: "reconstruction": it says what the originals say; "continuation": it goes
            on from their first words.
        texts: utterance -> what its recording says or should say.
        given: utterance -> the corpus's text, where ``texts`` are a recogniser's
            (``text_given`` of the reference set): word errors are counted against it.
        prompts: of a continuation: utterance -> the prompt's words, normalised.
        utt2spk: speaker of each utterance.
        recordings: those it has.
        scorers: what measures them, in order; see ``scorers.abs_scorer``.
        measured: scorer -> utterance -> what it found.
        statistics: metric -> its sums per utterance.
        errors: word error counts over the set (see ``scorers.words``), None: no words.
        failures: why utterances could not be compared -> how many.
        lines: utterance -> its line of ``utterances.csv``.
    """

    name: str
    seed: str = ""
    folder: Path = Path()
    table: str = "reconstruction"
    texts: dict[str, str] = field(default_factory=dict)
    given: dict[str, str] = field(default_factory=dict)
    prompts: dict[str, list[str]] = field(default_factory=dict)
    utt2spk: dict[str, str] = field(default_factory=dict)
    recordings: list[Recording] = field(default_factory=list)
    scorers: list = field(default_factory=list)
    measured: dict[str, dict[str, dict]] = field(default_factory=dict)
    statistics: dict[str, Statistics] = field(default_factory=dict)
    errors: dict[str, int] | None = None
    failures: dict[str, int] = field(default_factory=dict)
    lines: dict[str, dict] = field(default_factory=dict)

    @property
    def key(self) -> str:
        return row_key(self.name, self.seed)

    @property
    def wav_scp(self) -> Path:
        return self.folder if self.folder.is_file() else self.folder / "wav.scp"

    @classmethod
    def parse(cls, text: str, table: str = "reconstruction") -> "Row":
        """``name=folder`` or ``name:seed=folder``, a ``wav.scp`` instead of a folder.

        Raises:
            ValueError, FileNotFoundError: another form, or no such file.
        """
        key, equals, folder = text.partition("=")
        name, _, seed = key.partition(":")
        if not equals or not name or not folder:
            raise ValueError(f"row '{text}': expected name=folder or name:seed=folder")
        if not _NAME.fullmatch(name) or not _NAME.fullmatch(seed or "0"):
            raise ValueError(f"row '{key}': a name is letters, digits, '_', '-', '.'")
        row = cls(name, seed, Path(folder), table)
        if not row.wav_scp.exists():
            raise FileNotFoundError(f"row {key}: no file {row.wav_scp}")
        return row

    def read(self, file: str) -> dict[str, str]:
        """A table of the folder; {} if there is none."""
        path = self.folder / file
        return read_table(path, allow_empty=True) if path.exists() else {}

    def load(
        self, said: dict[str, str], references: dict[str, str], utt2spk: dict[str, str]
    ) -> None:
        """Read texts, prompts and recordings.

        Args:
            said: utterance -> text of the reference set.
            references: utterance -> ``wav.scp`` entry of the original.
            utt2spk: speaker of each.

        Raises:
            ValueError: the row has an utterance that the reference set has not.
            FileNotFoundError: none of its recordings is there.
        """
        own, wavs = self.read("text"), read_table(self.wav_scp, allow_empty=True)
        foreign = [utt for utt in wavs if utt not in said]
        if foreign:
            raise ValueError(
                f"row {self.key}: utterance {foreign[0]} of {self.wav_scp} is not in "
                "the reference set's text"
            )
        self._check_found([entry for entry in wavs.values() if entry])
        self.texts = {utt: own.get(utt, text) for utt, text in said.items()}
        self.utt2spk = utt2spk
        same = self.table == "reconstruction"
        if not same:
            prompts = read_table(self.folder / "prompt_text", allow_empty=True)
            self.prompts = {utt: spaced_words(text) for utt, text in prompts.items()}
        words = {utt: tuple(spaced_words(self.texts[utt])) for utt in wavs}
        self.recordings = [
            Recording(utt, entry, words[utt], references.get(utt), same)
            for utt, entry in wavs.items()
        ]

    def _check_found(self, entries: list[str]) -> None:
        """Some may lack, and are counted; of another folder all do."""
        for entry in entries:
            try:
                audio_rate(entry)
            except FileNotFoundError:
                continue
            except ValueError:  # damaged, but there
                pass
            return
        if entries:
            raise FileNotFoundError(
                f"row {self.key}: none of the {len(entries)} recordings of "
                f"{self.wav_scp} is there, not even {entries[0]}: run this where the "
                "row was made (paths are relative), or make it again"
            )

    @property
    def expected(self) -> dict[str, str]:
        """Texts of what should be there: a continuation has prompted ones only."""
        if self.table == "reconstruction":
            return self.texts | self.given
        return {utt: text for utt, text in self.texts.items() if utt in self.prompts}

    @cached_property
    def measures(self) -> dict[str, Measures]:
        """Utterance -> its pitch and word times."""
        pitches, times = (self.measured.get(name, {}) for name in ("pitch", "times"))
        words = {r.utt: list(r.words) for r in self.recordings}
        return {
            utt: Measures.of(words[utt], pitches.get(utt, {}), times.get(utt, {}))
            for utt in {**pitches, **times}
        }

    @property
    def seconds(self) -> dict[str, float]:
        """Utterance -> length of its audio."""
        return {utt: measures.seconds for utt, measures in self.measures.items()}


def row_key(name: str, seed: str) -> str:
    """What tells rows and their seeds apart: ``name:seed``, or ``name`` without one."""
    return f"{name}:{seed}" if seed else name


def read_rows(ref_dir: Path, rows: list[str], continuations: list[str]) -> list[Row]:
    """Rows of both tables, the originals first.

    Args:
        ref_dir: ``wav.scp``, ``text`` and perhaps ``utt2spk`` of the originals.
        rows, continuations: as on the command line (see ``Row``).

    Raises:
        ValueError, FileNotFoundError: a table is not as it should be.
    """
    original = Row(REFERENCE_ROW, "", ref_dir)
    text = read_table(ref_dir / "text", allow_empty=True)
    utt2spk = original.read("utt2spk") or {utt: utt for utt in text}
    named = [original, *(Row.parse(row) for row in rows)]
    more = [Row.parse(row, "continuation") for row in continuations]
    if any(row.name == REFERENCE_ROW for row in named[1:] + more):
        raise ValueError(f"--rows: '{REFERENCE_ROW}' is the reference itself")
    if {row.name for row in named} & {row.name for row in more}:
        raise ValueError("a name is used in both --rows and --continuation_rows")
    keys = [row.key for row in named + more]
    if twice := sorted({key for key in keys if keys.count(key) > 1}):
        raise ValueError(f"row {twice[0]} is given twice; use {twice[0]}:<seed>")
    if unknown := [utt for utt in text if utt not in utt2spk]:
        raise ValueError(f"{ref_dir}/utt2spk: no speaker for {unknown[0]}")
    references = read_table(original.wav_scp, allow_empty=True)
    if not references:
        raise ValueError(f"{ref_dir}/wav.scp holds no utterance")
    given = {utt: t for utt, t in original.read("text_given").items() if utt in text}
    for row in named + more:
        row.load(text, references, utt2spk)
        row.given = given
    return named + more
