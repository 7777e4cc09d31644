"""What every TASTE encoder offers: keys and values for the aggregator."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch


@dataclass
class EncoderOutput:
    """Frame-level states the aggregator attends to (paper sec. 2.1.1).

    Attributes:
        keys: (B, F, key_size) last layer, normalised: *where* a word is.
        values: (B, F, value_size) shallow layer, not normalised: *how* it sounds.
        lengths: (B,) int64, valid frames of each item.
    """

    keys: torch.Tensor
    values: torch.Tensor
    lengths: torch.Tensor


class AbsTasteEncoder(torch.nn.Module, ABC):
    """Maps frontend features to keys (last layer) and values (shallow layer)."""

    @staticmethod
    def resolve_conf(conf: dict, frontend: torch.nn.Module | None = None) -> dict:
        """What config.yaml keeps: arguments that need no other part or file.

        Args:
            conf: encoder_conf as the user wrote it (not changed).
            frontend: of the same model.
        """
        return conf

    @property
    @abstractmethod
    def key_size(self) -> int:
        """Width of the keys."""

    @property
    @abstractmethod
    def value_size(self) -> int:
        """Width of the values."""

    @abstractmethod
    def forward(
        self, feats: torch.Tensor, feats_lengths: torch.Tensor
    ) -> EncoderOutput:
        """Encode.

        Args:
            feats: (B, T, input_size) float, output of the frontend.
            feats_lengths: (B,) int64, valid frames.
        """
