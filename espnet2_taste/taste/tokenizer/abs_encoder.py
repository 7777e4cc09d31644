"""What every TASTE encoder offers: keys and values for the aggregator."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch


@dataclass
class EncoderOutput:
    """Frame-level states the aggregator attends to (paper sec. 2.1.1).

    Attributes:
        keys: (B, F, key_size) last layer, normalised: *where* a word is.
        values: (B, F, value_size) shallow layer, not normalised: *how* it sounds; or
            (B, F, K, value_size), K layers for an aggregator that mixes them.
        lengths: (B,) int64, valid frames of each item.
    """

    keys: torch.Tensor
    values: torch.Tensor
    lengths: torch.Tensor

    def rows(self, index: list[int]) -> "EncoderOutput":
        """Some of the items."""
        return EncoderOutput(self.keys[index], self.values[index], self.lengths[index])

    @property
    def value_layers(self) -> torch.Tensor:
        """(B, F, K, value_size): the values as K layers, one layer too."""
        return self.values if self.values.dim() == 4 else self.values[:, :, None]


def as_list(value: int | str | list, name: str) -> list:
    """What an option that takes one value source or a list of them says.

    Raises:
        ValueError: an empty list, or one source twice.
    """
    sources = list(value) if isinstance(value, list | tuple) else [value]
    if not sources or len(set(sources)) < len(sources):
        raise ValueError(f"{name} {value} must name one or more, each once")
    return sources


def join_values(layers: list[torch.Tensor]) -> torch.Tensor:
    """K times (B, F, value_size) -> ``EncoderOutput.values``."""
    return layers[0] if len(layers) == 1 else torch.stack(layers, dim=2)


class AbsEncoderStream(ABC):
    """Keys and values of speech that comes in pieces, as one pass gives them.

    Attributes:
        latency: frames of features that an output may wait for.
    """

    latency: int

    @abstractmethod
    def push(self, feats: torch.Tensor, last: bool = False) -> EncoderOutput:
        """Hear (B, T, input_size) more features, of utterances at one pace.

        Args:
            feats: of the frontend.
            last: nothing follows.

        Returns:
            Keys and values of the frames that are known now, perhaps none.
        """


class AbsTasteEncoder(torch.nn.Module, ABC):
    """Maps frontend features to keys (last layer) and values (shallow layer).

    Attributes:
        subsampling: frames of features that a frame of keys stands for; None: unknown.
        trained_parts: prefixes of the parameters that are trained though the encoder is
            frozen; :meth:`add_trained` alone uses them.
    """

    subsampling: int | None = None
    trained_parts: tuple[str, ...] = ()

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

    @property
    def num_values(self) -> int:
        """Layers that the values come from (K)."""
        return 1

    @abstractmethod
    def forward(
        self, feats: torch.Tensor, feats_lengths: torch.Tensor
    ) -> EncoderOutput:
        """Encode.

        Args:
            feats: (B, T, input_size) float, output of the frontend.
            feats_lengths: (B,) int64, valid frames.
        """

    def forward_frozen(
        self, feats: torch.Tensor, feats_lengths: torch.Tensor
    ) -> EncoderOutput:
        """What of :meth:`forward` is the same in every epoch if it is frozen."""
        return self(feats, feats_lengths)

    def add_trained(
        self, frozen: EncoderOutput, feats: torch.Tensor, feats_lengths: torch.Tensor
    ) -> EncoderOutput:
        """The rest: of that and the features, what :meth:`forward` gives."""
        return frozen

    def open_stream(self) -> AbsEncoderStream:
        """For speech that comes in pieces: its outputs put together are those of
        :meth:`forward`.

        Raises:
            ValueError: the encoder hears an utterance at once.
        """
        raise ValueError(f"{type(self).__name__} hears an utterance at once")
