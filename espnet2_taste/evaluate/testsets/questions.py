"""Spoken questions with their answers: LLaMA-Questions and WebQuestions."""

import csv
from collections.abc import Iterator
from pathlib import Path

from espnet2_taste.evaluate.testsets.abs_layout import AbsLayout, TestSet
from espnet2_taste.io.tables import read_json_lines, read_records


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
        for number, row in self._rows(table):
            values = {k: self._cell(table, row, number, k) for k in self.columns}
            audio = Path(str(values["audio"]))
            folders = (table.parent, table.parent / "audios", table.parent / "audio")
            path = next((f / audio for f in folders if (f / audio).is_file()), None)
            utt = audio.with_suffix("").as_posix()
            answers = self._answers(values["answers"])
            if utt in found.wavs:
                raise ValueError(f"{table}:{number}: {audio} appears twice")
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
    def _rows(table: Path) -> Iterator[tuple[int, dict]]:
        """Line number and lower-case columns of each question."""
        if table.suffix == ".jsonl":
            rows = read_json_lines(table)
        elif table.suffix == ".tsv":  # quotation marks belong to the questions
            rows = read_records(table, delimiter="\t", quoting=csv.QUOTE_NONE)
        else:
            rows = read_records(table)
        for number, row in rows:
            yield number, {k.strip().lower(): value for k, value in row.items()}

    def _cell(self, table: Path, row: dict, number: int, what: str):
        """Value of a column, whatever the release calls it."""
        for name in self.columns[what]:
            if row.get(name) or name in row and what != "audio":
                return row[name]
        if what == "question":
            return None  # it can be transcribed
        names = " or ".join(self.columns[what])
        raise ValueError(f"{table}:{number}: no {names}")

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
