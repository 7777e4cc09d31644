"""What other programs left beside a row's recordings: unit accuracy, built-in
transcripts, a judge, bits."""

import math

import numpy as np

from espnet2_taste.evaluate.judge import judge_identity, read_judge
from espnet2_taste.evaluate.scorers.abs_scorer import (
    AbsReader,
    Column,
    Row,
    Statistics,
)
from espnet2_taste.evaluate.word_errors import error_statistics
from espnet2_taste.io.tables import read_json_lines
from espnet2_taste.text.normalise import spaced_words


class UnitAccuracy(AbsReader):
    """``unit_top1``, ``unit_top5`` from ``unit_accuracy.jsonl`` of a row.

    Definition: share of the units of the reference recording that are the decoder's
    most probable one (``top1``) or among its five most probable (``top5``) given all
    units before, counted by ``bin.synthesize`` per utterance. Range 0 to 1; none where
    there is no file (rows that predict no units).
    """

    name = "unit_accuracy"
    columns = tuple(
        Column(
            key,
            label,
            f"share of the original's units that are {meaning}, given all units before",
            group="rate",
            table="reconstruction",
        )
        for key, label, meaning in (
            ("unit_top1", "Unit top-1", "the decoder's most probable one"),
            ("unit_top5", "Unit top-5", "among the decoder's five most probable"),
        )
    )

    def read(self, row: Row, original: Row) -> dict[str, Statistics]:
        path = row.folder / "unit_accuracy.jsonl"
        if not path.is_file():
            return {}
        found = {entry["key"]: entry for _, entry in read_json_lines(path)}
        counts = np.array([entry["count"] for entry in found.values()], float)
        result = {}
        for key in ("top1", "top5"):
            hits = counts * [entry[key] for entry in found.values()]
            sums = np.stack([hits, counts], 1)
            result[f"unit_{key}"] = Statistics("ratio", list(found), sums)
        return result


class BuiltInTranscript(AbsReader):
    """``heard_wer`` from ``heard`` of a row that was made without a transcript.

    Definition: word errors (see :mod:`~espnet2_taste.evaluate.word_errors`) of what
    the tokenizer's own CTC head heard in the original, counted by ``bin.synthesize``'s
    table against the text; both in lower case without punctuation. Of an utterance in
    which it heard nothing all words are deleted. Range >= 0.
    """

    name = "heard"
    columns = (
        Column(
            "heard_wer",
            "Transcript WER",
            "word errors of the built-in transcript of the original, per word",
            better="lower",
            group="intelligibility",
            table="reconstruction",
            counted="words",
        ),
    )

    def read(self, row: Row, original: Row) -> dict[str, Statistics]:
        heard = row.read("heard")
        if not heard:
            return {}
        sides = (
            {utt: spaced_words(text) for utt, text in side.items()}
            for side in (row.expected, heard)
        )
        return {"heard_wer": error_statistics(*sides)[1]["wer"]}


class Judge(AbsReader):
    """``judge``: see :mod:`~espnet2_taste.evaluate.judge`."""

    name = "judge"
    columns = (
        Column(
            "judge",
            "Judge",
            "mean score a language model gave the continuation's text, 1 to 5",
            digits=2,
            group="intelligibility",
            table="continuation",
        ),
    )

    def read(self, row: Row, original: Row) -> dict[str, Statistics]:
        judged = read_judge(row.folder)
        if not judged:
            return {}
        if unclear := sum(map(math.isnan, judged.values())):
            row.failures["(no score of the judge)"] = unclear
        return {"judge": Statistics.mean(judged)}

    def described(self, rows: list[Row]) -> dict[str, str]:
        continued = [row.folder for row in rows if row.table == "continuation"]
        asked = dict.fromkeys(filter(None, map(judge_identity, continued)))
        return {"judge": "; ".join(asked)} if asked else {}


class BitRate(AbsReader):
    """``bitrate``: what a row is made from besides text and speaker.

    Definition: vectors * sum_r log2 K_r over the originals' duration; the text's bits
    are told beside it, in the table of codes, and with it in the paper's layout.
    Unit: bit/s, range >= 0.

    Args:
        sources: row name -> utterance -> bits.
    """

    name = "bitrate"
    columns = (
        Column(
            "bitrate",
            "Bit rate",
            "nominal bits per second of what the row is made from besides text",
            digits=1,
            better="lower",
            unit="bit/s",
            group="rate",
            table="reconstruction",
        ),
    )

    def __init__(self, sources: dict[str, dict[str, float]]):
        self.sources = sources

    def read(self, row: Row, original: Row) -> dict[str, Statistics]:
        bits = self.sources.get(row.name)
        if bits is None:
            return {}
        seconds = original.seconds
        ids = [utt for utt in bits if seconds.get(utt)]
        sums = [[bits[utt], seconds[utt]] for utt in ids]
        return {"bitrate": Statistics("ratio", ids, sums)}
