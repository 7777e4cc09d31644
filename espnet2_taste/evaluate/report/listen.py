"""What the report lets one hear: a sample of utterances, and the worst of every row."""

import base64
import io
import logging
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from espnet2_taste.evaluate.column import Column, find_column
from espnet2_taste.evaluate.measure import read_measures
from espnet2_taste.evaluate.report.plots import (
    Lane,
    attention_picture,
    prosody_plot,
)
from espnet2_taste.evaluate.rows import Measures, Row
from espnet2_taste.evaluate.score_folder import ScoreFolder
from espnet2_taste.evaluate.scorers.reading import SAMPLE_RATE
from espnet2_taste.evaluate.statistics import Statistics
from espnet2_taste.evaluate.word_errors import align
from espnet2_taste.io.audio import read_audio
from espnet2_taste.io.file_names import key_of
from espnet2_taste.io.tables import read_table

#: libsndfile's MP3 quality: about 4 kB a second at 16 kHz.
_COMPRESSION = 0.75


@dataclass
class Clip:
    """One recording of an utterance.

    Attributes:
        row: key of its row.
        audio: as a URI, see :func:`encode_audio`.
        said: what was heard, see :func:`differences`; [] for the utterance's text.
        label: for who does not see the page.
        prompt: that it continues, "" if none.
        measures: word times and F0, if known.
    """

    row: str
    audio: str
    said: list[tuple[str, str, str]]
    label: str
    prompt: str = ""
    measures: Measures | None = None


@dataclass
class Utterance:
    """What the report shows of one utterance.

    Attributes:
        utt: id. text: the reference words.
        sample: belongs to the sample, not only to a list of the worst.
        clips: recordings in table order.
        attention: URI of a picture and its words, or None.
    """

    utt: str
    text: str
    sample: bool = False
    clips: list[Clip] = field(default_factory=list)
    attention: tuple[str, str] | None = None

    @property
    def prosody(self) -> tuple[list[Lane], str] | None:
        """A plot of all clips; None where nothing was measured."""
        lanes = {c.row: c.measures for c in self.clips if c.measures is not None}
        return prosody_plot(lanes) if lanes else None


@dataclass(frozen=True)
class WorstList:
    """The worst utterances of a row, of its first seed.

    Attributes:
        table: of the row. row: its name. key: with the seed.
        column: the metric.
        items: (utterance, its value as text), the worst first.
    """

    table: str
    row: str
    key: str
    column: Column
    items: list[tuple[str, str]]

    @property
    def anchor(self) -> str:
        """Identifier within the page."""
        return f"worst-{self.table}-{self.row}-{self.column.key}"


def first_seeds(folders: dict[str, str]) -> dict[str, str]:
    """Row keys (``name`` or ``name:seed``) -> one folder per name, order kept."""
    first: dict[str, tuple[str, str]] = {}
    for key, folder in folders.items():
        first.setdefault(key.partition(":")[0], (key, folder))
    return dict(first.values())


def worst_lists(scores: ScoreFolder, count: int) -> list[WorstList]:
    """Lists of at most ``count`` utterances, for the rows that have audio.

    Those of metrics that do not count errors are half as long: audio makes a page
    large. A correlation is none of a single utterance; an utterance as good as the best
    is not among the worst. Ties: by id.
    """
    heard = first_seeds(scores.results.get("folders", {}))
    lists = []
    for (table, key, metric), statistics in scores.statistics.items():
        column = find_column(scores.results, table, metric)
        if key not in heard or column is None or not column.better:
            continue
        length = count if column.counted else (count + 1) // 2
        items = _worst(column, statistics, length)
        if items and column.group != "rate":  # rates say nothing bad of an utterance
            name = key.partition(":")[0]
            lists.append(WorstList(table, name, key, column, items))
    return lists


def _worst(column: Column, found: Statistics, count: int) -> list[tuple[str, str]]:
    if found.kind == "pearson" or len(found.ids) < 2:
        return []
    values = found.values()
    bad = values if column.better == "lower" else -values
    if column.counted:
        bad = found.sums[:, 0]
    best = np.nanmin(bad, initial=np.inf)
    order = [i for i in range(len(bad)) if bad[i] > best]
    order.sort(key=lambda i: (-bad[i], found.ids[i]))
    texts = []
    for i in order[:count]:
        text = f"{values[i]:.{column.digits}f} {column.unit}".rstrip()
        if column.counted:
            errors, total = found.sums[i]
            many = "" if errors == 1 else "s"
            text = f"{errors:.0f} error{many} in {total:.0f} {column.counted}"
        texts.append((found.ids[i], text))
    return texts


