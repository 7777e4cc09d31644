"""Who comes in, how much of it, and for how long: before any route sees a request."""

import asyncio
import hmac
import time
from dataclasses import dataclass

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from espnet2_taste.serve.errors import Refused, refusal
from espnet2_taste.serve.metrics import Metrics
from espnet2_taste.serve.worker import Worker


@dataclass
class Limits:
    """What a server takes.

    Attributes:
        max_seconds: of a recording.
        max_chars: of a text.
        max_bytes: of a request's body.
        timeout_s: until a request is answered, or a stream says its next word.
        queue: requests in the server at once; further ones are told to come again.
        max_batch: items computed together.
        max_wait_s: that an item waits for others to be computed with.
    """

    max_seconds: float = 30.0
    max_chars: int = 1000
    max_bytes: int = 8 * 2**20
    timeout_s: float = 60.0
    queue: int = 64
    max_batch: int = 16
    max_wait_s: float = 0.01


class Gate:
    """How many are inside.

    Args:
        most: at once.
    """

    def __init__(self, most: int):
        self.most, self.inside, self.closing = most, 0, False

    async def drained(self, seconds: float) -> bool:
        """Wait until all have left; whether that was in time."""
        end = time.monotonic() + seconds
        while self.inside and time.monotonic() < end:
            await asyncio.sleep(0.02)
        return not self.inside


class Guard:
    """ASGI middleware of everything but ``/health`` and the documentation.

    A body is read whole, within the limits, before any work; then a route has what is
    left of the time. If the client goes or the time is over, the route is cancelled,
    and with it what it awaits of the models.

    Args:
        app: what is guarded.
        worker, gate, limits, metrics: of the server.
        token: that a client must have; None: anybody may come.
    """

    def __init__(
        self,
        app: ASGIApp,
        worker: Worker,
        gate: Gate,
        limits: Limits,
        metrics: Metrics,
        token: str | None = None,
    ):
        self.app, self.worker, self.gate = app, worker, gate
        self.limits, self.metrics, self.token = limits, metrics, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if not (path.startswith("/v1/") or path == "/metrics"):
            return await self.app(scope, receive, send)
        start, status = time.monotonic(), 499  # nginx's: the client has gone

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] in _STATUS:
                status = _STATUS[message["type"]] or message["status"]
            await send(message)

        answer = self._converse if scope["type"] == "websocket" else self._answer
        try:
            await answer(scope, receive, noted)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            self.metrics.requests.labels(route, status).inc()
            self.metrics.seconds.labels(route).observe(time.monotonic() - start)

    def _check(self, scope: Scope) -> None:
        """Raises: Refused: this request is not let in."""
        headers = dict(scope["headers"])
        given = headers.get(b"authorization", b"")
        wanted = f"Bearer {self.token}".encode()
        if self.token and not hmac.compare_digest(given, wanted):
            means = {"WWW-Authenticate": "Bearer"}
            raise Refused(
                401, "a token is needed: Authorization: Bearer ...", None, means
            )
        if scope["path"] == "/metrics":
            return
        again = {"Retry-After": "1"}
        if self.gate.closing:
            raise Refused(503, "the server is about to stop", None, again)
        if not self.worker.ready:
            raise Refused(503, "the models are being loaded", None, again)
        if self.gate.inside >= self.gate.most:
            raise Refused(
                429,
                f"{self.gate.most} requests are waiting or at work: try again",
                "rate_limit_exceeded",
                again,
            )
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or len(length) > 18:
            raise Refused(400, "Content-Length is no number")
        self._check_size(int(length))

    def _check_size(self, size: int) -> None:
        if size > self.limits.max_bytes:
            raise Refused(413, f"a body may have {self.limits.max_bytes} bytes")

    async def _converse(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A WebSocket, whose route keeps its time itself."""
        socket = WebSocket(scope, receive, send)
        try:
            self._check(scope)
            self._check_origin(scope)
        except Refused as refused:
            await socket.send_denial_response(refused.response())
            return
        with self._inside():
            await self.app(scope, receive, send)

    def _check_origin(self, scope: Scope) -> None:
        """Pages of other sites may open sockets, too; without a token they must not."""
        headers = dict(scope["headers"])
        origin = headers.get(b"origin", b"").rpartition(b"://")[2]
        if origin and not self.token and origin != headers.get(b"host"):
            raise Refused(403, "pages of another site may not open a stream here")

    def _inside(self):
        return _Inside(self.gate, self.metrics)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            self._check(scope)
            with self._inside():
                await self._within(scope, receive, watched)
        except _Gone:
            pass
        except Exception as error:
            if started:
                raise
            await refusal(error).response()(scope, receive, send)

    async def _within(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer in time, unless the client goes.

        Raises:
            Refused: the time is over, or the body is too large.
            _Gone: the client has.
        """
        end = time.monotonic() + self.limits.timeout_s
        try:
            body = await asyncio.wait_for(self._body(receive), self.limits.timeout_s)
        except asyncio.TimeoutError:
            raise Refused(408, "the body took too long to come") from None
        first = [{"type": "http.request", "body": body, "more_body": False}]

        async def replayed() -> Message:
            if not first:
                await asyncio.Event().wait()  # until this is cancelled
            return first.pop()

        work = asyncio.create_task(self.app(scope, replayed, send))
        gone = asyncio.create_task(self._gone(receive))
        try:
            await asyncio.wait(
                {work, gone},
                timeout=end - time.monotonic(),
                return_when=asyncio.FIRST_COMPLETED,
            )
            if work.done():
                return work.result()
            left = gone.done()
        finally:
            for task in (work, gone):
                task.cancel()
            await asyncio.gather(work, gone, return_exceptions=True)
        if left:
            raise _Gone
        seconds = f"{self.limits.timeout_s:g} seconds"
        raise Refused(504, f"there was no answer within {seconds}")

    async def _body(self, receive: Receive) -> bytes:
        parts, size, more = [], 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise _Gone
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            self._check_size(size)
            more = message.get("more_body", False)
        return b"".join(parts)

    @staticmethod
    async def _gone(receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass


#: message -> the status of what it begins; None: its own
_STATUS = {
    "http.response.start": None,
    "websocket.accept": 101,
    "websocket.close": 403,
    "websocket.http.response.start": None,
}


class _Gone(Exception):
    """The client."""


class _Inside:
    """A request that is counted."""

    def __init__(self, gate: Gate, metrics: Metrics):
        self.gate, self.metrics = gate, metrics

    def __enter__(self) -> None:
        self.gate.inside += 1
        self.metrics.at_work.inc()

    def __exit__(self, *_) -> None:
        self.gate.inside -= 1
        self.metrics.at_work.dec()
