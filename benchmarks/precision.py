"""What bfloat16 autocast does to the outputs, with random weights."""

from collections.abc import Iterator

import torch

from benchmarks.measure import Timer
from benchmarks.setup import Setup
from benchmarks.table import Row


@torch.inference_mode()
def run(setup: Setup, timer: Timer) -> Iterator[Row]:
    """Codes that stay the same, and the error of each part's main output."""
    batch = setup.taste_batch()
    lm_batch = setup.taslm_batch("taslm", setup.work.training_batch)
    exact = outputs(setup, batch, lm_batch)
    with torch.autocast(setup.device.type, torch.bfloat16):
        rounded = outputs(setup, batch, lm_batch)
    for name, want in exact.items():
        got = rounded[name]
        if not torch.isfinite(got).all():
            raise RuntimeError(f"bfloat16 makes {name} infinite or nan")
        if want.is_floating_point():
            got, want = got.double(), want.double()
            error = 100 * float((got - want).norm() / want.norm())
            yield Row(f"{name}: error", error, unit="%", against="float32")
        else:
            equal = 100 * float((got == want).double().mean())
            yield Row(f"{name}: equal", equal, unit="%", against="float32")


def outputs(setup: Setup, batch: dict, lm_batch: dict) -> dict[str, torch.Tensor]:
    """Codes, embeddings and logits by name."""
    text = setup.taste.view(batch, "aggregator")
    seen = {}
    hook = setup.taste.speech_decoder.register_forward_hook(
        lambda module, args, output: seen.update(logits=output.logits)
    )
    setup.taste(**batch)
    hook.remove()
    made = setup.taste.run_tokenizer(batch["speech"], batch["speech_lengths"], text)
    found = {
        "codes": made.quantizer.codes,
        "encoder keys": made.encoder.keys,
        "latent": made.quantizer.latent,
        "unit logits": seen["logits"],
    }
    inputs = setup.taslm.assemble(setup.taslm.view(lm_batch), lm_batch["taste"])
    hidden = setup.taslm.lm(inputs.embeds).hidden
    return found | {
        "TASLM states": hidden,
        "TASLM text logits": setup.taslm.lm.logits(hidden[:, -1]),
    }
