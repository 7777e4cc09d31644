"""A client of the server, and an example of how to write one."""

import base64
import json
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

import httpx


class ServerError(Exception):
    """What the server says is wrong: ``status`` of HTTP, and when to come again (s)."""

    def __init__(self, status: int, message: str, retry_after: float | None = None):
        super().__init__(message)
        self.status, self.retry_after = status, retry_after


class Client:
    """Example:
    >>> client = Client("http://127.0.0.1:8000")
    >>> tokens = client.tokenize("a.wav", "set the red lamp")
    >>> wav = client.synthesize(tokens["text"], tokens["codes"], seed=1)
    >>> more = client.go_on(text=tokens["text"], codes=tokens["codes"])
    """

    def __init__(self, url: str, token: str | None = None, timeout: float = 120.0):
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}
        given = {"base_url": url, "headers": self.headers, "timeout": timeout}
        self.http = httpx.Client(**given)
        self.socket_url = "ws" + url.rstrip("/").removeprefix("http")

    def _ask(self, route: str, given: dict) -> httpx.Response:
        answer = self.http.post(f"/v1/{route}", json=given)
        if answer.status_code != 200:
            again = answer.headers.get("Retry-After")
            message = answer.json()["error"]["message"]
            raise ServerError(answer.status_code, message, again and float(again))
        return answer

    def tokenize(self, audio: bytes | str | Path, text: str | None = None) -> dict:
        """Words, codes, seconds, bits; without a text, of what the model hears."""
        return self._ask("tokenize", {"audio": as_base64(audio), "text": text}).json()

    def synthesize(self, text: str, codes=None, **given) -> bytes:
        """A file of speech; ``given``: voice, spk_emb, seed, response_format ..."""
        return self._ask("synthesize", {"text": text, "codes": codes, **given}).content

    def go_on(self, **given) -> dict:
        """What the TASLM says after ``text`` and ``codes``, or ``audio`` in base64."""
        return self._ask("continue", given).json()

    def score(self, text: str, codes: list[list[int]]) -> dict:
        """How likely the TASLM finds an utterance."""
        return self._ask("score", {"text": text, "codes": codes}).json()

    def speak(self, pieces: Iterable[dict], **opening) -> Iterator[dict | bytes]:
        """Sample rate, then 16-bit PCM while it is made of ``{"text", "codes"}``."""
        return self._stream("synthesize", chain([opening], pieces, [{"end": True}]))

    def write(self, **given) -> Iterator[dict | bytes]:
        """:meth:`go_on` word by word, with ``sound=True`` also as PCM."""
        return self._stream("continue", [given])

    def _stream(self, route: str, messages: Iterable[dict]) -> Iterator[dict | bytes]:
        from websockets.sync.client import connect

        url = f"{self.socket_url}/v1/{route}/stream"
        with connect(url, additional_headers=self.headers, max_size=None) as socket:
            for message in messages:
                socket.send(json.dumps(message))
            while True:
                item = socket.recv()
                item = item if isinstance(item, bytes) else json.loads(item)
                if isinstance(item, dict) and "error" in item:
                    raise ServerError(0, item["error"]["message"])
                if item == {"end": True}:
                    return
                yield item


def as_base64(audio: bytes | str | Path) -> str:
    """A recording's file, for JSON."""
    content = audio if isinstance(audio, bytes) else Path(audio).read_bytes()
    return base64.b64encode(content).decode()
