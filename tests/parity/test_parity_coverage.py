"""No file and no tensor of a folder is left out.

``test_tensor`` of the other files has a test for every tensor of theirs; here are the
files themselves, shared inputs and the vocoder's tensors, whose tests have names of
their own.
"""

import pytest
import torch
from parity.computed import vocoder
from parity.computed.files import FILES

from espnet2_taste.hub.published_names import DEAD, TASLM, TASTE, to_ours

VOCODER = (vocoder.MAIN, vocoder.EXTRA, vocoder.MODEL)


def files(folder):
    """Names of the tensor files."""
    return sorted(path.stem for path in folder.folder.glob("*.safetensors"))


@pytest.mark.cases(find=files)
def test_file(parity, case):
    assert case in {*FILES, *VOCODER, "model"}, "no test reads this file"


def test_inputs(parity):
    """Each shared input is read by what computes some file."""
    read = set()
    for file, compute in FILES.items():
        if parity.shapes(file):
            read |= parity.reads(file, compute)
    names = {name for file, name in read if file == "inputs"}
    assert names == parity.shapes("inputs").keys()


def test_model(parity):
    """Each weight is one of ours (loading is strict) or dead in the reference."""
    for name in parity.shapes("model"):
        known = to_ours(TASTE, name) or to_ours(TASLM, name)
        assert known or name.startswith(DEAD), name


@pytest.mark.tensors(vocoder.MAIN, vocoder.EXTRA)
def test_vocoder(parity, tensor):
    """A result of ``test_parity_vocoder`` or read on the way to one."""
    file, name = tensor
    results = {(f, n): compute for f, n, compute in vocoder.RESULTS.values()}

    @torch.no_grad()
    def compute(folder):
        case = vocoder.VocoderCase(folder)
        return {n: results[f, n](case) for f, n in results if f == file}

    assert tensor in results or (file, name) in parity.reads(file, compute)
