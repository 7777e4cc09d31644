"""Word and character errors as sclite counts them; files in ESPnet's layout."""

import logging
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from espnet2_taste.evaluate.edit_counts import edit_counts
from espnet2_taste.evaluate.statistics import Statistics
from espnet2_taste.io.atomic import write_text
from espnet2_taste.text.normalise import unspaced_part

SPACE = "<space>"  # between the words of a text that is split into characters
_DEBIAN_SCTK = "/usr/lib/sctk/bin"


@dataclass(frozen=True)
class WordErrors:
    """Error counts over a set. Unit: words, and sentences for the first two.

    ``rate`` = (substituted + deleted + inserted) / words of the reference: >= 0, can
    exceed 1; nan without reference words. Alignment: see ``alignment``.
    """

    sentences: int = 0
    sentence_errors: int = 0
    words: int = 0
    substituted: int = 0
    deleted: int = 0
    inserted: int = 0

    @property
    def errors(self) -> int:
        return self.substituted + self.deleted + self.inserted

    @property
    def rate(self) -> float:
        return self.errors / self.words if self.words else float("nan")

    def __add__(self, other: "WordErrors") -> "WordErrors":
        mine, theirs = vars(self), vars(other)
        return WordErrors(**{name: mine[name] + theirs[name] for name in mine})


def word_errors(reference: list[str], hypothesis: list[str]) -> WordErrors:
    """Counts for one utterance; an empty reference counts all words as inserted."""
    counts = edit_counts(reference, hypothesis)
    return WordErrors(1, int(any(counts)), len(reference), *counts)


def characters(words: list[str]) -> list[str]:
    """Characters of a text, ``SPACE`` between its words, as ESPnet scores them; none
    beside words of scripts without spaces."""
    found: list[str] = []
    alone = True  # is the word before one of those?
    for word in words:
        before, alone = alone, bool(unspaced_part(word))
        found += [SPACE] * (bool(found) and not before and not alone)
        found += word
    return found


def error_statistics(
    references: dict[str, list[str]], hypotheses: dict[str, list[str]]
) -> tuple[WordErrors, dict[str, Statistics], dict[str, WordErrors]]:
    """Word errors of a set; ``wer`` and ``cer`` per utterance; and each one's errors.

    Definition of both: (substituted + deleted + inserted) / tokens of the reference,
    tokens being words or characters (spaces between words included); the sums over
    all utterances are divided. Unit: none, range >= 0, nan without reference tokens. A
    missing hypothesis counts all tokens as deleted.
    """
    words, letters = {}, {}
    for utt, reference in references.items():
        hypothesis = hypotheses.get(utt, [])
        words[utt] = word_errors(reference, hypothesis)
        letters[utt] = word_errors(characters(reference), characters(hypothesis))
    statistics = {
        key: Statistics("ratio", list(e), [[c.errors, c.words] for c in e.values()])
        for key, e in (("wer", words), ("cer", letters))
    }
    return sum(words.values(), WordErrors()), statistics, words


def write_wer_files(
    folder: Path,
    references: dict[str, list[str]],
    hypotheses: dict[str, list[str]],
    utt2spk: dict[str, str],
) -> None:
    """Write ``ref.trn``, ``hyp.trn`` and ``result.txt`` as ESPnet's stage does.

    ``result.txt`` is sclite's when sclite is installed, else the same Sum/Avg row from
    our counts, which are the same; a disagreement would be logged.
    """
    folder.mkdir(parents=True, exist_ok=True)
    total = WordErrors()
    lines: dict[str, list[str]] = {"ref.trn": [], "hyp.trn": []}
    for utt, reference in references.items():
        hypothesis = hypotheses.get(utt, [])
        total += word_errors(reference, hypothesis)
        tag = f"({utt2spk[utt]}-{utt})"
        lines["ref.trn"].append(" ".join(reference) + f"\t{tag}\n")
        lines["hyp.trn"].append(" ".join(hypothesis) + f"\t{tag}\n")
    for name, content in lines.items():
        write_text(folder / name, "".join(content))
    sclite = find_sclite()
    result = _run_sclite(sclite, folder) if sclite else None
    if result is None:
        result = _summary(total, len(set(utt2spk[u] for u in references)))
    elif (counts := sclite_counts(result)) not in (None, total):
        logging.warning("%s: sclite counts %s, we %s", folder, counts, total)
    write_text(folder / "result.txt", result)


def sclite_counts(result: str) -> WordErrors | None:
    """Counts of sclite's ``-o all`` output (its raw table's Sum row), None if absent.

    Columns: sentences, words, correct, sub, del, ins, errors, wrong sentences.
    """
    match = re.search(r"^\s*\|\s*Sum\s*\|([\s\d|]+)\|", result, re.MULTILINE)
    if not match:
        return None
    numbers = [int(n) for n in re.findall(r"\d+", match[1])]
    sentences, words, _, substituted, deleted, inserted, _, wrong = numbers
    return WordErrors(sentences, wrong, words, substituted, deleted, inserted)


def find_sclite() -> str | None:
    """sclite on PATH, or where Debian's sctk keeps it."""
    return shutil.which("sclite") or shutil.which("sclite", path=_DEBIAN_SCTK)


def sclite_identity() -> str:
    """Who counts: sclite, or we as it does."""
    return "sclite" if find_sclite() else "aligned with sclite's weights (4, 3, 3)"


def _run_sclite(sclite: str, folder: Path) -> str | None:
    command = [sclite, "-r", str(folder / "ref.trn"), "trn"]
    command += ["-h", str(folder / "hyp.trn"), "trn", "-i", "rm", "-s"]
    command += ["-o", "all", "stdout"]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    if done.returncode:
        logging.warning("sclite failed in %s: %s", folder, done.stderr.strip()[:200])
        return None
    return done.stdout


def percent(count: int, total: int) -> str:
    """Share with one digit; of nothing, none."""
    return f"{100 * count / total:.1f}" if total else "n/a"


def _summary(total: WordErrors, speakers: int) -> str:
    correct = total.words - total.substituted - total.deleted
    counts = [correct, total.substituted, total.deleted, total.inserted, total.errors]
    shares = [percent(n, total.words) for n in counts]
    shares.append(percent(total.sentence_errors, total.sentences))
    line = " ".join(f"{share:>6}" for share in shares)
    raw = " ".join(f"{n:6d}" for n in counts)
    wrong = total.sentence_errors
    size = f"{total.sentences:5d} {total.words:6d}"
    return (
        "Counted without sclite, which is not installed, as it counts.\n"
        f"|  SPKR ({speakers})  | # Snt  # Wrd |"
        "   Corr    Sub    Del    Ins    Err  S.Err |\n"
        f"| Sum/Avg | {size} | {line} |\n"
        f"| Sum     | {size} | {raw} {wrong:6d} |\n"
    )
