"""Every error is one sentence, in the shape that OpenAI's clients read."""

import logging

from fastapi.responses import JSONResponse
from pydantic import ValidationError

from espnet2_taste.serve.audio import TooMuch
from espnet2_taste.serve.system import Missing

_TYPES = {401: "authentication_error", 429: "rate_limit_error"}


class Refused(Exception):
    """A request that is not answered.

    Args:
        status: of HTTP.
        message: one sentence.
        code: OpenAI's name of it.
        headers: of the answer.
    """

    def __init__(
        self,
        status: int,
        message: str,
        code: str | None = None,
        headers: dict[str, str] | None = None,
    ):
        super().__init__(message)
        self.status, self.message = status, message
        self.code, self.headers = code, headers

    def response(self) -> JSONResponse:
        """The answer."""
        kind = "invalid_request_error" if self.status < 500 else "server_error"
        error = {"message": self.message, "type": _TYPES.get(self.status, kind)}
        error |= {"param": None, "code": self.code}
        return JSONResponse({"error": error}, self.status, self.headers)


def refusal(error: Exception) -> Refused:
    """What a client is told of an exception: nothing of the server's insides."""
    if isinstance(error, Refused):
        return error
    if hasattr(error, "errors"):  # pydantic's, FastAPI's
        return Refused(422, sentence(error))
    if isinstance(error, TooMuch):
        return Refused(413, str(error))
    if isinstance(error, Missing):
        return Refused(501, str(error))
    if isinstance(error, RecursionError):
        return Refused(422, "the JSON is nested too deeply")
    if isinstance(error, ValueError):
        message = " ".join(str(error).split())
        return Refused(422, message.removeprefix("utterance 0: "))
    logging.error("a request failed", exc_info=error)
    return Refused(500, "something went wrong in the server; its log says what")


def sentence(error: ValidationError) -> str:
    """The first thing that is wrong with a request; what it held is not repeated."""
    first = error.errors()[0]
    place = [str(part) for part in first["loc"] if part != "body"]
    where = ".".join(place)[:100] or "the request"
    message = first["msg"].removeprefix("Value error, ")
    return f"{where}: {message[:200]}"
