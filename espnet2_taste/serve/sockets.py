"""Streams: words in and sound out while it is made, over WebSockets.

``/v1/synthesize/stream``: the client sends an opening (JSON: voice, seed), then pieces
(JSON: text of whole words, perhaps codes), at last ``{"end": true}``. The server sends
``{"sample_rate": ...}``, then 16-bit little-endian mono PCM in binary messages, and
``{"end": true}``.

``/v1/continue/stream``: the client sends what ``/v1/continue`` takes. The server sends
pieces (JSON: text, words, codes), with ``sound`` also the sample rate and PCM, and
``{"end": true}``.

What is wrong is told as ``{"error": {...}}``, and ends the stream.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress

import torch
from fastapi import APIRouter, WebSocket, WebSocketDisconnect
from pydantic import BaseModel

from espnet2_taste.inference.speech_streams import Words
from espnet2_taste.inference.writer import Continuation
from espnet2_taste.io.audio import to_pcm16
from espnet2_taste.serve.audio import TooMuch
from espnet2_taste.serve.errors import Refused, refusal
from espnet2_taste.serve.requests import ContinueRequest, Opening, PieceRequest
from espnet2_taste.serve.service import Service
from espnet2_taste.serve.streams import END, Stream, continuing, speaking
from espnet2_taste.serve.system import Begun, Said


def build_routes(service: Service) -> APIRouter:
    """Routes of a server."""
    router = APIRouter()

    @router.websocket("/v1/synthesize/stream")
    async def synthesize(socket: WebSocket) -> None:
        await _converse(socket, lambda: _speak(service, socket))

    @router.websocket("/v1/continue/stream")
    async def go_on(socket: WebSocket) -> None:
        await _converse(socket, lambda: _continue(service, socket))

    return router


async def _converse(socket: WebSocket, talk: Callable[[], Awaitable[None]]) -> None:
    """A conversation to its end, whichever it is."""
    await socket.accept()
    try:
        await talk()
        await socket.send_json({"end": True})
        await socket.close()
    except WebSocketDisconnect:
        pass
    except Exception as error:
        refused = refusal(error)
        with suppress(WebSocketDisconnect, RuntimeError):  # it has gone meanwhile
            await socket.send_text(refused.response().body.decode())
            await socket.close(1011 if refused.status >= 500 else 1008)


async def _speak(service: Service, socket: WebSocket) -> None:
    opening = await _received(service, socket, Opening)
    service.system.need("vocoder")
    voice = await service.voice(opening)
    await socket.send_json({"sample_rate": service.system.taste.vocoder.sample_rate})
    stream = Stream(service.worker, speaking(Said("", voice, seed=opening.seed)))

    async def listen() -> None:
        chars = 0
        while True:
            piece = await _received(service, socket, PieceRequest)
            if (chars := chars + len(piece.text)) > service.limits.max_chars:
                raise TooMuch(f"a text may have {service.limits.max_chars} characters")
            if piece.text:
                stream.put(Words(piece.text, service.codes(piece.codes)))
            if piece.end:
                stream.put(END)
                return

    await _send(service, socket, stream, listen)


async def _continue(service: Service, socket: WebSocket) -> None:
    given = await _received(service, socket, ContinueRequest)
    service.system.need("taslm")
    voice = None
    if given.sound:
        service.system.need("vocoder")
        voice = await service.voice(given)
    text, codes = await service.prompt(given)
    if given.sound:
        rate = service.system.taste.vocoder.sample_rate
        await socket.send_json({"sample_rate": rate})
    begun = Begun(text, codes, given.options(), given.seed)
    stream = Stream(service.worker, continuing(begun, voice))
    await _send(service, socket, stream)


async def _received(
    service: Service, socket: WebSocket, form: type[BaseModel]
) -> BaseModel:
    """The next message of a client.

    Raises:
        Refused: it took too long.
        WebSocketDisconnect: the client has gone.
    """
    try:
        given = await asyncio.wait_for(socket.receive_text(), service.limits.timeout_s)
    except asyncio.TimeoutError:
        raise Refused(408, "nothing came for too long") from None
    except KeyError:
        raise Refused(422, "messages are JSON, as text") from None
    return form.model_validate(json.loads(given))


async def _send(
    service: Service,
    socket: WebSocket,
    stream: Stream,
    listen: Callable[[], Awaitable[None]] | None = None,
) -> None:
    """Do a stream's work and send what comes, until its end or the client's.

    Args:
        listen: takes what the client sends meanwhile.
    """

    async def hear() -> None:
        if listen:
            await listen()
        if (await socket.receive())["type"] == "websocket.disconnect":
            raise WebSocketDisconnect
        raise Refused(422, "nothing may follow the end")

    async def send() -> None:
        async for chunk in stream:
            await asyncio.wait_for(_send_chunk(socket, chunk), seconds)

    seconds = service.limits.timeout_s
    service.worker.put("streams", stream)
    tasks = [asyncio.create_task(task()) for task in (send, hear)]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        sent, heard = tasks
        (sent if sent.done() else heard).result()
    finally:
        stream.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _send_chunk(socket: WebSocket, chunk: torch.Tensor | Continuation) -> None:
    """Sound as PCM, words as JSON."""
    if torch.is_tensor(chunk):
        await socket.send_bytes(to_pcm16(chunk.numpy()))
    else:
        words = {"text": chunk.text, "words": chunk.words}
        await socket.send_json(words | {"codes": chunk.codes.tolist()})
