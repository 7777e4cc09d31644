"""How a continuation is drawn and where it stops, checked."""

import math
import sys
from dataclasses import dataclass, fields, replace
from numbers import Integral, Real

_ABOVE_0 = sys.float_info.min
#: option -> its type, lowest and highest value
_RANGES = {
    "text_top_p": (Real, 0, 1),
    "text_temperature": (Real, _ABOVE_0, sys.float_info.max),
    "repetition_penalty": (Real, _ABOVE_0, sys.float_info.max),
    "taste_top_p": (Real, 0, 1),
    "taste_temperature": (Real, _ABOVE_0, sys.float_info.max),
    "max_words": (Integral, 1, math.inf),
    "min_words": (Integral, 0, math.inf),
    "max_tokens": (Integral, 1, math.inf),
    "min_tokens": (Integral, 0, math.inf),
    "extra_words": (Integral, 1, math.inf),
    "stop_id": (Integral, 0, math.inf),
    "max_tokens_per_word": (Integral, 1, math.inf),
    "seed": (Integral, -math.inf, math.inf),
}
_OPTIONAL = ("max_words", "max_tokens", "extra_words", "stop_id")


@dataclass
class SamplingOptions:
    """How a continuation is drawn and where it stops.

    Attributes:
        text_top_p: nucleus of the text tokens; 0 is greedy.
        text_temperature: divides text logits inside the nucleus.
        repetition_penalty: on every token read or written so far (1 = off).
        taste_top_p: nucleus of the speech head; 0 is the most likely.
        taste_temperature: of the speech head.
        max_words: stop before this many words are exceeded.
        min_words: the end symbol is not allowed earlier.
        max_tokens: stop after this many tokens, in the middle of a word if need be,
            but not of a character; the last token's codes are predicted from its own
            position, as after an end symbol.
        min_tokens: the end symbol is not allowed earlier.
        banned_ids: tokens that are never written.
        closing: what follows a text (a chat template's end of a turn): the first of
            these tokens ends it, as ``stop_id`` does, and they are read after the end,
            in place of padding, while codes are still due (a ``delay`` above 1).
        extra_words: the reference's rule instead: stop at a token with a full stop
            once this many words are complete, or after three times as many.
        end_symbol: whether the LM's ``eos_id`` ends the text (it must be trained).
        stop_id: a further token that ends the text and is not part of it.
        first_starts_word: the first token must begin a word.
        max_tokens_per_word: a word this long ends; bounds the number of steps. The
            bytes of one character count once.
        seed: of the random streams.
    """

    text_top_p: float = 0.0
    text_temperature: float = 1.0
    repetition_penalty: float = 1.0
    taste_top_p: float = 0.0
    taste_temperature: float = 1.0
    max_words: int | None = None
    min_words: int = 0
    max_tokens: int | None = None
    min_tokens: int = 0
    banned_ids: tuple[int, ...] | list[int] = ()
    closing: tuple[int, ...] | list[int] = ()
    extra_words: int | None = None
    end_symbol: bool = True
    stop_id: int | None = None
    first_starts_word: bool = True
    max_tokens_per_word: int = 16
    seed: int = 0

    def __post_init__(self):
        if self.max_tokens is None and not self.limits:
            raise ValueError("generation needs max_words, max_tokens or extra_words")
        for name in ("banned_ids", "closing"):
            for index in getattr(self, name):
                whole = isinstance(index, Integral) and not isinstance(index, bool)
                if not whole or index < 0:
                    raise ValueError(f"{name} {index!r}: expected whole numbers from 0")
        for name, (kind, low, high) in _RANGES.items():
            value = getattr(self, name)
            if value is None and name in _OPTIONAL:
                continue
            number = isinstance(value, kind) and not isinstance(value, bool)
            if not (number and low <= value <= high):  # NaN is not
                what = "a whole number" if kind is Integral else "a number"
                top = "" if high > 1 else f" to {high:g}"
                least = " above 0" if low == _ABOVE_0 else f" from {low:g}"
                least = "" if low == -math.inf else least
                raise ValueError(f"{name} {value!r}: expected {what}{least}{top}")
        tokens = [] if self.max_tokens is None else [self.max_tokens]
        for name, limits in (("min_words", self.limits), ("min_tokens", [])):
            least, most = getattr(self, name), min(limits + tokens, default=math.inf)
            if least > most:
                raise ValueError(f"{name} {least}: the text ends after {most}")

    @classmethod
    def of(cls, base: "SamplingOptions | None" = None, **options) -> "SamplingOptions":
        """Options, those of ``base`` where none are given.

        Raises:
            ValueError: an unknown one, or a value that makes no sense.
        """
        known = [field.name for field in fields(cls)]
        if unknown := options.keys() - set(known):
            raise ValueError(
                f"unknown sampling option {min(unknown)}; known: {', '.join(known)}"
            )
        return cls(**options) if base is None else replace(base, **options)

    @property
    def limits(self) -> list[int]:
        """Most words by ``max_words`` and by ``extra_words``, where given."""
        extra = self.extra_words
        both = self.max_words, 3 * extra + 1 if extra is not None else None
        return [limit for limit in both if limit is not None]

    @property
    def ids(self) -> dict[str, list[int]]:
        """Options that name tokens -> the tokens."""
        stops = [] if self.stop_id is None else [self.stop_id]
        stops += self.closing[:1]
        lists = {name: list(getattr(self, name)) for name in ("banned_ids", "closing")}
        return {"stop_id": stops} | lists

    @property
    def max_steps(self) -> int:
        """Steps within which a continuation ends, however the LM behaves."""
        steps = [(words + 1) * self.max_tokens_per_word for words in self.limits]
        if self.max_tokens is not None:
            steps.append(self.max_tokens + 1)
        return min(steps)
