"""What the routes share: from requests to work for the models, and its results."""

import asyncio
from collections.abc import Callable

import numpy as np
from starlette.responses import Response

from espnet2_taste.inference.speech_to_taste import TasteTokens
from espnet2_taste.inference.taste_to_speech import Synthesis
from espnet2_taste.serve.audio import FORMATS, TooMuch, as_file, read_recording
from espnet2_taste.serve.errors import Refused
from espnet2_taste.serve.guard import Gate, Limits
from espnet2_taste.serve.kinds import Batches, Running
from espnet2_taste.serve.metrics import Metrics
from espnet2_taste.serve.requests import Prompt, Voice
from espnet2_taste.serve.streams import Streams
from espnet2_taste.serve.system import NEUTRAL, Heard, Said, System
from espnet2_taste.serve.worker import Kind, Worker
from espnet2_taste.taslm.running import RunningContinuations


class Service:
    """A server's models, limits and counters.

    Args:
        load: makes the models.
        limits: of requests.
        name: of the model, for OpenAI's clients.
    """

    def __init__(self, load: Callable[[], System], limits: Limits, name: str = "taste"):
        self.limits, self.name = limits, name
        self.metrics = Metrics()
        self.gate = Gate(limits.queue)
        self.worker = Worker(load, self._kinds)

    @property
    def system(self) -> System:
        """The models; what is asked of them here computes nothing."""
        return self.worker.models

    def _kinds(self, system: System) -> dict[str, Kind]:
        """The queues of work."""
        limits, size = self.limits, self.metrics.batch_size

        def batches(work, kind: str) -> Batches:
            given = limits.max_batch, limits.max_wait_s
            return Batches(work, *given, size(kind))

        kinds = {
            "tokenize": batches(system.tokenize, "tokenize"),
            "embed": batches(system.embed, "embed"),
            "score": batches(system.score, "score"),
            "speak": batches(system.speak, "speak"),
            "streams": Streams(system),
        }
        if system.runs_units:
            decoder, sampling = system.taste.model.speech_decoder, system.taste.sampling
            kinds["speak"] = Running(
                lambda _: decoder.running(sampling, limits.max_batch),
                lambda _: None,
                system.add_units,
                system.sound,
                limits.max_batch,
                size("speak"),
            )
        if system.taslm:
            kinds["continue"] = batches(system.go_on, "continue")
        if system.taslm and system.runs_continuations:
            taslm = system.taslm
            kinds["continue"] = Running(
                lambda item: RunningContinuations(
                    taslm.model,
                    taslm.vocabulary,
                    system.options(item.options),
                    limits.max_batch,
                ),
                lambda item: tuple(item.options.items()),
                system.add_prompts,
                system.written,
                limits.max_batch,
                size("continue"),
            )
        return kinds

    def check_text(self, *texts: str) -> None:
        """Raises: TooMuch: they are longer than the limit."""
        if sum(map(len, texts)) > self.limits.max_chars:
            raise TooMuch(f"a text may have {self.limits.max_chars} characters")

    def codes(self, rows: list[list[int]] | None) -> np.ndarray | None:
        """(S, R) codes that a client sent.

        Raises:
            ValueError: rows of different widths.
        """
        if rows is None:
            return None
        self.check_text("." * len(rows))  # a row or more for each character is no text
        if len({len(row) for row in rows}) > 1:
            raise ValueError("codes: the rows have different widths")
        return np.asarray(rows, np.int64)

    async def recording(self, content: bytes, sample_rate: int) -> np.ndarray:
        """(N,) of a recording; decoded in a thread of its own."""
        given = content, sample_rate, self.limits.max_seconds
        wav = await asyncio.to_thread(read_recording, *given)
        self.metrics.speech.labels("heard").inc(len(wav) / sample_rate)
        return wav

    async def tokens(self, audio: bytes, text: str | None) -> TasteTokens:
        """Words and codes of a recording."""
        self.check_text(text or "")
        wav = await self.recording(audio, self.system.taste.sample_rate)
        return await self.worker.do("tokenize", Heard(wav, text))

    async def voice(self, request: Voice) -> np.ndarray:
        """(S,) embedding of the voice that a request names, brings or lets hear.

        Raises:
            Refused: there is no such voice, or there are several.
        """
        named = (request.voice, request.spk_emb, request.reference)
        if sum(item is not None for item in named) > 1:
            raise Refused(422, "give one of voice, spk_emb and reference")
        if request.spk_emb is not None:
            item = {"spk_emb": np.asarray(request.spk_emb, np.float32)}
            return self.system.taste.checked(item)["spk_emb"]
        if request.reference is not None:
            self.system.need("speaker")
            rate = self.system.speaker.sample_rate
            wav = await self.recording(request.reference, rate)
            return await self.worker.do("embed", wav)
        name = NEUTRAL if request.voice is None else request.voice
        if name not in self.system.voices:
            known = ", ".join(self.system.voices)
            raise Refused(404, f"there is no such voice; there are: {known}", "voice")
        return self.system.voices[name]

    async def prompt(self, request: Prompt) -> tuple[str, np.ndarray | None]:
        """Text and codes of a prompt, which may be speech.

        Raises:
            Refused: there are none.
        """
        self.check_text(request.text or "")
        if request.audio is not None:
            if request.codes is not None:
                raise Refused(422, "give codes or audio, not both")
            tokens = await self.tokens(request.audio, request.text)
            if not tokens.words:
                raise Refused(422, "no speech was heard in the audio")
            return said_in(tokens, request.text), tokens.codes.numpy()
        if request.text is None:
            raise Refused(422, "give text, or audio")
        return request.text, self.codes(request.codes)

    async def speech(self, said: Said) -> Synthesis:
        """Text and codes, spoken."""
        self.system.need("vocoder")
        self.check_text(said.text)
        made = await self.worker.do("speak", said)
        self.metrics.speech.labels("made").inc(len(made.wav) / made.sample_rate)
        return made

    async def answer(self, made: Synthesis, kind: str) -> Response:
        """Speech as a file of one of the formats; written in a thread of its own."""
        wav, rate = made.wav.numpy(), made.sample_rate
        content = await asyncio.to_thread(as_file, wav, rate, kind)
        headers = {"X-Sample-Rate": str(rate)}
        return Response(content, 200, headers, media_type=FORMATS[kind][0])


def said_in(tokens: TasteTokens, given: str | None) -> str:
    """The transcript of what was tokenised."""
    return tokens.text if given is None else given
