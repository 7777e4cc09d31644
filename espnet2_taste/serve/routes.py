"""The REST routes; each turns a request into work and its result into an answer."""

import base64
import math

from fastapi import APIRouter, Request, Response

from espnet2_taste.serve.audio import FORMATS
from espnet2_taste.serve.errors import Refused
from espnet2_taste.serve.requests import (
    ContinueRequest,
    Prompt,
    SynthesizeRequest,
    TokenizeRequest,
)
from espnet2_taste.serve.service import Service, said_in
from espnet2_taste.serve.system import Begun, Said

_FORM = {
    "type": "object",
    "required": ["audio"],
    "properties": {
        "audio": {"type": "string", "format": "binary"},
        "text": {"type": "string"},
    },
}
_TOKENIZE = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": TokenizeRequest.model_json_schema()},
            "multipart/form-data": {"schema": _FORM},
        },
    }
}
_SOUND = {200: {"content": {kind: {} for kind, _ in FORMATS.values()}}}


def build_routes(service: Service) -> APIRouter:
    """Routes of a server."""
    router = APIRouter()

    @router.get("/health")
    async def health(response: Response) -> dict:
        """Whether requests are answered: 503 while the models are loaded, and when the
        server is about to stop."""
        state = "ready" if service.worker.ready else "loading"
        state = "stopping" if service.gate.closing else state
        response.status_code = 200 if state == "ready" else 503
        return {"status": state}

    @router.get("/metrics", include_in_schema=False)
    async def metrics() -> Response:
        text = "text/plain; version=0.0.4; charset=utf-8"
        return Response(service.metrics.text(), media_type=text)

    @router.get("/v1/voices")
    async def voices() -> dict:
        """Names that ``voice`` may have."""
        return {"voices": list(service.system.voices)}

    @router.post("/v1/tokenize", openapi_extra=_TOKENIZE)
    async def tokenize(request: Request) -> dict:
        """Speech -> words and their codes; without a text, of what the model hears."""
        given = await _form_or_json(request)
        tokens = await service.tokens(given.audio, given.text)
        spec = service.system.spec
        bits = tokens.codes.numel() * math.log2(max(spec.codebook_size, 1))
        answer = {
            "text": said_in(tokens, given.text),
            "heard": given.text is None,
            "words": tokens.words,
            "segments": tokens.segments,
            "codes": tokens.codes.tolist(),
            "seconds": tokens.duration,
            "bits": bits,
            "bits_per_second": bits / tokens.duration,
        }
        if not tokens.words:
            answer["note"] = "no speech was heard: there are no codes"
        return answer

    @router.post("/v1/synthesize", response_class=Response, responses=_SOUND)
    async def synthesize(given: SynthesizeRequest) -> Response:
        """Text, with codes or without, -> speech."""
        service.system.need("vocoder")
        codes = service.codes(given.codes)
        service.check_text(given.text)
        voice = await service.voice(given)
        made = await service.speech(Said(given.text, voice, codes, seed=given.seed))
        return await service.answer(made, given.response_format)

    @router.post("/v1/continue")
    async def go_on(given: ContinueRequest) -> dict:
        """A prompt -> what the TASLM says next; with ``sound`` also as speech."""
        service.system.need("taslm")
        if given.sound:
            service.system.need("vocoder")
        voice = await service.voice(given)
        text, codes = await service.prompt(given)
        begun = Begun(text, codes, given.options(), given.seed)
        more = await service.worker.do("continue", begun)
        answer = {"text": more.text, "words": more.words, "codes": more.codes.tolist()}
        if given.sound and more.words:
            codes = more.codes if more.latents is None else None
            said = Said(more.text, voice, codes, more.latents, given.seed)
            made = await service.speech(said)
            wav = await service.answer(made, "wav")
            answer["wav"] = base64.b64encode(wav.body).decode()
            answer["sample_rate"] = made.sample_rate
        return answer

    @router.post("/v1/score")
    async def score(given: Prompt) -> dict:
        """How likely the TASLM finds text with its codes, in nats."""
        service.system.need("taslm")
        text, codes = await service.prompt(given)
        if codes is None:
            raise Refused(422, "give the codes of the text, or audio")
        return await service.worker.do("score", (text, codes))

    return router


async def _form_or_json(request: Request) -> TokenizeRequest:
    """A file that was uploaded, or JSON."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json":
        return TokenizeRequest.model_validate(await request.json())
    if kind != "multipart/form-data":
        raise Refused(415, "send JSON, or a form with a file named audio")
    most = {"max_files": 1, "max_fields": 8, "max_part_size": 1 << 20}
    async with request.form(**most) as form:
        given = dict(form)
        if hasattr(file := given.get("audio"), "read"):
            given["audio"] = base64.b64encode(await file.read()).decode()
        return TokenizeRequest.model_validate(given)
