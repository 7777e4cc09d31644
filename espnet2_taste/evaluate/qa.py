"""Spoken question answering: is an answer in what was generated?

``accuracy``: share of questions whose generated words contain the words of one of the
answers, side by side and in order; 0 to 1. Words are compared after: lower case,
accents dropped, punctuation as white space, the articles a, an and the passed over
(not as the end of an answer or the A of a name: "Vitamin A", "A-Team"), numbers in
words written in digits ("twenty-four" -> 24), "3,000" without its comma. Years said
in two halves and digits before "million" stay two numbers. A question without
generated words is answered wrongly.

Evaluations of LLaMA-Questions and WebQuestions agree on containment and differ in
detail: UltraEval-Audio looks for the words as here, with neither numbers nor articles
changed (D. Chen et al. 2017, DrQA); VITA-Audio's looks for each of an answer's words
anywhere in the text and takes numbers in words or in digits; the articles are SQuAD's
(P. Rajpurkar et al. 2016). Some ask a language model instead.
"""

import logging
import re
import unicodedata
from pathlib import Path

from espnet2_taste.evaluate.column import Column
from espnet2_taste.evaluate.rows import Row
from espnet2_taste.evaluate.statistics import Statistics
from espnet2_taste.evaluate.testsets.files import read_answers
from espnet2_taste.io.tables import read_table
from espnet2_taste.text.normalise import normalise_words

COLUMNS = (
    Column(
        "accuracy",
        "Accuracy",
        "share of questions whose generated text contains an answer, 0 to 1",
    ),
    Column(
        "coverage", "Answered", "share of questions after which anything was generated"
    ),
)
ARTICLES = {"a", "an", "the"}
#: Scripts whose marks answers are compared without.
_ACCENTED = {"LATIN", "GREEK", "CYRILLIC", "ARABIC", "HEBREW"}
NOTHING = "nothing generated"
_GROUPS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")  # commas inside a number
_SMALL = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen "
    "fourteen fifteen sixteen seventeen eighteen nineteen"
).split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
NUMBERS = {word: i for i, word in enumerate(_SMALL)}
NUMBERS |= {word: 10 * i for i, word in enumerate(_TENS, 2)}
SCALES = {"hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9}
SCALES |= {f"{word}s": value for word, value in SCALES.items()}


def write_numbers(words: list[str]) -> list[str]:
    """Numbers in words -> in digits.

    >>> write_numbers("one hundred and ninety three men of six".split())
    ['193', 'men', 'of', '6']
    """
    written, run = [], []
    for word in [*words, ""]:
        inner_and = word == "and" and run and run[-1] in SCALES
        if word in NUMBERS or word in SCALES or inner_and:
            run.append(word)
            continue
        said_and = run[-1:] == ["and"]  # of what follows the number
        written += _digits(run) + ["and"] * said_and
        written.append(word)
        run = []
    return written[:-1]


def _digits(run: list[str]) -> list[str]:
    """A run of number words -> its numbers: "twenty four seven" -> 24, 7."""
    numbers, total, part, last = [], 0, 0, None
    for word in run:
        if word in SCALES:
            last = SCALES[word]
            if last == 100:
                part = (part or 1) * last
            else:
                total, part = total + (part or 1) * last, 0
        elif word in NUMBERS:
            value = NUMBERS[word]
            goes_on = last is None or last >= 100 or (last >= 20 and 0 < value < 10)
            if not goes_on:
                numbers.append(total + part)
                total = part = 0
            part, last = part + value, value
    return [*map(str, numbers), str(total + part)] if run else []


def answer_words(text: str) -> list[str]:
    """The words of an answer that a text must have.

    >>> answer_words("The Beyonc\u00e9 of twenty-four!"), answer_words("Vitamin A")
    (['beyonce', 'of', '24'], ['vitamin', 'a'])
    """
    chunks = text.split()
    kept = [
        chunk
        for i, chunk in enumerate(chunks)
        if chunk.strip("\"'").lower() not in ARTICLES
        or 0 < i
        and (chunk.strip("\"'") == "A" or i == len(chunks) - 1)
    ]
    return text_words(" ".join(kept or chunks))


def text_words(text: str) -> list[str]:
    """All words of a text, as answers are compared."""
    words = normalise_words(_GROUPS.sub("", drop_accents(text)))
    return write_numbers(words)


def drop_accents(text: str) -> str:
    """Without the marks that one may leave out; vowels of Hindi or Thai stay."""
    kept, script = [], ""
    for character in unicodedata.normalize("NFKD", text):
        if not unicodedata.combining(character):
            script = unicodedata.name(character, "").partition(" ")[0]
        if not unicodedata.combining(character) or script not in _ACCENTED:
            kept.append(character)
    return unicodedata.normalize("NFC", "".join(kept))


def contains(text: str, answer: str) -> bool:
    """Whether the words of ``answer`` occur in ``text``, but for articles side by
    side."""
    wanted, words = answer_words(answer), text_words(text)
    places = range(len(words) if wanted else 0)
    return any(_goes_on(words[place:], wanted) for place in places)


def _goes_on(words: list[str], wanted: list[str]) -> bool:
    """Whether words begin with those wanted; articles among them are passed over."""
    left = iter(words)
    for index, word in enumerate(wanted):
        for found in left:
            if found == word:
                break
            if index == 0 or found not in ARTICLES:
                return False
        else:
            return False
    return True


def score_qa(name: str, folder: Path) -> list[Row]:
    """Accuracy of generated answers.

    Args:
        name: of the set: the row's.
        folder: with ``answers.jsonl`` (bin.prepare_testset) and ``text``: question ->
            generated words (bin.taslm_generate --whole_prompts).

    Raises:
        FileNotFoundError, ValueError: a file is missing or malformed, or has none of
            the questions; the message names it.
    """
    folder = Path(folder)
    answers = read_answers(folder / "answers.jsonl")
    if not (folder / "text").is_file():
        raise FileNotFoundError(f"no file {folder}/text: see bin.taslm_generate")
    text = read_table(folder / "text", allow_empty=True)
    if not answers.keys() & text.keys():
        raise ValueError(
            f"{folder}/text has no question of {folder}/answers.jsonl, e.g. not "
            f"{next(iter(answers))}"
        )
    row, right, said = Row(name, "", folder), {}, {}
    for key, some in answers.items():
        said[key] = bool(text.get(key))
        right[key] = any(contains(text.get(key, ""), answer) for answer in some)
        failure = "" if said[key] else NOTHING
        texts = {"text": " | ".join(some), "recognised": text.get(key, "")}
        row.lines[key] = {"failure": failure} | texts
    silent = len(said) - sum(said.values())
    if silent:
        logging.warning("%s: %s for %d of %d", name, NOTHING, silent, len(said))
    row.statistics = {
        "accuracy": Statistics.mean(right),
        "coverage": Statistics.mean(said),
    }
    row.failures = {NOTHING: silent} if silent else {}
    return [row]
