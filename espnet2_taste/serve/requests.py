"""What clients may say, checked; what is not named here is refused."""

import base64
import binascii
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    StrictInt,
)


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("is no base64") from None


Seed = Annotated[StrictInt, Field(ge=0, lt=2**63)]
Code = Annotated[StrictInt, Field(ge=0, lt=2**31)]
#: A row of R codes for each word or token.
Codes = Annotated[
    list[Annotated[list[Code], Field(max_length=64)]], Field(max_length=4096)
]
Embedding = Annotated[list[FiniteFloat], Field(max_length=4096)]
Base64 = Annotated[str, AfterValidator(_decoded)]
Format = Literal["wav", "flac", "mp3", "pcm"]


class Request(BaseModel):
    """Fields that are not named are refused."""

    model_config = ConfigDict(extra="forbid")


class TokenizeRequest(Request):
    """Speech, and what is said in it."""

    audio: Base64 = Field(description="a recording's file, any format and rate")
    text: str | None = Field(None, description="None: the model hears for itself")


class Voice(Request):
    """Whose voice it is: one of three; none: nobody's in particular."""

    voice: str | None = Field(None, description="one that GET /v1/voices lists")
    spk_emb: Embedding | None = Field(None, description="speaker embedding")
    reference: Base64 | None = Field(None, description="recording of the voice")


class SynthesizeRequest(Voice):
    """What is said, how, and by whom."""

    text: str
    codes: Codes | None = Field(None, description="TASTE codes; None: text only")
    seed: Seed = 0
    response_format: Format = "wav"


class Opening(Voice):
    """The first message of a stream of speech; pieces follow."""

    seed: Seed = 0


class PieceRequest(Request):
    """The next whole words of a stream; or its end."""

    text: str = ""
    codes: Codes | None = None
    end: bool = False


class Prompt(Request):
    """Text and codes, or speech, whose text the model may hear for itself."""

    text: str | None = None
    codes: Codes | None = None
    audio: Base64 | None = None


class ContinueRequest(Voice, Prompt):
    """What is continued and how it is drawn; options: see SamplingOptions."""

    sound: bool = Field(False, description="also say it (base64 wav)")
    seed: Seed = 0
    max_words: Annotated[StrictInt, Field(ge=1, le=100)] = 16
    text_top_p: Annotated[FiniteFloat, Field(ge=0, le=1)] = 0.0
    text_temperature: Annotated[FiniteFloat, Field(gt=0, le=100)] = 1.0
    taste_top_p: Annotated[FiniteFloat, Field(ge=0, le=1)] = 0.0
    taste_temperature: Annotated[FiniteFloat, Field(gt=0, le=100)] = 1.0
    repetition_penalty: Annotated[FiniteFloat, Field(gt=0, le=100)] = 1.0

    def options(self) -> dict:
        """Sampling options by name."""
        names = ("max_words", "text_top_p", "text_temperature", "taste_top_p")
        names += ("taste_temperature", "repetition_penalty")
        return {name: getattr(self, name) for name in names}


class OpenAISpeech(Request):
    """OpenAI's ``POST /v1/audio/speech``."""

    model: str
    input: str
    voice: str
    response_format: str = "mp3"
    speed: FiniteFloat = 1.0
    instructions: str | None = None
    stream_format: Literal["audio"] = "audio"
    seed: Seed = Field(0, description="ours: of the random stream")
