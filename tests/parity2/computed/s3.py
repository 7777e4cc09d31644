"""CosyVoice 2's units: the network of the package s3tokenizer, as we build it."""

import pytest
import torch
from on_device import DEVICE
from parity.compare import Result

from espnet2_taste.nn.segments import length_mask
from espnet2_taste.units.s3 import S3UnitExtractor, build_model
from espnet2_taste.units.unit_spec import UnitSpec

SCALE = 0.9990000128746033  # of the values that are rounded


@torch.inference_mode()
def units(folder) -> dict[str, torch.Tensor | Result]:
    """``u_s3v2``; positions after an item's end mean nothing."""
    pytest.importorskip("s3tokenizer")
    extractor = S3UnitExtractor(build_model(folder.weights_of("u_s3v2_model"), 2))
    assert extractor.spec == UnitSpec(6561, 25.0, 16000)
    network, data = extractor.model.to(DEVICE), folder.load("u_s3v2")
    mel, lengths = data["mel"], data["mel_len"]
    hidden, _ = network.encoder(mel, lengths)
    value = network.quantizer._codebook.project_down(hidden).tanh() * SCALE
    codes, counts = network.quantize(mel, lengths)
    valid = length_mask(counts, codes.size(1))
    return {
        "hidden": Result(hidden, valid),
        "fsq_value": Result(value, valid),
        "code": Result(codes, valid),
        "len": counts,
    }


FILES = {"u_s3v2": units}
