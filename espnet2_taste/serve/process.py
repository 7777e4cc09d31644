"""The server as a process: uvicorn, and how it ends."""

import asyncio

import uvicorn
from starlette.types import ASGIApp

from espnet2_taste.serve.service import Service


class Process(uvicorn.Server):
    """A server that answers what is at work before it ends.

    On SIGTERM or SIGINT new requests get 503 and ``/health`` says so; when the others
    have been answered it ends. A second signal ends it at once.

    Args:
        app: what is served.
        service: its models.
        host, port: where.
        stop_s: seconds after which it ends, whatever is at work.
    """

    def __init__(
        self, app: ASGIApp, service: Service, host: str, port: int, stop_s: float
    ):
        self.service, self.stop_s = service, stop_s
        self.tasks: list[asyncio.Task] = []
        super().__init__(
            uvicorn.Config(
                app,
                host=host,
                port=port,
                ws="websockets-sansio",
                ws_max_size=service.limits.max_bytes,
                timeout_graceful_shutdown=1,
                log_config=None,
                access_log=False,
                server_header=False,
            )
        )

    def handle_exit(self, sig: int, frame) -> None:
        if self.service.gate.closing or not self.started:
            super().handle_exit(sig, frame)
            return
        self.service.gate.closing = True
        loop = asyncio.get_running_loop()
        loop.call_soon_threadsafe(lambda: self.tasks.append(self._ending(loop)))

    def _ending(self, loop: asyncio.AbstractEventLoop) -> asyncio.Task:
        async def end() -> None:
            await self.service.gate.drained(self.stop_s)
            self.should_exit = True

        return loop.create_task(end())

    async def main_loop(self) -> None:
        watched = asyncio.create_task(self._watch())
        try:
            await super().main_loop()
        finally:
            watched.cancel()

    async def _watch(self) -> None:
        """End if the models cannot be loaded."""
        worker = self.service.worker
        while not (worker.ready or worker.error):
            await asyncio.sleep(0.05)
        if worker.error:
            self.should_exit = True

    def serve_until_told(self) -> None:
        """Serve.

        Raises:
            BaseException: what kept the models from being loaded.
        """
        self.run()
        if self.service.worker.error:
            raise self.service.worker.error
