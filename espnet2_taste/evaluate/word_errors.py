"""Word errors as sclite counts them, and the files that ESPnet keeps of them."""

import logging
import shutil
import subprocess
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from espnet2_taste.evaluate.statistics import Statistics
from espnet2_taste.io.atomic import write_text
from espnet2_taste.text.normalise import unspaced_part

ALIGNED = "aligned with sclite's weights (4, 3, 3)"  # sclite installed or not
SPACE = "<space>"  # between the words of a text that is split into characters
_DEBIAN_SCTK = "/usr/lib/sctk/bin"
# sclite: a substitution costs 4, an insertion or deletion 3. The same alignment has
# the largest sum of gains where a match gains 6 and a substitution 2: what they save
# over deleting one token and inserting the other.
_MATCH, _SUBSTITUTION = 6, 2


@dataclass(frozen=True)
class WordErrors:
    """Error counts over a set. Unit: words, and sentences for the first two.

    ``rate`` = (substituted + deleted + inserted) / words of the reference: >= 0, can
    exceed 1; nan without reference words. Alignment: see :func:`align`.
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


def align(
    reference: Sequence[Hashable], hypothesis: Sequence[Hashable]
) -> list[tuple[int | None, int | None]]:
    """Positions that correspond, in order; None on the other side of a gap.

    The alignment sclite chooses. Its weights make it prefer two gaps to a row of
    substitutions, so its counts differ from an unweighted Levenshtein distance now and
    then. Ties are broken as it does, from the end: tokens stay paired, else an
    insertion goes before a deletion.
    """
    ids: dict[Hashable, int] = {}
    ref, hyp = (
        np.array([ids.setdefault(token, len(ids)) for token in text], np.int64)
        for text in (reference, hypothesis)
    )
    pair = np.where(ref[:, None] == hyp, _MATCH, _SUBSTITUTION)
    best = np.zeros((len(ref) + 1, len(hyp) + 1), np.int64)
    for i in range(len(ref)):
        best[i + 1, 1:] = best[i, :-1] + pair[i]
        best[i + 1] = np.maximum.accumulate(np.maximum(best[i + 1], best[i]))
    i, j = len(ref), len(hyp)
    pairs: list[tuple[int | None, int | None]] = []
    while i or j:
        if i and j and best[i, j] == best[i - 1, j - 1] + pair[i - 1, j - 1]:
            i, j = i - 1, j - 1
            pairs.append((i, j))
        elif j and best[i, j] == best[i, j - 1]:
            j -= 1
            pairs.append((None, j))
        else:
            i -= 1
            pairs.append((i, None))
    return pairs[::-1]


def word_errors(reference: list[str], hypothesis: list[str]) -> WordErrors:
    """Counts for one utterance; an empty reference counts all words as inserted."""
    pairs = align(reference, hypothesis)
    deleted = sum(j is None for _, j in pairs)
    inserted = sum(i is None for i, _ in pairs)
    both = [(i, j) for i, j in pairs if None not in (i, j)]
    substituted = sum(reference[i] != hypothesis[j] for i, j in both)
    wrong = int(bool(substituted or deleted or inserted))
    return WordErrors(1, wrong, len(reference), substituted, deleted, inserted)


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
    """Word errors of a set, ``wer`` and ``cer`` per utterance, each one's errors."""
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
    """Write ``ref.trn`` and ``hyp.trn``, and sclite's ``result.txt`` where it is
    installed, as ESPnet's stage does."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, texts in (("ref.trn", references), ("hyp.trn", hypotheses)):
        lines = (
            " ".join(texts.get(utt, [])) + f"\t({utt2spk[utt]}-{utt})\n"
            for utt in references
        )
        write_text(folder / name, "".join(lines))
    (folder / "result.txt").unlink(missing_ok=True)
    if result := _run_sclite(folder):
        write_text(folder / "result.txt", result)


def find_sclite() -> str | None:
    """sclite on PATH, or where Debian's sctk keeps it."""
    return shutil.which("sclite") or shutil.which("sclite", path=_DEBIAN_SCTK)


def _run_sclite(folder: Path) -> str:
    """What it says of the two files; "" without it."""
    sclite = find_sclite()
    if sclite is None:
        return ""
    command = [sclite, "-r", str(folder / "ref.trn"), "trn"]
    command += ["-h", str(folder / "hyp.trn"), "trn", "-i", "rm", "-s"]
    command += ["-o", "all", "stdout"]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    if done.returncode:
        logging.warning("sclite failed in %s: %s", folder, done.stderr.strip()[:200])
    return "" if done.returncode else done.stdout


def error_cells(rows: dict[str, dict]) -> list[list[str]]:
    """ESPnet's WER table: one line per row and seed that a recogniser heard,
    percentages of words."""
    header = ["dataset", "Snt", "Wrd", "Corr", "Sub", "Del", "Ins", "Err", "S.Err"]
    body = []
    for name, row in rows.items():
        for seed, e in zip(row["seeds"], row["errors"], strict=True):
            if e is not None:
                shares = _shares(WordErrors(**e))
                label = f"{name}:{seed}" if seed else name
                body.append([label, str(e["sentences"]), str(e["words"]), *shares])
    return [header, *body]


def _shares(total: WordErrors) -> list[str]:
    """Corr, Sub, Del, Ins, Err and S.Err in percent with one digit; of nothing, n/a."""
    wrong = [total.substituted, total.deleted, total.inserted, total.errors]
    counts = [total.words - total.substituted - total.deleted, *wrong]
    parts = [(count, total.words) for count in counts]
    parts.append((total.sentence_errors, total.sentences))
    return [f"{100 * n / whole:.1f}" if whole else "n/a" for n, whole in parts]
