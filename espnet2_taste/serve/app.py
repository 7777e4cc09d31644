"""The ASGI application: guard, routes, errors."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from espnet2_taste.serve import openai, routes, sockets
from espnet2_taste.serve.errors import Refused, refusal
from espnet2_taste.serve.guard import Guard
from espnet2_taste.serve.service import Service


def build_app(service: Service, token: str | None = None) -> FastAPI:
    """The application of a server, which loads the models when it starts.

    Args:
        service: models and limits.
        token: that clients must have; None: none.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.worker.start()
        yield
        service.worker.stop()

    app = FastAPI(
        title="espnet2_taste",
        description="Text-aligned speech tokens: speech to codes, and back.",
        lifespan=lifespan,
    )
    for module in (routes, openai, sockets):
        app.include_router(module.build_routes(service))
    app.add_middleware(
        Guard,
        worker=service.worker,
        gate=service.gate,
        limits=service.limits,
        metrics=service.metrics,
        token=token,
    )
    app.add_exception_handler(HTTPException, _plain)
    app.add_exception_handler(RequestValidationError, _invalid)
    return app


async def _plain(_: Request, error: HTTPException) -> Response:
    """What Starlette refuses: no such path, another method, a broken body."""
    return Refused(
        error.status_code, f"{error.detail}", headers=error.headers
    ).response()


async def _invalid(_: Request, error: RequestValidationError) -> Response:
    return refusal(error).response()
