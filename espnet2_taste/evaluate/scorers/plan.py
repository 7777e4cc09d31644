"""What is to be scored: rows, what their recordings say, and what measures them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from espnet2_taste.evaluate.scorers.abs_meter import Recording
from espnet2_taste.evaluate.scorers.instruments import Choice
from espnet2_taste.evaluate.scorers.measure import Job
from espnet2_taste.evaluate.scorers.rows import (
    REFERENCE_ROW,
    Row,
    parse_rows,
    row_recordings,
)
from espnet2_taste.io.tables import read_lines, read_table, split_fields


@dataclass(frozen=True)
class Plan:
    """Rows and instruments of a scoring.

    Attributes:
        rows: of the reconstruction table, the originals first.
        continuations: of the continuation table.
        utterances: of the reference set, in its order.
        texts: row key -> utt -> what a recording of it says or should say.
        recordings: row key -> those it has.
        prompts: continuation's row key -> utt -> its prompt.
        utt2spk: speaker of each utterance; without the file each is its own.
        choices: row key -> what measures it.
    """

    rows: list[Row]
    continuations: list[Row]
    utterances: list[str]
    texts: dict[str, dict[str, str]]
    recordings: dict[str, list[Recording]]
    prompts: dict[str, dict[str, str]]
    utt2spk: dict[str, str]
    choices: dict[str, list[Choice]]

    @classmethod
    def read(
        cls,
        ref_dir: Path,
        rows: list[str],
        continuation_rows: list[str],
        choose: Callable[[Row, bool], list[Choice]],
    ) -> "Plan":
        """Read the tables of all rows.

        Args:
            ref_dir: ``wav.scp``, ``text`` and perhaps ``utt2spk`` of the originals.
            rows, continuation_rows: as on the command line (see ``Row``).
            choose: what measures a row; True for those that say the same as the
                originals.

        Raises:
            ValueError, FileNotFoundError: a table is not as it should be.
        """
        original = Row(REFERENCE_ROW, "", ref_dir)
        text = read_table(ref_dir / "text", allow_empty=True)
        utt2spk = original.read("utt2spk") or {utt: utt for utt in text}
        named = [original, *parse_rows(rows)]
        continuations = parse_rows(continuation_rows)
        if any(row.name == REFERENCE_ROW for row in named[1:] + continuations):
            raise ValueError(f"--rows: '{REFERENCE_ROW}' is the reference itself")
        if {row.name for row in named} & {row.name for row in continuations}:
            raise ValueError("a name is used in both --rows and --continuation_rows")
        unknown = [utt for utt in text if utt not in utt2spk]
        if unknown:
            raise ValueError(f"{ref_dir}/utt2spk: no speaker for {unknown[0]}")
        references = read_table(original.wav_scp, allow_empty=True)
        if not references:
            raise ValueError(f"{ref_dir}/wav.scp holds no utterance")
        texts, recordings, prompts, choices = {}, {}, {}, {}
        for row in named + continuations:
            own = row.read("text")
            texts[row.key] = {utt: own.get(utt, said) for utt, said in text.items()}
            same_words = row in named
            recordings[row.key] = row_recordings(
                row, texts[row.key], references, same_words
            )
            choices[row.key] = choose(row, same_words)
        for row in continuations:
            prompts[row.key] = read_table(row.folder / "prompt_text", allow_empty=True)
        return cls(
            named,
            continuations,
            list(text),
            texts,
            recordings,
            prompts,
            utt2spk,
            choices,
        )

    def jobs(self, key_file: Path | None = None) -> list[Job]:
        """Recordings and instruments, of a shard's utterances only.

        Raises:
            ValueError: the key file names an utterance that the reference set has not.
        """
        wanted = set(self.utterances)
        if key_file is not None:
            keys = {split_fields(line)[0] for _, line in read_lines(key_file)}
            if foreign := sorted(keys - wanted):
                raise ValueError(
                    f"{key_file}: {foreign[0]} is not in the reference set"
                )
            wanted = keys
        return [
            Job(row, choice, [r for r in self.recordings[row] if r.utt in wanted])
            for row, choices in self.choices.items()
            for choice in choices
        ]
