"""One question to a language model behind an OpenAI-compatible endpoint."""

import json
import logging
import random
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field

#: HTTP statuses after which asking again may help.
TRANSIENT = {408, 409, 425, 429, 500, 502, 503, 504}


class EndpointError(RuntimeError):
    """The endpoint refuses, or does not answer properly however often it is asked."""


@dataclass(frozen=True)
class ChatEndpoint:
    """``POST <url>/chat/completions``.

    Attributes:
        url: up to and without ``/chat/completions``, e.g. http://localhost:8000/v1
        model: its name there.
        key: sent as bearer token; None: none. Never logged.
        temperature: of the model's sampling.
        max_tokens: of its answer.
        timeout: s for one request.
        retries: requests after the first.
        backoff: s before the second request; twice as long before each further one,
            at most a minute. ``Retry-After`` of the answer goes before.
    """

    url: str
    model: str
    key: str | None = field(default=None, repr=False)
    temperature: float = 0.0
    max_tokens: int = 256
    timeout: float = 60.0
    retries: int = 5
    backoff: float = 1.0

    def ask(self, message: str) -> str:
        """The answer to a message; called from several threads at once.

        Raises:
            EndpointError: refused, or nothing proper after all retries.
        """
        pause = self.backoff
        for attempt in range(self.retries + 1):
            try:
                return self._request(message)
            except _Transient as error:
                if attempt == self.retries:
                    raise EndpointError(
                        f"{self.url}: {error} ({self.retries + 1} times)"
                    ) from None
                wait = pause * random.uniform(0.8, 1.2)
                wait = min(60.0, wait if error.wait is None else error.wait)
                logging.info("%s: %s; again in %.1f s", self.url, error, wait)
            time.sleep(wait)
            pause = min(60.0, 2 * pause)
        raise AssertionError  # the last attempt returns or raises

    def _request(self, message: str) -> str:
        body = {
            "model": self.model,
            "messages": [{"role": "user", "content": message}],
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
        }
        headers = {"Content-Type": "application/json"}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        request = urllib.request.Request(
            self.url.rstrip("/") + "/chat/completions",
            json.dumps(body).encode(),
            headers,
        )
        try:
            with urllib.request.urlopen(request, timeout=self.timeout) as response:
                content = response.read()
        except urllib.error.HTTPError as error:
            detail = error.read(200).decode(errors="replace").strip()
            reason = f"HTTP {error.code} {' '.join(detail.split())}".strip()
            if error.code in TRANSIENT:
                wait = error.headers.get("Retry-After", "")
                raise _Transient(reason, wait) from None
            raise EndpointError(f"{self.url}: {reason}") from None
        except (OSError, ValueError) as error:  # no connection, time-out, no HTTP
            reason = getattr(error, "reason", None) or error
            raise _Transient(f"no answer ({reason})") from None
        try:
            answer = json.loads(content)["choices"][0]["message"]["content"]
        except (ValueError, KeyError, IndexError, TypeError):
            answer = None
        if not isinstance(answer, str):
            raise _Transient("an answer without choices[0].message.content")
        return answer


class _Transient(Exception):
    """Worth another request; ``wait``: s that the server asked for, None: nothing."""

    def __init__(self, reason: str, wait: str = ""):
        super().__init__(reason)
        try:
            self.wait = max(0.0, float(wait)) if wait else None
        except ValueError:  # a date
            self.wait = None
