"""Make a recogniser's transcripts the text of a data directory.

Reads the tables of ``--data_dir`` (of bin.format_wav) and what bin.transcribe wrote of
it; writes a data directory with ``text`` (what the tokenizer reads), ``text_given``
(what the corpus says, which WER is against; where it says nothing, the transcript) and
``utt2lang``, if the recogniser says languages. The audio stays where it is.

What is not fit is dropped, counted by reason and named in ``skipped``; so is the WER of
the transcripts against the given text (``transcripts.json``).
"""

import argparse
import json
import logging
from collections.abc import Iterator
from dataclasses import asdict, fields
from pathlib import Path

from espnet2_taste.asr.transcript import NAMED, SUMMARY, TABLE, Transcript
from espnet2_taste.asr.transcript_filter import TranscriptFilter
from espnet2_taste.bin import command, run
from espnet2_taste.bin.numbers import real
from espnet2_taste.corpora.abs_corpus import Ledger, tidy_text
from espnet2_taste.evaluate.word_errors import WordErrors, word_errors
from espnet2_taste.text.cleaners import TEXT_CLEANERS, text_cleaner
from espnet2_taste.text.normalise import CLEANERS, load_cleaner

MADE = ("text", "text_given", "utt2lang")


def get_parser() -> argparse.ArgumentParser:
    """Command-line options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add, limits = parser.add_argument, TranscriptFilter
    add("--data_dir", type=Path, required=True, help="wav.scp utt2spk ... [text]")
    add("--transcripts", type=Path, required=True, help="folder of bin.transcribe")
    add("--output_dir", type=Path, required=True)
    add(
        "--keep_all",
        action="store_true",
        help="drop nothing but what has no words (test sets)",
    )
    add("--language", default=limits.language, help="drop others, e.g. en")
    longest = {"type": real(0, 1e6), "metavar": "X"}
    add("--max_wer", **longest, help="drop worse ones, 0.5 say; default: any")
    add("--min_logprob", type=real(-1e6, 0), metavar="X", help="default: any")
    for name in ("max_compression_ratio", "min_rate", "max_rate"):
        default = getattr(limits, name)
        what = "bytes per zlib's" if "ratio" in name else "characters per second"
        help_ = f"{what}; default: {default:g}"
        add(f"--{name}", **longest, default=default, help=help_)
    add("--cleaner", default="none", choices=list(TEXT_CLEANERS), help="of the text")
    add(
        "--wer_cleaner",
        default="words",
        choices=list(CLEANERS),
        help="of both texts before words are compared",
    )
    return parser


class Taken:
    """What is taken over of the utterances, one after the other.

    Args:
        args: of :func:`get_parser`.

    Attributes:
        kept, with_given, with_language: counts of utterances.
        skip: what is not kept, by reason.
        errors: words of the transcripts against the given texts.
        compared: transcripts of which the given text is known.
    """

    def __init__(self, args: argparse.Namespace):
        names = [field.name for field in fields(TranscriptFilter)]
        self.limits = TranscriptFilter(**{n: getattr(args, n) for n in names})
        self.keep_all = args.keep_all
        self.clean = text_cleaner(args.cleaner)
        self.words = load_cleaner(args.wer_cleaner)
        self.kept = self.with_given = self.with_language = self.compared = 0
        self.skip, self.errors = Ledger(), WordErrors()

    def __call__(
        self,
        utt: str,
        heard: Transcript,
        given: str,
        is_heard: bool,
        seconds: float | None,
    ) -> dict[str, str] | None:
        """Look at an utterance; its lines of the tables, or None.

        Args:
            utt: its id.
            heard: its transcript, or its given text.
            given: "" if there is none.
            is_heard: whether ``heard`` is the recogniser's.
            seconds: of audio; None: not known.
        """
        reason, text = "", heard.text
        if is_heard:
            reason = self.limits.reason(heard, seconds, self._compare(given, text))
            if self.keep_all and text:
                reason = ""
            text = tidy_text(self.clean(text))
        if not reason and not text:
            reason = "nothing is left of the text by the cleaner"
        if reason:
            self.skip(reason, utt)
            return None
        language = heard.detected or heard.language
        self.kept += 1
        self.with_given += bool(given)
        self.with_language += language is not None
        lines = {"text": text, "text_given": given or text}
        return lines | ({"utt2lang": language} if language else {})

    def _compare(self, given: str, text: str) -> float | None:
        """WER of a transcript; None without words to compare it with."""
        if not given:
            return None
        errors = word_errors(self.words(given), self.words(text))
        self.errors, self.compared = self.errors + errors, self.compared + 1
        return errors.rate if errors.words else None

    @property
    def wer(self) -> float | None:
        """Of all that could be compared."""
        return self.errors.rate if self.errors.words else None


@command(get_parser)
def main(args: argparse.Namespace) -> None:
    from espnet2_taste.io import datadir
    from espnet2_taste.io.atomic import replacing_folder, write_text

    taken = Taken(args)
    with replacing_folder(args.output_dir) as new:
        with open(new / "skipped", "w", encoding="utf-8") as taken.skip.file:
            names = [*datadir.table_names(args.data_dir), *MADE]
            rows = take(args.data_dir, args.transcripts, taken)
            datadir.write_rows(args.data_dir, rows, dict.fromkeys(names), new)
        if not taken.kept:
            dropped = ", ".join(f"{n} {why}" for why, n in taken.skip.counts.items())
            raise ValueError(
                f"{args.data_dir}: no transcript can be used (dropped: {dropped})"
            )
        if not taken.with_given:
            (new / "text_given").unlink()
        if taken.with_language < taken.kept:  # all or none, as of every table
            (new / "utt2lang").unlink()
        summary = summarise(taken, args.transcripts / NAMED, args.wer_cleaner)
        write_text(new / SUMMARY, json.dumps(summary, indent=1) + "\n")
        if rate := _sample_rate(args.data_dir):
            write_text(new / "sample_rate", f"{rate}\n")
    report(args.output_dir, taken)


def take(
    folder: Path, transcripts: Path, taken: Taken
) -> Iterator[tuple[str, dict[str, str]]]:
    """Utterances of a data directory that are kept, with their texts, by id.

    Raises:
        ValueError: an utterance that bin.transcribe did not see.
    """
    from espnet2_taste.io import datadir
    from espnet2_taste.io.sorted_tables import join, read_sorted, sorted_entries

    rate = _sample_rate(folder)
    tables = datadir.open_tables(folder, text=False)
    of_asr = transcripts / "text"
    tables["heard"] = sorted_entries(of_asr, allow_empty=True)
    lines = read_sorted(transcripts / TABLE, field=1)  # {"key": "<id>", ...
    details = ((line["key"], line) for line in (json.loads(x) for *_, x in lines))
    tables["details"] = details
    for utt, row in join(tables):
        if "utt2spk" not in row:
            continue
        if "heard" not in row:
            raise ValueError(f"{of_asr}: {utt} is missing: run bin.transcribe again")
        said, known = row.pop("heard"), row.pop("details", None)
        given = row.pop("text", "")
        given = row.pop("text_given", given)
        details = {k: v for k, v in (known or {}).items() if k != "key"}
        seconds = None
        if rate and "utt2num_samples" in row:
            seconds = int(row["utt2num_samples"]) / rate
        is_heard = known is not None or not said
        heard = Transcript(said, **details)
        if (made := taken(utt, heard, given, is_heard, seconds)) is not None:
            yield utt, row | made


def summarise(taken: Taken, named: Path, cleaner: str) -> dict:
    """What scoring says of the transcripts."""
    by = named.read_text(encoding="utf-8").strip() if named.is_file() else ""
    return {
        "transcribed_by": by,
        "utterances": taken.kept,
        "with_given_text": taken.with_given,
        "compared": taken.compared,
        "wer": taken.wer,
        "word_errors": asdict(taken.errors),
        "cleaner": cleaner,
        "dropped": dict(taken.skip.counts),
    }


def report(folder: Path, taken: Taken) -> None:
    """Log what was dropped, and how good the transcripts are."""
    for line in taken.skip.lines():
        logging.warning("%s: dropped %s", folder, line)
    compared = "no given text to compare transcripts with"
    if taken.wer is not None:
        compared = (
            f"WER of {taken.compared} transcripts against the given text: "
            f"{taken.wer:.1%}"
        )
    logging.info(
        "%s: kept %d utterances, dropped %d; %s",
        folder,
        taken.kept,
        sum(taken.skip.counts.values()),
        compared,
    )


def _sample_rate(folder: Path) -> int | None:
    path = folder / "sample_rate"
    return int(path.read_text()) if path.is_file() else None


if __name__ == "__main__":
    run(main)
