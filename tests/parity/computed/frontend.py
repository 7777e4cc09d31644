"""The expected tensors of ``frontend``."""

import torch
from on_device import DEVICE
from torch.nn.utils.rnn import pad_sequence

from espnet2_taste.taste.tokenizer.whisper_mel import WhisperMelFrontend


def frontend(parity) -> dict[str, torch.Tensor]:
    """Log-mel features of a batch padded to 30 s."""
    data = parity.load("frontend")
    wavs = [data[match[0]] for match in parity.match("frontend", r"wav\d+")]
    stored = parity.match("frontend", r"logmel(\d+)_first(\d+)")
    bins = parity.shapes("frontend")[stored[0][0]][1]
    lengths = torch.tensor([len(wav) for wav in wavs])
    model = WhisperMelFrontend(n_mels=bins).to(DEVICE)
    feats, feats_lengths = model(pad_sequence(wavs, batch_first=True), lengths)
    return {
        "feature_lengths": feats_lengths,
        "logmel_tail_value": feats[:, -1, :1],
    } | {match[0]: feats[int(match[1]), : int(match[2])] for match in stored}


FILES = {"frontend": frontend}
