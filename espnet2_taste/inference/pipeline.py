"""Stages at work at the same time: speech -> text and codes -> words -> units -> sound.

A *stage* is a function from an iterator to an iterator, as a generator function is.
Each runs in a thread of its own; between two there is a bounded queue, so that nobody
runs ahead of who listens: a consumer that stops reading stops every stage.
"""

import asyncio
import logging
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch

from espnet2_taste.asr.abs_recogniser import AbsRecogniser
from espnet2_taste.inference.channel import Channel, Stopped
from espnet2_taste.inference.speech_streams import Words, as_pieces
from espnet2_taste.inference.speech_to_taste import SpeechToTaste
from espnet2_taste.inference.taslm_generate import TaslmGenerate
from espnet2_taste.inference.taste_to_speech import TasteToSpeech
from espnet2_taste.inference.voice_prompt import VoicePrompt

Stage = Callable[[Iterator], Iterable]


class Pipeline:
    """Iterate over it (``for`` or ``async for``): the items of the last stage.

    What one stage raises is raised to the consumer, after the items made before it; all
    other stages stop. ``with`` or ``async with`` ends every thread on leaving; so do
    the end, an error, :meth:`close`, and forgetting the pipeline.

    Args:
        source: what the first stage reads; iterated in a thread of its own.
        stages: one or more.
        depth: items that wait between two stages at most.

    Example:
        >>> with Pipeline([Words("set the", codes)], *speaking(speak, speaker)) as out:
        ...     for chunk in out:
        ...         play(chunk)
    """

    def __init__(self, source: Iterable, *stages: Stage, depth: int = 2):
        if depth < 1 or not stages:
            raise ValueError("a pipeline has stages, and room for an item between two")
        self._channels = [Channel(depth) for _ in range(len(stages) + 1)]
        self._out = self._channels[-1]
        inputs = [iter(source), *self._channels[:-1]]
        self._threads = [
            threading.Thread(
                target=_work, args=(stage, inbox, channel), name=name, daemon=True
            )
            for stage, inbox, channel, name in zip(
                [iter, *stages],
                inputs,
                self._channels,
                ["source", *(getattr(s, "__name__", "stage") for s in stages)],
                strict=True,
            )
        ]
        self._forgotten = weakref.finalize(self, _stop, self._channels)
        for thread in self._threads:
            thread.start()

    def cancel(self) -> None:
        """Stop (barge-in) and return at once: what was made is dropped, no stage begins
        another item, and whoever iterates comes to the end."""
        _stop(self._channels)

    def close(self) -> None:
        """:meth:`cancel`, and wait until each stage has put down its item.

        A source that waits for something else (a microphone) is waited for.
        """
        self.cancel()
        for thread in self._threads:
            thread.join()

    def __enter__(self) -> "Pipeline":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def __iter__(self) -> Iterator:
        return self

    def __next__(self):
        try:
            return self._out.take()
        except Stopped:
            raise StopIteration from None
        except BaseException:  # the end, or what a stage raised
            self.cancel()
            raise

    async def __aenter__(self) -> "Pipeline":
        return self

    async def __aexit__(self, *_) -> None:
        self.cancel()
        while any(thread.is_alive() for thread in self._threads):
            await asyncio.sleep(0.005)

    def __aiter__(self) -> "Pipeline":
        return self

    async def __anext__(self):
        loop = asyncio.get_running_loop()
        while True:
            news = asyncio.Event()
            tell = _Tell(loop, news)
            try:
                found, item = self._out.take_or_watch(tell)
            except (Stopped, StopIteration):
                self.cancel()
                raise StopAsyncIteration from None
            except BaseException:
                self.cancel()
                raise
            if found:
                return item
            await news.wait()


class _Tell:
    """Sets an event of a loop from another thread; the loop may have been closed."""

    def __init__(self, loop: asyncio.AbstractEventLoop, news: asyncio.Event):
        self.loop, self.news = loop, news

    def __call__(self) -> None:
        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self.news.set)


def _work(stage: Stage, inbox: Iterator, out: Channel) -> None:
    """One stage, until its end, an error, or nobody wants its items."""
    made, error = None, None
    try:
        made = iter(stage(inbox))
        for item in made:
            out.put(item)
    except Stopped:
        pass
    except BaseException as raised:
        error = raised
    try:
        if hasattr(made, "close"):  # a generator lets go of its models' state
            made.close()
    except BaseException as raised:
        error = error or raised
    if isinstance(inbox, Channel):
        inbox.stop()  # what comes before need not go on
    out.end(error)


def _stop(channels: list[Channel]) -> None:
    for channel in channels:
        channel.stop()


def recognising(recogniser: AbsRecogniser) -> Stage:
    """Stage: (N,) speech of each utterance -> speech and its transcript."""

    def recognise(speech: Iterator[np.ndarray]) -> Iterator:
        for wav in speech:
            yield wav, recogniser([wav])[0]

    return recognise


def tokenising(tokenizer: SpeechToTaste) -> Stage:
    """Stage: (speech, transcript) of each utterance -> its words with codes.

    An utterance in which nothing is said is passed over.
    """

    def tokenise(utterances: Iterator[tuple[np.ndarray, str]]) -> Iterator[Words]:
        for speech, text in utterances:
            if text.strip():
                yield Words(text, tokenizer(speech, text).codes)
            else:
                logging.warning("no speech was heard; passed over")

    return tokenise


def continuing(taslm: TaslmGenerate, **options) -> Stage:
    """Stage: prompts, words with codes -> what the TASLM says next, word by word.

    Args:
        taslm: who continues.
        options: of :meth:`TaslmGenerate.stream`.
    """

    def go_on(prompts: Iterator[Words]) -> Iterator:
        for prompt in as_pieces(prompts):
            if not prompt.text.strip():
                logging.warning("a prompt without words; passed over")
                continue
            yield from taslm.stream(prompt.text, prompt.codes, **options)

    return go_on


def speaking(
    speak: TasteToSpeech,
    spk_emb: np.ndarray | torch.Tensor,
    seed: int = 0,
    most: int = 25,
    prompt: VoicePrompt | None = None,
) -> tuple[Stage, Stage]:
    """Two stages: words with codes -> units -> (samples,) float32 waveforms.

    All words are one utterance. The arguments are those of
    :meth:`TasteToSpeech.stream`, whose chunks these are.
    """
    streams = speak.open_streams([spk_emb], [seed], most, [prompt])

    def units(pieces: Iterator[Words]) -> Iterator:
        return streams.units_of(as_pieces(pieces))

    def sound(made: Iterator) -> Iterator[torch.Tensor]:
        return streams.sound_of(made)

    return units, sound
