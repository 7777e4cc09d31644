"""Units -> waveform: flow matching with guidance, then HiFT."""

from collections.abc import Iterator

import torch

from benchmarks.measure import Timer, check_equal
from benchmarks.naive import TwoCalls
from benchmarks.setup import Setup
from benchmarks.table import Row


@torch.inference_mode()
def run(setup: Setup, timer: Timer) -> Iterator[Row]:
    """Guidance in one call against two, a batch against one utterance."""
    work, vocoder = setup.work, setup.vocoder
    flow = vocoder.model.flow
    units = torch.randint(flow.num_units, (work.vocoder_batch, work.vocoder_units))
    speakers = torch.randn(work.vocoder_batch, flow.spk_embed_dim)
    unet = flow.decoder.estimator

    def synthesise(batch: int, estimator: torch.nn.Module = unet):
        def call() -> torch.Tensor:
            flow.decoder.estimator = estimator
            try:
                return vocoder(list(units[:batch]), speakers[:batch])[0]
            finally:
                flow.decoder.estimator = unet

        return call

    times, made = timer(
        ours=synthesise(1),
        naive=synthesise(1, TwoCalls(unet)),
        many=synthesise(work.vocoder_batch),
    )
    check_equal("waveform", made["ours"], made["naive"])
    seconds = work.vocoder_units / 50
    yield Row(
        f"{seconds:g} s of speech",
        1e3 * times["ours"],
        ratio=times["naive"] / times["ours"],
        against="guidance in two calls",
        note=f"real-time factor {times['ours'] / seconds:.2f}",
    )
    yield Row(
        f"{seconds:g} s of speech, batch of {work.vocoder_batch}",
        1e3 * times["many"],
        ratio=work.vocoder_batch * times["ours"] / times["many"],
        against="one by one",
        note=f"real-time factor {times['many'] / seconds / work.vocoder_batch:.2f}",
    )
