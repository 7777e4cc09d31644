"""Spoken questions with their answers: LLaMA-Questions and WebQuestions."""

import csv
import json
from collections.abc import Iterable
from pathlib import Path

from espnet2_taste.evaluate.testsets.abs_layout import AbsLayout, TestSet


class Questions(AbsLayout):
    """A table of questions beside their recordings.

    The table is a ``.tsv`` or ``.csv`` with a header, or ``.jsonl``; columns as the
    public releases call them, in any case. Audio lies where the table says, from its
    folder, from ``audios/`` or from ``audio/`` in it.
    """

    columns = {
        "question": ("questions", "question", "question_text"),
        "answers": ("answer", "answers"),
        "audio": ("wav filename", "audio_filename", "audio", "wav"),
    }
    separator: str | None = None  # of several answers in a cell

    @property
    def files(self) -> str:
        names = ["|".join(names) for names in self.columns.values()]
        return f"recordings and one .tsv, .csv or .jsonl with {', '.join(names)}"

    def read(self, root: Path) -> TestSet:
        table, found = self._table(root), TestSet()
        for number, row in enumerate(self._rows(table), 1):
            values = {k: self._cell(table, row, number, k) for k in self.columns}
            audio = Path(str(values["audio"]))
            folders = (table.parent, table.parent / "audios", table.parent / "audio")
            path = next((f / audio for f in folders if (f / audio).is_file()), None)
            utt = audio.with_suffix("").as_posix().replace("/", "-").replace(" ", "_")
            answers = self._answers(values["answers"])
            if utt in found.wavs:
                raise ValueError(f"{table}: line {number}: {audio} appears twice")
            if path is None:
                found.skipped[f"no file, e.g. {audio}"].append(utt)
            elif not answers:
                found.skipped["no answer"].append(utt)
            else:
                found.wavs[utt], found.answers[utt] = path, answers
                if question := str(values["question"] or "").strip():
                    found.text[utt] = question
        if not found.answers:
            raise self.missing(root, f"no question in {table}")
        return found

    def _table(self, root: Path) -> Path:
        kinds = (".tsv", ".csv", ".jsonl")
        tables = sorted(p for p in root.glob("*") if p.suffix in kinds)
        if len(tables) != 1:
            raise self.missing(root, f"{len(tables)} tables")
        return tables[0]

    @staticmethod
    def _rows(table: Path) -> list[dict]:
        with open(table, encoding="utf-8-sig", newline="") as lines:
            if table.suffix == ".jsonl":
                rows = Questions._json_rows(table, lines)
            elif table.suffix == ".tsv":  # quotation marks belong to the questions
                rows = csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
            else:
                rows = csv.DictReader(lines)
            return [{str(k).strip().lower(): v for k, v in r.items()} for r in rows]

    @staticmethod
    def _json_rows(table: Path, lines: Iterable[str]) -> list[dict]:
        rows = []
        for number, line in enumerate(filter(str.strip, lines), 1):
            try:
                rows.append(dict(json.loads(line)))
            except (TypeError, ValueError):
                raise ValueError(f"{table}: line {number} is no JSON object") from None
        return rows

    def _cell(self, table: Path, row: dict, number: int, what: str):
        """Value of a column, whatever the release calls it."""
        for name in self.columns[what]:
            if row.get(name) is not None:
                return row[name]
        if what == "question":
            return None  # it can be transcribed
        names = " or ".join(self.columns[what])
        raise ValueError(f"{table}: line {number} has no {names}")

    def _answers(self, value: str | list[str]) -> list[str]:
        if not isinstance(value, list):
            value = str(value).split(self.separator) if self.separator else [value]
        return [answer.strip() for answer in map(str, value) if answer.strip()]


class LlamaQuestions(Questions):
    """LLaMA-Questions (arXiv 2305.15255): ``llama_questions_300.tsv`` and ``<n>.wav``.

    Its ``Answer`` is one answer, commas included.
    """


class WebQuestions(Questions):
    """Spoken WebQuestions: a cell of ``answers`` holds several, between semicolons."""

    separator = ";"
