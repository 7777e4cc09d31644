"""Batching of variable-length arrays (ESPnet's own collate imports g2p and nltk)."""

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence


class TasteCollate:
    """``[(uid, arrays)] -> (uids, batch)`` with ``<name>`` and ``<name>_lengths``.

    Args:
        float_pad_value: padding of floating-point arrays.
        int_pad_value: padding of integer arrays.
    """

    def __init__(self, float_pad_value: float = 0.0, int_pad_value: int = 0):
        self.float_pad_value = float_pad_value
        self.int_pad_value = int_pad_value

    def __call__(
        self, data: list[tuple[str, dict[str, np.ndarray]]]
    ) -> tuple[list[str], dict[str, torch.Tensor]]:
        uids = [uid for uid, _ in data]
        batch = {}
        for name in data[0][1]:
            # torch wants writable memory; kaldiio's arrays are not always
            arrays = [
                torch.from_numpy(np.require(item[name], requirements="W"))
                for _, item in data
            ]
            floating = arrays[0].is_floating_point()
            value = self.float_pad_value if floating else self.int_pad_value
            batch[name] = pad_sequence(arrays, batch_first=True, padding_value=value)
            batch[name + "_lengths"] = torch.tensor([len(a) for a in arrays])
        return uids, batch
