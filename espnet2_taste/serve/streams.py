"""What is spoken and written while it is made: one step of each stream at a time."""

import asyncio
import math
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from espnet2_taste.inference.speech_streams import SpeechStreams, Words
from espnet2_taste.serve.errors import Refused
from espnet2_taste.serve.system import Begun, Said, System
from espnet2_taste.serve.worker import Kind, Worker

#: Follows the last piece of a stream.
END = Words("")
#: What a stream's steps give while they wait for a piece.
HUNGRY = object()
#: Chunks that wait for who listens: then the stream waits, too.
_AHEAD = 8


class Stream:
    """Pieces go in, chunks come out, while others are at work.

    Args:
        worker: who does it.
        steps: the models and the queue of pieces -> chunks; None is a step that made
            none, HUNGRY one that waits for a piece.

    Raises (while iterating):
        Exception: what its steps raised.
    """

    def __init__(self, worker: Worker, steps: Callable[[System, deque], Iterator[Any]]):
        self.worker, self.steps = worker, steps
        self.loop = asyncio.get_running_loop()
        self.inbox: deque[Words] = deque()
        self.out: asyncio.Queue = asyncio.Queue()
        self.sent = self.read = 0
        self.hungry, self.dropped = False, False

    @property
    def ready(self) -> bool:
        """Whether a step can be done: somebody listens, and what it needs came."""
        fed = bool(self.inbox) or not self.hungry
        return fed and self.sent - self.read < _AHEAD

    def put(self, piece: Words) -> None:
        """The next piece; END after the last."""
        self.inbox.append(piece)
        self.worker.wake()

    def close(self) -> None:
        """Nobody listens any more: no further step is done."""
        self.dropped = True
        self.worker.wake()

    def tell(self, chunk: Any) -> None:
        """Hand out a chunk, or an exception, from the thread of the models."""
        self.sent += 1
        with suppress(RuntimeError):  # the loop was closed
            self.loop.call_soon_threadsafe(self.out.put_nowait, chunk)

    def __aiter__(self) -> "Stream":
        return self

    async def __anext__(self) -> Any:
        chunk = await self.out.get()
        self.read += 1
        self.worker.wake()
        if isinstance(chunk, StopIteration):
            raise StopAsyncIteration
        if isinstance(chunk, Exception):
            raise chunk
        return chunk


class Streams(Kind):
    """All streams at work, in turn.

    Args:
        system: the models.
    """

    def __init__(self, system: System):
        super().__init__()
        self.system = system
        self.live: dict[Stream, Iterator] = {}

    def delay(self) -> float:
        busy = any(stream.dropped or stream.ready for stream in self.live)
        return 0.0 if self.waiting or busy else math.inf

    def step(self) -> None:
        while self.waiting:
            stream = self.waiting.popleft()
            self.live[stream] = stream.steps(self.system, stream.inbox)
        for stream in list(self.live):
            if stream.dropped:
                self.live.pop(stream).close()
            elif stream.ready:
                self._step(stream)

    def _step(self, stream: Stream) -> None:
        try:
            chunk = next(self.live[stream])
        except Exception as error:  # StopIteration among them
            del self.live[stream]
            stream.tell(error)
            return
        stream.hungry = chunk is HUNGRY
        if chunk is not None and chunk is not HUNGRY:
            stream.tell(chunk)

    def close(self) -> None:
        for stream in (*self.waiting, *self.live):
            stream.tell(Refused(503, "the server stops"))


def speaking(said: Said) -> Callable[[System, deque], Iterator]:
    """Steps: pieces of words with codes -> (samples,) float32 waveforms.

    Args:
        said: voice and seed of the utterance.
    """

    def steps(system: System, inbox: deque) -> Iterator:
        streams = system.taste.open_streams([said.voice], [said.seed])
        last = False
        while not last:
            while not inbox:
                yield HUNGRY
            piece = inbox.popleft()
            last = piece is END
            yield from _spoken(streams, None if last else piece)

    return steps


def continuing(begun: Begun, voice: Any = None) -> Callable[[System, deque], Iterator]:
    """Steps: nothing -> what a TASLM writes, and waveforms of it.

    Args:
        begun: the prompt.
        voice: (S,) who says it; None: nobody.
    """

    def steps(system: System, inbox: deque) -> Iterator:
        streams = None
        if voice is not None:
            streams = system.taste.open_streams([voice], [begun.seed])
        given = begun.text, begun.codes, str(begun.seed), begun.mode
        for piece in system.taslm.stream(*given, **begun.options):
            yield piece
            if streams:
                yield from _spoken(streams, Words(piece.text, piece.codes))
        if streams:
            yield from _spoken(streams, None)

    return steps


def _spoken(streams: SpeechStreams, piece: Words | None) -> Iterator:
    """Sound of a piece; None: of what is left."""
    streams.feed([piece], [piece is None])
    going = True
    while going:
        units, last = streams.units()
        going = any(map(len, units))
        if going or piece is None:
            wav = streams.sound(units, last)[0]
            yield wav if len(wav) else None
