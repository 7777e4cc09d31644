"""OpenAI's ``/v1/audio/speech`` and ``/v1/models``, for clients that know these."""

from fastapi import APIRouter, Response

from espnet2_taste.serve.audio import FORMATS
from espnet2_taste.serve.errors import Refused
from espnet2_taste.serve.requests import OpenAISpeech, Voice
from espnet2_taste.serve.service import Service
from espnet2_taste.serve.system import Said


def build_routes(service: Service) -> APIRouter:
    """Routes of a server."""
    router = APIRouter()

    @router.get("/v1/models")
    async def models() -> dict:
        """The one model."""
        one = {"id": service.name, "object": "model", "owned_by": "espnet2_taste"}
        return {"object": "list", "data": [one | {"created": 0}]}

    @router.post("/v1/audio/speech", response_class=Response)
    async def speech(given: OpenAISpeech) -> Response:
        """Text -> speech. ``pcm`` has the vocoder's rate, see X-Sample-Rate. A speed
        other than 1 and instructions are refused."""
        if given.model != service.name:
            message = f"there is no such model; there is: {service.name}"
            raise Refused(404, message, "model_not_found")
        if given.response_format not in FORMATS:
            known = ", ".join(FORMATS)
            raise Refused(400, f"response_format: this server writes {known}")
        if given.speed != 1:
            raise Refused(400, "speed: this model speaks at its own, 1")
        if given.instructions:
            raise Refused(400, "instructions: this model takes none")
        service.system.need("vocoder")
        service.check_text(given.input)
        voice = await service.voice(Voice(voice=given.voice))
        made = await service.speech(Said(given.input, voice, seed=given.seed))
        return await service.answer(made, given.response_format)

    return router
