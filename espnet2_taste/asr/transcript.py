"""What a recogniser heard, how sure it was, and when it is asked again.

The rules are those of OpenAI's program (Radford et al., "Robust Speech Recognition via
Large-Scale Weak Supervision", 2022, section 4.5): what repeats itself or is improbable
is decoded again at a higher temperature; what is improbable and probably no speech is
silence.
"""

import zlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

#: Where bin.transcribe writes what a recogniser says of its texts, a line each.
TABLE = "transcripts.jsonl"
#: Beside it: the recogniser's identity.
NAMED = "transcribed_by"
#: In a data directory whose text is a recogniser's: whose, and how good it is.
SUMMARY = "transcripts.json"
#: Of the attempts: greedy, then sampled.
TEMPERATURES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


@dataclass(frozen=True)
class Transcript:
    """A text and what the recogniser says of it; None: it does not say.

    Attributes:
        text: "" if nothing was said.
        language: code that it was decoded with.
        detected: most probable language.
        language_prob: probability of ``detected``, 0 to 1.
        avg_logprob: mean log-probability of its tokens, the end's included.
        no_speech_prob: probability that there is no speech, 0 to 1.
        temperature: it was decoded at; 0: greedy.
        compression_ratio: bytes of the text / bytes when zlib has compressed them:
            above 2.4 or so, it repeats itself.
        tokens: of the text.
    """

    text: str
    language: str | None = None
    detected: str | None = None
    language_prob: float | None = None
    avg_logprob: float | None = None
    no_speech_prob: float | None = None
    temperature: float | None = None
    compression_ratio: float = 0.0
    tokens: int = 0

    def details(self) -> dict:
        """All but the text, JSON-ready; what is not known is left out."""
        values = {k: v for k, v in vars(self).items() if k != "text" and v is not None}
        return {
            k: round(v, 4) if isinstance(v, float) else v for k, v in values.items()
        }

    @classmethod
    def of(cls, text: str, **known) -> "Transcript":
        """With single spaces, and the ratio that the text has."""
        text = " ".join(text.split())
        return cls(text, compression_ratio=compression_ratio(text), **known)


def compression_ratio(text: str) -> float:
    """Bytes of a text per byte that zlib makes of it."""
    content = text.encode()
    return len(content) / len(zlib.compress(content))


def join_transcripts(parts: Sequence[Transcript]) -> Transcript:
    """Of the pieces of a recording, in their order: that of the recording.

    Languages are the first piece's, the log-probability is the tokens' mean, the ratio
    and temperature are the highest, and there is no speech where no piece has any.
    """
    if len(parts) == 1:
        return parts[0]
    tokens = sum(part.tokens for part in parts)

    def known(name: str) -> list[float]:
        values = [getattr(part, name) for part in parts]
        return [value for value in values if value is not None]

    average = None
    if known("avg_logprob"):
        weighted = sum((p.avg_logprob or 0.0) * (p.tokens + 1) for p in parts)
        average = weighted / (tokens + len(parts))
    return replace(
        parts[0],
        text=" ".join(filter(None, (part.text for part in parts))),
        avg_logprob=average,
        no_speech_prob=min(known("no_speech_prob"), default=None),
        temperature=max(known("temperature"), default=None),
        compression_ratio=max(part.compression_ratio for part in parts),
        tokens=tokens,
    )


@dataclass(frozen=True)
class Fallback:
    """When a transcript is not believed; the names are OpenAI's.

    Args:
        temperature: of the attempts, in this order; one number: a single attempt.
        compression_ratio_threshold: above it a text repeats itself; None: never.
        logprob_threshold: below it a text is improbable; None: never.
        no_speech_threshold: an improbable text with a higher ``no_speech_prob`` is
            silence; None: never.

    Raises:
        ValueError: no number where one is expected.
    """

    temperature: float | Sequence[float] = TEMPERATURES
    compression_ratio_threshold: float | None = 2.4
    logprob_threshold: float | None = -1.0
    no_speech_threshold: float | None = 0.6

    def __post_init__(self):
        given = self.temperature
        attempts = tuple(given) if isinstance(given, list | tuple) else (given,)
        if not attempts or not all(_is_number(t) and 0 <= t < 100 for t in attempts):
            raise ValueError(f"temperature {given}: expected numbers from 0")
        object.__setattr__(self, "temperature", attempts)
        for name in ("compression_ratio", "logprob", "no_speech"):
            value = getattr(self, f"{name}_threshold")
            if value is not None and not _is_number(value):
                raise ValueError(f"{name}_threshold {value}: expected a number or null")

    def __str__(self) -> str:
        if self.temperature == (0,):
            return "greedy"
        shown = " ".join(f"{t:g}" for t in self.temperature)
        return (
            f"temperatures {shown}, thresholds: compression ratio "
            f"{self.compression_ratio_threshold}, log-probability "
            f"{self.logprob_threshold}, no speech {self.no_speech_threshold}"
        )

    def repeats(self, heard: Transcript) -> bool:
        """Whether it says the same over and over."""
        limit = self.compression_ratio_threshold
        return limit is not None and heard.compression_ratio > limit

    def improbable(self, heard: Transcript) -> bool:
        """Whether its tokens are."""
        limit, value = self.logprob_threshold, heard.avg_logprob
        return limit is not None and value is not None and value < limit

    def silent(self, heard: Transcript) -> bool:
        """Whether it is nothing that was said."""
        limit, value = self.no_speech_threshold, heard.no_speech_prob
        speechless = limit is not None and value is not None and value > limit
        # Without a log-probability to look at, as OpenAI's program: all of these.
        return speechless and (self.logprob_threshold is None or self.improbable(heard))

    def __call__(
        self, count: int, decode: Callable[[list[int], float], list[Transcript]]
    ) -> list[Transcript]:
        """Transcripts of ``count`` recordings, some decoded more than once.

        Args:
            count: N.
            decode: numbers of recordings, and a temperature -> their transcripts.
        """
        heard: dict[int, Transcript] = {}
        left = list(range(count))
        for temperature in self.temperature:
            heard |= zip(left, decode(left, temperature), strict=True)
            left = [i for i in left if self._again(heard[i])]
            if not left:
                break
        quiet = {i: replace(heard[i], text="") for i in heard if self.silent(heard[i])}
        return [quiet.get(i, heard[i]) for i in range(count)]

    def _again(self, heard: Transcript) -> bool:
        improbable = self.improbable(heard)
        if improbable and self.silent(heard):
            return False
        return improbable or self.repeats(heard)


def _is_number(value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def find_language(name: str | bool | None, known: Collection[str]) -> str:
    """Code of a language given by code or English name; "" stays.

    Args:
        name: e.g. en, english, EN.
        known: codes that the model knows; none: English alone.

    Raises:
        ValueError: no such language.
    """
    if name is False:  # as YAML reads "no": Norwegian
        name = "no"
    if not name:
        return ""
    from transformers.models.whisper.tokenization_whisper import TO_LANGUAGE_CODE

    code = TO_LANGUAGE_CODE.get(str(name).lower(), str(name).lower())
    if code not in (known or ("en",)):
        some = ", ".join(sorted(known)) or "en"
        raise ValueError(f"no language '{name}'; this model knows {some}")
    return code
