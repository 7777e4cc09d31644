"""`words`: what a recogniser hears, and its word and character errors."""

import json
import logging
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from espnet2_taste.asr.abs_recogniser import AbsRecogniser
from espnet2_taste.asr.transcript import SUMMARY, Fallback, compression_ratio
from espnet2_taste.evaluate.scorers.abs_scorer import (
    AbsScorer,
    Column,
    Recording,
    Row,
    Statistics,
)
from espnet2_taste.evaluate.scorers.reading import read_all
from espnet2_taste.evaluate.scorers.times import MIN_SAMPLES
from espnet2_taste.evaluate.word_errors import (
    ALIGNED,
    characters,
    error_statistics,
    write_wer_files,
)
from espnet2_taste.io.tables import read_text
from espnet2_taste.text.normalise import CLEANERS, load_cleaner, unspaced_part

ABSURD = 0.5  # WER of the originals above which the recogniser hears something else


OWN_TEXTS = (
    "by the recogniser that also made the reference texts: an upper bound of quality, "
    "for what it mishears twice is no error (another one: --asr)"
)


def transcripts(original: Row) -> dict:
    """``transcripts.json`` of a reference set whose text is a recogniser's; else {}."""
    path = original.folder / SUMMARY
    return json.loads(read_text(path)) if path.is_file() else {}


class WordsScorer(AbsScorer):
    """Recogniser -> ``{"text"}``, or ``{"failure"}`` without readable audio.

    ``wer``, ``cer``: (substituted + deleted + inserted) / tokens of the reference,
    tokens being words or characters (spaces between words included); the sums over all
    utterances are divided. Range >= 0, nan without reference tokens. A missing
    hypothesis counts all tokens as deleted.

    Args:
        recogniser: that hears the recordings.
        cleaner: of ``text.normalise``, of both texts before they are compared; None:
            the recogniser's.
    """

    name = "words"
    columns = (
        Column(
            "wer",
            "WER",
            "word errors of the recogniser per word of the text; 0 or more",
            better="lower",
            group="intelligibility",
            counted="words",
        ),
        Column(
            "cer",
            "CER",
            "character errors of the recogniser per character of the text, spaces "
            "between words included; 0 or more",
            better="lower",
            group="intelligibility",
            counted="characters",
        ),
    )

    def __init__(self, recogniser: AbsRecogniser, cleaner: str | None = None):
        self.recogniser = recogniser
        self.cleaner = cleaner or recogniser.cleaner
        self.on_device, self.rough = recogniser.on_device, recogniser.rough

    @property
    def identity(self) -> str:
        return self.recogniser.identity

    def __call__(self, recordings: list[Recording]) -> list[dict]:
        results, wavs = read_all(recordings)
        heard = {i: wav for i, wav in wavs.items() if len(wav) >= MIN_SAMPLES}
        texts = self.recogniser(list(heard.values())) if heard else []
        for i in wavs:
            results[i] = {"text": ""}
        for i, text in zip(heard, texts, strict=True):
            results[i] = {"text": text}
        return results

    def score(self, row: Row, original: Row) -> dict[str, Statistics]:
        clean, found = load_cleaner(self.cleaner), row.measured.get(self.name, {})
        heard = {utt: clean(entry.get("text", "")) for utt, entry in found.items()}
        words = {utt: clean(text) for utt, text in row.expected.items()}
        if row is original:
            warn_unspaced(row.key, row.expected.values(), words.values())
        total, statistics, errors = error_statistics(words, heard)
        row.errors = asdict(total)
        limit = Fallback.compression_ratio_threshold
        said = [found[utt] for utt in words if utt in found]
        if loops := sum(compression_ratio(e.get("text", "")) > limit for e in said):
            row.failures["(recogniser repeats itself)"] = loops
        for utt, line in row.lines.items():
            one = errors[utt]
            counts = one.words, one.substituted, one.deleted, one.inserted
            line |= dict(zip(("words", "sub", "del", "ins"), counts, strict=True))
            line["text"] = " ".join(words[utt])
            line["recognised"] = " ".join(heard.get(utt, []))
        if row is original and total.rate > ABSURD:
            utt = next(utt for utt, one in errors.items() if one.errors)
            said, hears = " ".join(words[utt]), " ".join(heard.get(utt, []))
            self.warning = (
                f"WER of the originals is {100 * total.rate:.0f} %: the recogniser or "
                f"its cleaner ({self.cleaner}) does not suit this corpus, and other "
                f"rows' WERs mean nothing; e.g. '{said}' is heard as '{hears}'"
            )
            logging.warning("%s", self.warning)
        return statistics

    def upper_bounds(self, original: Row, conditioned_by: str) -> dict[str, str]:
        """Of texts that are all given, other errors than its own are counted."""
        same = transcripts(original).get("transcribed_by") == self.identity
        own = same and not original.texts.keys() <= original.given.keys()
        return dict.fromkeys(("wer", "cer"), OWN_TEXTS) if own else {}

    def described(self, rows: list[Row]) -> dict[str, str]:
        """How its texts are compared; and whose they are, if a recogniser's
        (``transcripts.json`` of the reference set)."""
        cleaner = f"{self.cleaner} ({CLEANERS[self.cleaner]})"
        known = {"cleaner": cleaner, "word errors": ALIGNED}
        original = rows[0]
        if not (made := transcripts(original)):
            return known
        what = "no given text: WER and CER are against these transcripts"
        if original.given:
            clean = load_cleaner(self.cleaner)
            sides = [
                {utt: clean(text) for utt, text in side.items()}
                for side in (original.given, original.texts)
            ]
            total = error_statistics(*sides)[0]
            what = f"WER {total.rate:.1%} against the given text, as all rows' WER is"
            if (lack := made["utterances"] - made["with_given_text"]) > 0:
                what += f"; {lack} have no given text and are compared with themselves"
        if dropped := sum(made["dropped"].values()):
            what += f"; {dropped} utterances left out"
        return known | {"transcripts": f"{made['transcribed_by']}; {what}"}


def warn_unspaced(
    row: str, texts: Iterable[str], words: Iterable[Iterable[str]]
) -> None:
    """Say how texts in a script without spaces are compared.

    Args:
        row: its name.
        texts: as they are.
        words: those that are compared.
    """
    found = next(filter(None, map(unspaced_part, texts)), "")
    whole = any(len(unspaced_part(word)) > 1 for some in words for word in some)
    how = "compared whole, by this --cleaner: read CER, or give --cleaner words"
    if not whole:
        how = "words by character, so that WER is close to CER"
    if found:
        logging.warning("%s: text without spaces ('%s') is %s", row, found[:10], how)


def write_espnet_files(folder: Path, row: Row) -> None:
    """ESPnet's ``score_{wer,cer}/<row>`` of a row that a recogniser heard."""
    name, sides = row.key.replace(":", "_seed"), []
    for side in ("text", "recognised"):
        sides.append({utt: line[side].split() for utt, line in row.lines.items()})
    write_wer_files(folder / "score_wer" / name, *sides, row.utt2spk)
    letters = [{u: characters(w) for u, w in side.items()} for side in sides]
    write_wer_files(folder / "score_cer" / name, *letters, row.utt2spk)