def wrong_answers(scores: ScoreFolder, count: int) -> list[list[str]]:
    """Header, and up to ``count`` questions of each QA set that were not answered."""
    lines = [["Set", "Question", "Answers", "Said"]]
    for (table, key, metric), statistics in scores.statistics.items():
        if (table, metric) != ("qa", "accuracy"):
            continue
        wrong = np.flatnonzero(statistics.values() == 0)[:count]
        for utt in (statistics.ids[i] for i in wrong):
            line = scores.utterances.get(key, {}).get(utt, {})
            lines.append([key, utt, line.get("text", ""), line.get("recognised", "")])
    return lines if len(lines) > 1 else []


def even_steps(items: list, count: int) -> list:
    """``count`` of them from the first to the last, at most all."""
    steps = np.linspace(0, len(items) - 1, min(count, len(items)))
    return [items[i] for i in steps.round().astype(int)]


def find_attention(folder: Path | None) -> dict[str, Path]:
    """utt -> npz in ``folder/attention`` or in that of its shards."""
    if folder is None:
        return {}
    folders = sorted(folder.glob("**/attention"))
    return {
        key_of(path.relative_to(attention).as_posix(), ".npz"): path
        for attention in folders
        for path in sorted(attention.glob("**/*.npz"))
    }


def collect_utterances(
    scores: ScoreFolder,
    attention: dict[str, Path],
    worst: list[WorstList],
    count: int,
) -> list[Utterance]:
    """The sample, with every row's first seed, and the worst, with the rows concerned.

    The original is always there to compare with.
    """
    folders = scores.results.get("folders", {})
    if not folders:
        return []
    text = read_table(Path(scores.results["ref_dir"]) / "text", allow_empty=True)
    chosen = even_steps(sorted(text), count)
    wanted: dict[str, set[str]] = {utt: set() for utt in chosen}
    for one in worst:
        for utt, _ in one.items:
            wanted.setdefault(utt, set()).add(one.key)
    found = {utt: Utterance(utt, text[utt], utt in chosen) for utt in wanted}
    for number, (key, folder) in enumerate(first_seeds(folders).items()):
        row = Row(key, "", Path(folder))
        wavs = read_table(row.wav_scp, allow_empty=True)
        prompts = row.read("prompt_text")
        measures = read_measures(scores.path / "measures", key)
        for utt, utterance in found.items():
            shown = number == 0 or utterance.sample or key in wanted[utt]
            if not shown or utt not in wavs:
                continue
            try:
                audio = encode_audio(wavs[utt], utt)
            except (ValueError, FileNotFoundError) as error:
                logging.warning("row %s: %s", key, error)
                continue
            line = scores.utterances.get(key, {}).get(utt, {})
            words = line.get("text") or text[utt]
            said = [] if words == text[utt] else [("", "", words)]
            if "recognised" in line and line.get("words"):
                said = differences(words, line["recognised"])
            spoken = key, audio, said, f"{key}: {words}", prompts.get(utt, "")
            utterance.clips.append(Clip(*spoken, measures.get(utt)))
    for utt, path in attention.items():
        if utt in found:
            found[utt].attention = attention_picture(path)
    return list(found.values())


def differences(expected: str, heard: str) -> list[tuple[str, str, str]]:
    """(missing, wrong or added, right) of the words heard; two or all but one are "".

    The alignment is that of the word error rate: every mark is one error, a
    substitution a pair of marks.
    """
    words, said = expected.split(), heard.split()
    parts = []
    for i, j in align(words, said):
        missing, added = "" if i is None else words[i], "" if j is None else said[j]
        same = missing == added
        parts.append(("", "", added) if same else (missing, added, ""))
    return parts


def encode_audio(entry: str, utt: str) -> str:
    """Audio of a ``wav.scp`` entry -> a ``data:`` URI, MP3."""
    import soundfile

    file = io.BytesIO()
    wav = read_audio(entry, utt, SAMPLE_RATE)
    options = {"bitrate_mode": "VARIABLE", "compression_level": _COMPRESSION}
    soundfile.write(file, wav, SAMPLE_RATE, format="MP3", **options)
    return "data:audio/mpeg;base64," + base64.b64encode(file.getvalue()).decode()
