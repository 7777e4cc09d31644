"""Log-mel features against the reference's (frontend)."""

import pytest
import torch
from on_device import DEVICE
from parity.compare import assert_same, check_tensor
from parity.computed.frontend import FILES
from torch.nn.utils.rnn import pad_sequence

from espnet2_taste.taste.tokenizer.whisper_mel import HOP_LENGTH, WhisperMelFrontend


@pytest.mark.tensors(*FILES)
def test_tensor(parity, tensor):
    check_tensor(parity, FILES, tensor)


@pytest.mark.parametrize("pad_to_30s", [True, False], ids=["padded", "unpadded"])
def test_every_frame(parity, pad_to_30s):
    """Own lengths, a constant tail, and the same frames without padding to 30 s."""
    data = parity.load("frontend")
    wavs = [data[match[0]] for match in parity.match("frontend", r"wav\d+")]
    lengths = torch.tensor([len(wav) for wav in wavs])
    for match in parity.match("frontend", r"logmel(\d+)_first(\d+)"):
        item, stored = int(match[1]), int(match[2])
        want = data[match[0]]
        frontend = WhisperMelFrontend(n_mels=want.size(1), pad_to_30s=pad_to_30s)
        frontend = frontend.to(DEVICE)
        feats, frames = frontend(pad_sequence(wavs, batch_first=True), lengths)
        assert frames.tolist() == (lengths // HOP_LENGTH).tolist()
        valid = int(frames[item])
        assert_same(feats[item, :valid][:stored], want[:valid])
        if pad_to_30s:
            # a window reaches two frames beyond the audio
            rest = feats[item, max(stored, valid + 3) :]
            assert_same(rest, data["logmel_tail_value"][item].expand(rest.shape))
