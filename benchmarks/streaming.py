"""Words -> units -> sound while it is made: the first sound, the cost of a chunk, and
what streaming costs beside whole utterances; for one stream and for several at once."""

import statistics
import time
from collections.abc import Iterator
from itertools import pairwise

import torch

from benchmarks.measure import Timer
from benchmarks.setup import Setup
from benchmarks.table import Row
from espnet2_taste.taste.speech_decoder.abs_speech_decoder import Sampling
from espnet2_taste.taste.speech_decoder.streams import Piece, joined

SAMPLING = Sampling(top_k=25, seed=0)


@torch.inference_mode()
def run(setup: Setup, timer: Timer) -> Iterator[Row]:
    """Rows for each number of streams; all texts are known from the start."""
    work, (decoder, vocoder) = setup.work, setup.streaming
    # everybody has as many units, whatever the end of speech
    decoder.max_ratio = (work.stream_units + 0.5) / work.stream_tokens
    decoder.llm_decoder.bias.data[decoder.end] = -1e4
    seconds = work.stream_units / vocoder.unit_spec.unit_rate
    for count in work.streams:
        pieces = [piece(setup, decoder) for _ in range(count)]
        speakers = torch.randn(count, vocoder.spk_embed_dim)
        heard: list[list[tuple[float, int]]] = []

        def offline(pieces=pieces, speakers=speakers):
            cond = joined([[one] for one in pieces], speakers.to(setup.device))
            made = decoder.generate(cond, SAMPLING, in_blocks=True)
            lengths = made.lengths.tolist()
            units = [u[:n] for u, n in zip(made.units.cpu(), lengths, strict=True)]
            return vocoder(units, speakers)

        def stream(pieces=pieces, speakers=speakers, heard=heard):
            heard.append(listen(decoder, vocoder, pieces, speakers, setup.device))

        times, made = timer(offline=offline, stream=stream)
        for log in heard:
            if sum(size for _, size in log) != len(made["offline"][0]):
                raise RuntimeError("streams and whole utterances differ in length")
        yield from rows(count, seconds, times, heard[1:])  # the first one warms up


def rows(count: int, seconds: float, times: dict, heard: list[list]) -> Iterator[Row]:
    """What was heard when, as rows.

    Args:
        count: of streams.
        seconds: of speech of each.
        times: median seconds of ``offline`` and ``stream``.
        heard: of each run, seconds since its begin and samples of each chunk.
    """
    case = f"{count} x {seconds:.1f} s"
    yield Row(
        f"first sound, {case}",
        1e3 * statistics.median(log[0][0] for log in heard),
        target="<= 250" if count == 1 else "",
    )
    for name in ("stream", "offline"):
        factor = times[name] / seconds
        yield Row(
            f"{case}, {'streamed' if name == 'stream' else 'whole'}",
            1e3 * times[name],
            target="<= .1 real time" if count == 1 else "",
            note=f"real-time factor {factor:.3f}, {factor / count:.4f} a stream",
        )
    # the first chunk waits for more units than others, the last is what is left
    costs = [
        [now - before for (before, _), (now, _) in pairwise(log[:-1])] for log in heard
    ]
    chunks = [statistics.median(position) for position in zip(*costs, strict=True)]
    if chunks:
        yield Row(
            f"a chunk, {case}",
            1e3 * statistics.median(chunks),
            note=f"{heard[0][1][1]} samples; from the second on: "
            + ", ".join(f"{1e3 * cost:.0f}" for cost in chunks),
        )
        yield Row(
            f"the last whole chunk over the second, {case}",
            chunks[-1] / chunks[0],
            unit="x",
            target="1 (flat)",
        )


def listen(
    decoder, vocoder, pieces: list[Piece], speakers: torch.Tensor, device
) -> list[tuple[float, int]]:
    """Speak; seconds since the texts came, and samples, of each chunk of stream 0."""
    start, log = time.perf_counter(), []
    units = decoder.open_streams(speakers.to(device), SAMPLING)
    sound = vocoder.open_streams(speakers)
    units.feed(pieces, [True] * len(pieces))
    while not all(units.done):
        wav = sound.push(units.pull(), units.done)[0]
        if len(wav):
            log.append((time.perf_counter() - start, len(wav)))
    return log


def piece(setup: Setup, decoder) -> Piece:
    """Random text and TASTE vectors."""
    tokens = setup.work.stream_tokens
    size = setup.conf["streaming"]["decoder_conf"]["vocab_size"]
    return Piece(
        torch.randint(5, size, (tokens,), device=setup.device),
        torch.arange(tokens, device=setup.device),
        torch.randn(tokens, decoder.audio_size, device=setup.device),
    )
