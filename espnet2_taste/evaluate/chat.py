"""One question to a language model behind an OpenAI-compatible endpoint.

The key goes to the endpoint alone: no redirect is followed, and no message holds it.
"""

import http.client
import json
import logging
import random
import re
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from espnet2_taste.io.download import check_url, shown

#: The longest answer, in bytes of JSON.
MAX_ANSWER = 1 << 20
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
        key: sent as bearer token; None: none.
        temperature: of the model's sampling.
        max_tokens: of its answer.
        timeout: s that the endpoint may be silent, and to send its answer.
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

    def __post_init__(self):
        """Raises ValueError on a URL or key that cannot be used, without the key."""
        check_url(self.url, "a key", "give its variable, --key_variable")
        if urlsplit(self.url).query:
            raise ValueError(f"{shown(self.url)}: an endpoint's URL has no ?...")
        if self.key and not re.fullmatch("[ -~]+", self.key):
            raise ValueError("the API key has a line break or another odd character")

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
            with _OPENER.open(request, timeout=self.timeout) as response:
                content = self._read(response)
        except urllib.error.HTTPError as error:
            detail = error.read(200).decode(errors="replace")
            reason = self._plain(f"HTTP {error.code} {detail}")
            if error.code in TRANSIENT:
                wait = error.headers.get("Retry-After", "")
                raise _Transient(reason, wait) from None
            if 300 <= error.code < 400:
                target = self._plain(shown(error.headers.get("Location") or ""))
                reason = f"leads to {target}: give that as --endpoint if you trust it"
            raise EndpointError(f"{self.url}: {reason}") from None
        except (OSError, ValueError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            raise _Transient(f"no answer ({self._plain(str(reason))})") from None
        try:
            answer = json.loads(content)["choices"][0]["message"]["content"]
        except (ValueError, LookupError, TypeError, RecursionError):
            answer = None
        if not isinstance(answer, str):
            raise _Transient("an answer without choices[0].message.content")
        return answer

    def _read(self, response) -> bytes:
        """The body, of bounded size and in bounded time."""
        content, end = b"", time.monotonic() + self.timeout
        while block := response.read1(1 << 16):
            content += block
            if len(content) > MAX_ANSWER:
                raise EndpointError(
                    f"{self.url}: an answer of more than {MAX_ANSWER >> 20} MB"
                )
            if time.monotonic() > end:
                raise TimeoutError(f"not complete after {self.timeout:g} s")
        return content

    def _plain(self, text: str) -> str:
        """One printable line without the key."""
        text = " ".join(text.replace(self.key or "\0", "***").split())
        return "".join(c if c.isprintable() else "?" for c in text)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Urllib would take the key along to wherever it is sent."""

    def redirect_request(self, *_):
        return None


_OPENER = urllib.request.build_opener(_NoRedirect)


class _Transient(Exception):
    """Worth another request; ``wait``: s that the server asked for, None: nothing."""

    def __init__(self, reason: str, wait: str = ""):
        super().__init__(reason)
        try:
            self.wait = max(0.0, float(wait)) if wait else None
        except ValueError:  # a date
            self.wait = None
