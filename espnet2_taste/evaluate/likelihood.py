"""Does a spoken language model find the right one of two recordings likelier?

SALMON, StoryCloze, sWUGGY, sBLIMP: see ``testsets``. A pair's result is 1 if its
positive has the higher log-likelihood, 0.5 for a tie, else 0; a set's accuracy is the
mean over items, an item's result the mean over its pairs (ZeroSpeech 2021's
definition, where an item is said by several voices; elsewhere an item is a pair).
Range 0 to 1, chance 0.5. Log-likelihoods, all of the whole utterance:

- ``accuracy``: -(mean text CE + sum over codebooks of mean code CE), each stream
  divided by its length (``score`` of bin.taslm_likelihood);
- ``accuracy_sum``: log p(text, codes) (``score_sum``);
- ``accuracy_text``: -(mean text CE), given all text and codes before each token;
- ``accuracy_codes``: -(sum over codebooks of mean code CE), given all before.

A pair of which a side has no score (an empty transcript, unusable audio, not a number)
cannot be decided: a tie, so that systems are compared on the same pairs. ``coverage``
is the share of pairs that could.
"""

import logging
import math
from collections import Counter, defaultdict
from pathlib import Path

from espnet2_taste.evaluate.column import Column
from espnet2_taste.evaluate.rows import Row
from espnet2_taste.evaluate.statistics import Statistics
from espnet2_taste.evaluate.testsets.files import Pair, read_pairs
from espnet2_taste.io.tables import read_json_lines

#: Scores closer than this part of their size are equal: float32 sums, whose rounding
#: depends on what else is in the batch.
TIE = 1e-5
#: metric -> log-likelihood of a line of likelihoods.jsonl
METRICS = {
    Column(
        "accuracy",
        "Accuracy",
        "share of pairs whose right member is more likely, each stream's "
        "log-likelihood per token; ties count half; 0 to 1, chance 0.5",
        chance=0.5,
    ): lambda row: row["score"],
    Column(
        "accuracy_sum",
        "Accuracy, summed",
        "share of pairs whose right member is more likely, log-likelihoods summed over "
        "tokens; ties count half; 0 to 1, chance 0.5",
        chance=0.5,
    ): lambda row: row["score_sum"],
    Column(
        "accuracy_text",
        "Text only",
        "share of pairs of whose right member the text is more likely, per token; ties "
        "count half; 0 to 1, chance 0.5",
        chance=0.5,
    ): lambda row: -row["text_ce"],
    Column(
        "accuracy_codes",
        "Codes only",
        "share of pairs of whose right member the codes are more likely, per word; "
        "ties count half; 0 to 1, chance 0.5",
        chance=0.5,
    ): lambda row: -row["taste_ce"],
}
LIKELIHOODS = {column.key: get for column, get in METRICS.items()}
COLUMNS = (
    *METRICS,
    Column(
        "coverage",
        "Coverage",
        "share of pairs of which both sides have a score; the others are ties",
    ),
)
NO_SCORE = "no score, counted as a tie"
NOT_FINITE = "score is not a number, counted as a tie"


def outcome(positive: float, negative: float) -> float:
    """1 if ``positive`` is larger, 0.5 if equal up to rounding, else 0."""
    if math.isclose(positive, negative, rel_tol=TIE):
        return 0.5
    return float(positive > negative)


def score_pair(pair: Pair, scores: dict[str, dict[str, float]]) -> tuple[dict, str]:
    """Results of a pair, and why it could not be decided ("": it could).

    Args:
        pair: of the test set.
        scores: utterance -> metric -> log-likelihood.
    """
    undecided = dict.fromkeys(LIKELIHOODS, 0.5)
    if pair.positive not in scores or pair.negative not in scores:
        return undecided, NO_SCORE
    sides = scores[pair.positive], scores[pair.negative]
    if not all(math.isfinite(value) for side in sides for value in side.values()):
        return undecided, NOT_FINITE
    return {key: outcome(sides[0][key], sides[1][key]) for key in LIKELIHOODS}, ""


def score_likelihood(name: str, folder: Path) -> list[Row]:
    """Accuracies of a test set, and of each of its tasks if it has several.

    Args:
        name: of the set: the row's; a task's row is ``name/task``.
        folder: with ``pairs`` (bin.prepare_testset) and ``likelihoods.jsonl``
            (bin.taslm_likelihood), which may hold other utterances, too.

    Raises:
        FileNotFoundError, ValueError: a file is missing or malformed, or no pair has
            both scores; the message names it.
    """
    pairs = read_pairs(folder / "pairs")
    scores = read_scores(folder / "likelihoods.jsonl")
    results = {pair.name: score_pair(pair, scores) for pair in pairs}
    if all(why == NO_SCORE for _, why in results.values()):
        raise ValueError(
            f"{folder}/likelihoods.jsonl has no pair of {folder}/pairs, e.g. not "
            f"{pairs[0].positive} and {pairs[0].negative}"
        )
    tasks = defaultdict(list)
    for pair in pairs:
        tasks[f"{name}/{pair.task}"].append(pair)
    groups = {name: pairs} | (dict(sorted(tasks.items())) if len(tasks) > 1 else {})
    rows = [_row(Row(key, "", folder), some, results) for key, some in groups.items()]
    for row in rows[1:]:
        row.lines = {}  # the set's row has them
    for reason, count in rows[0].failures.items():
        logging.warning("%s: %d of %d pairs: %s", name, count, len(pairs), reason)
    return rows


def _row(row: Row, pairs: list[Pair], results: dict[str, tuple[dict, str]]) -> Row:
    """Fill in the scores of these pairs."""
    failures = Counter(why for pair in pairs if (why := results[pair.name][1]))
    items = defaultdict(list)
    for pair in pairs:
        values, why = results[pair.name]
        items[pair.item].append(values | {"coverage": float(not why)})
        sides = {"positive": pair.positive, "negative": pair.negative}
        row.lines[pair.name] = {"failure": why} | sides
    for key in (*LIKELIHOODS, "coverage"):
        means = {
            item: sum(values[key] for values in some) / len(some)
            for item, some in items.items()
        }
        row.statistics[key] = Statistics.mean(means)
    row.failures = dict(failures)
    return row


def read_scores(path: Path) -> dict[str, dict[str, float]]:
    """``likelihoods.jsonl`` -> utterance -> metric of ``LIKELIHOODS`` -> value.

    Raises:
        FileNotFoundError: no such file.
        ValueError: malformed, or an utterance twice; the message names the line.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}: see bin.taslm_likelihood")
    scores: dict[str, dict[str, float]] = {}
    for number, row in read_json_lines(path):
        try:
            key = row["key"]
            values = {name: float(get(row)) for name, get in LIKELIHOODS.items()}
        except (ValueError, KeyError, TypeError):
            raise ValueError(
                f"{path}:{number}: expected a line of bin.taslm_likelihood with key, "
                "score, score_sum, text_ce and taste_ce"
            ) from None
        if key in scores:
            raise ValueError(f"{path}:{number}: utterance {key} appears twice")
        scores[key] = values
    return scores
