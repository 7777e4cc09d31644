"""The mini corpus's sentences: what may be said, and the same as a JSGF grammar."""

import random

WORDS = {
    "time": "yesterday today tonight again",
    "name": "robert susan david laura peter mary",
    "det": "the my our every",
    "adj": "big little old young happy quiet clever famous friendly lonely",
    "person": "teacher doctor farmer driver sailor painter lady soldier student "
    "neighbor",
    "adv": "slowly quickly quietly suddenly always never",
    "verb": "found carried painted followed watched cleaned opened borrowed noticed "
    "bought sold forgot",
    "colour": "red green yellow purple silver golden",
    "object": "table window garden letter apple basket bottle camera hammer ladder "
    "picture pencil umbrella wagon",
    "prep": "near behind under beside",
    "place": "house station market bridge school office church forest hotel harbor",
}
WORDS = {name: words.split() for name, words in WORDS.items()}

# A sentence is a sequence of (symbol, probability that it is said). A tuple of
# sequences is a choice between them.
SUBJECT = ((("name", 1.0),), (("det", 1.0), ("adj", 0.6), ("person", 1.0)))
SENTENCE = (
    ("time", 0.2),
    (SUBJECT, 1.0),
    ("adv", 0.35),
    ("verb", 1.0),
    ("det", 1.0),
    ("colour", 0.45),
    ("object", 1.0),
    ((("prep", 1.0), ("det", 1.0), ("place", 1.0)), 0.5),
)


def draw(rng: random.Random, symbol=SENTENCE) -> list[str]:
    """One random expansion of ``symbol`` as a list of words."""
    if isinstance(symbol, str):
        return [rng.choice(WORDS[symbol])]
    if is_choice(symbol):
        return draw(rng, rng.choice(symbol))
    words = []
    for part, probability in symbol:
        if rng.random() < probability:
            words += draw(rng, part)
    return words


def draw_sentences(seed: int, count: int) -> list[str]:
    """``count`` different sentences; a longer draw starts with the shorter one."""
    rng = random.Random(f"sentences {seed}")
    sentences = {}
    while len(sentences) < count:
        sentences.setdefault(" ".join(draw(rng)))
    return list(sentences)


def is_choice(symbol) -> bool:
    """Whether ``symbol`` is a tuple of alternative sequences."""
    return isinstance(symbol[0][0], tuple) and isinstance(symbol[0][0][0], str)


def expand(symbol) -> str:
    """``symbol`` as a JSGF expansion."""
    if isinstance(symbol, str):
        return f"<{symbol}>"
    if is_choice(symbol):
        return "( " + " | ".join(expand(option) for option in symbol) + " )"
    parts = []
    for part, probability in symbol:
        text = expand(part)
        parts.append(f"[ {text} ]" if probability < 1 else text)
    return " ".join(parts)


def endings(symbol) -> list[str]:
    """Every way to start in the middle of ``symbol``, as JSGF sequences."""
    if isinstance(symbol, str):
        return [f"<{symbol}>"]
    if is_choice(symbol):
        return [ending for option in symbol for ending in endings(option)]
    found = []
    for i, (part, _) in enumerate(symbol):
        rest = expand(symbol[i + 1 :]) if i + 1 < len(symbol) else ""
        found += [f"{ending} {rest}".strip() for ending in endings(part)]
    return found


def jsgf(expansions: list[str]) -> str:
    """A recogniser's grammar of these sequences (not a word loop)."""
    rules = [f"<{name}> = {' | '.join(words)};" for name, words in WORDS.items()]
    public = f"public <said> = {' | '.join(expansions)};"
    return "\n".join(["#JSGF V1.0;", "grammar mini;", public, *rules, ""])
