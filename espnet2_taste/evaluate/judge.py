"""A language model as judge of continuations: what is asked, and what its answers say.

``judge``: mean over utterances of a score from 1 (worst) to 5 (best) that a language
model gives the text of a continuation, having read the prompt's. Undefined for an
answer without a score. After the GPT-4o score of Align-SLM (arXiv 2411.01834), of the
kind the paper reports; the wording here is our own, so compare scores of one wording
and one judge only. The judge reads text: how a continuation sounds does not count.
"""

import hashlib
import json
import math
import re
from dataclasses import asdict, dataclass
from pathlib import Path

from espnet2_taste.io.tables import read_json_lines, read_text

SCALE = (1, 5)
TEMPLATE = """\
A speaker began with the words between <prompt> tags. A model then went on with the \
words between <continuation> tags. Both are transcripts of speech: case, punctuation \
and a last word that breaks off do not matter.

<prompt>{prompt}</prompt>
<continuation>{continuation}</continuation>

How good is the continuation? Consider whether it follows from the prompt, makes sense \
and is well-formed language.
1: unrelated, or no language
2: hardly follows, or hardly makes sense
3: follows in part, or with clear faults
4: follows and makes sense, with small faults
5: as a fluent speaker would go on

Give your reason in one sentence. Then write a last line with the score only:
Score: <1 to 5>
"""
_FIELD = re.compile(r"\{(prompt|continuation)\}")
#: Neither a part of another number, a percentage nor "4-5"; and of how many.
_NUMBER = (
    r"(-?\d+(?:[.,]\d+)?)(?![\d%]|[.,]\d|\s*[-\u2013]\s*\d)"
    r"(?:\s*(?:/|(?:out )?of)\s*(\d+))?"
)
_SCORE = re.compile(rf"score\W{{0,6}}?{_NUMBER}", re.IGNORECASE)
_ALONE = re.compile(rf"\W{{0,6}}?{_NUMBER}\W{{0,6}}", re.IGNORECASE)


@dataclass(frozen=True)
class Question:
    """What a judge is asked about an utterance: a line of ``judge_prompts.jsonl``."""

    key: str
    prompt: str
    continuation: str
    message: str

    @property
    def digest(self) -> str:
        """Of the message: an answer belongs to one wording."""
        return hashlib.sha256(self.message.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Answer:
    """What a judge said: a line of ``judge.jsonl``.

    Attributes:
        key: utterance.
        score: 1 to 5; None where ``answer`` holds none.
        answer: in full.
        model: who was asked.
        digest: of the question's message.
    """

    key: str
    score: float | None
    answer: str
    model: str
    digest: str

    def to_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self))


def make_questions(
    prompts: dict[str, str], continuations: dict[str, str], template: str = TEMPLATE
) -> list[Question]:
    """One question per continuation.

    Raises:
        ValueError: the template lacks a field, or a continuation its prompt.
    """
    for name in ("prompt", "continuation"):
        if f"{{{name}}}" not in template:
            raise ValueError(f"the judge's template has no {{{name}}}")
    questions = []
    for key, said in sorted(continuations.items()):
        if key not in prompts:
            raise ValueError(f"prompt_text: {key} is missing")
        fields = {"prompt": prompts[key], "continuation": said}
        message = _FIELD.sub(lambda match, f=fields: f[match[1]], template)
        questions.append(Question(key, prompts[key], said, message))
    return questions


def parse_score(answer: str) -> float | None:
    """The last ``Score: 3`` of an answer, or a last line that is a number; else None.

    >>> parse_score("It follows.\\n**Score:** 4/5"), parse_score("Score: 4 out of 10")
    (4.0, None)
    """
    lines = answer.strip().splitlines() or [""]
    found = list(_SCORE.finditer(answer)) or [_ALONE.fullmatch(lines[-1])]
    if found[-1] is None:
        return None
    number, best = found[-1].groups()
    score = float(number.replace(",", "."))
    in_scale = SCALE[0] <= score <= SCALE[1] and best in (None, str(SCALE[1]))
    return score if in_scale else None


def read_judgements(path: Path) -> dict[str, Answer]:
    """``judge.jsonl`` -> utterance -> answer; a last line that breaks off is dropped.

    Raises:
        ValueError: another malformed line; the message names it.
    """
    answers: dict[str, Answer] = {}
    text = read_text(path) if path.is_file() else ""
    for number, line in enumerate(text.split("\n")[:-1], 1):
        try:
            answer = Answer(**json.loads(line))
        except (ValueError, TypeError):
            raise ValueError(
                f"{path}:{number}: expected a line of bin.judge; remove it"
            ) from None
        answers[answer.key] = answer
    return answers


def current_answers(folder: Path) -> tuple[dict[str, Answer], list[str]]:
    """Answers to what ``judge_prompts.jsonl`` asks now, not to what was said before;
    and the utterances that it asks of. Without that file: all answers."""
    answers = read_judgements(folder / "judge.jsonl")
    path, asked = folder / "judge_prompts.jsonl", {}
    if path.is_file():
        questions = [Question(**line) for _, line in read_json_lines(path)]
        asked = {question.key: question.digest for question in questions}
    if not asked:
        return answers, list(answers)
    return {k: a for k, a in answers.items() if a.digest == asked.get(k)}, list(asked)


def read_judge(folder: Path) -> dict[str, float] | None:
    """Utterance -> score of a continuation's folder; nan: no answer, or none in it.

    None where nobody was asked.
    """
    answers, asked = current_answers(folder)
    known = {key: answer.score for key, answer in answers.items()}
    scores = [
        math.nan if known.get(key) is None else float(known[key]) for key in asked
    ]
    return dict(zip(asked, scores, strict=True)) if answers else None


def judge_identity(folder: Path) -> str:
    """Names of the models whose scores :func:`read_judge` gives."""
    answers, _ = current_answers(folder)
    return ", ".join(sorted({answer.model for answer in answers.values()}))
