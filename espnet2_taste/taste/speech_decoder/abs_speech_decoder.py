"""What every speech decoder offers: units from text, TASTE embeddings and a speaker."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from espnet2_taste.nn.streams import OneStream
from espnet2_taste.text.view import TextView

if TYPE_CHECKING:
    from espnet2_taste.taste.speech_decoder.running import RunningUnits
    from espnet2_taste.taste.speech_decoder.streams import DecoderStreams


@dataclass
class Conditioning:
    """What an utterance says (text), how (TASTE), and in whose voice (speaker).

    Attributes:
        text: in the decoder's vocabulary, L tokens.
        audio: (B, L, D) quantised TASTE embeddings, one per *token* (a segment's vector
            repeated over its tokens), or None: text only.
        spk_emb: (B, S) float speaker embeddings.
    """

    text: TextView
    audio: torch.Tensor | None
    spk_emb: torch.Tensor


@dataclass
class SpeechDecoderOutput:
    """Teacher-forced result.

    Attributes:
        loss: scalar, mean cross-entropy over targets.
        logits: (B, N, V).
        targets: (B, N) int64, -1 where there is nothing to predict.
    """

    loss: torch.Tensor
    logits: torch.Tensor
    targets: torch.Tensor


@dataclass
class Sampling:
    """How units are drawn.

    Attributes:
        top_k: candidates kept, renormalised, at each step; 1 = greedy.
        temperature: divides the logits first; None: as the decoder is configured,
            mostly 1.
        seed: of the private generator; None draws from torch's global one.
            Each item draws from its own stream (seeded with its key), so that a
            batch gives what single runs give.
        top_p: of the ``top_k``, those that follow less than so much probability, one
            at least; None: as the decoder is configured, mostly 1 (off).
        ras_window: repetition-aware sampling (VALL-E 2, CosyVoice 2): a drawn unit that
            is among the last so many ones of its item too often is drawn again, from
            all others; 0 is off, None as the decoder is configured.
        ras_tau: too often is this share of the window.
    """

    top_k: int = 25
    temperature: float | None = None
    seed: int | None = None
    top_p: float | None = None
    ras_window: int | None = None
    ras_tau: float = 0.1


@dataclass
class GeneratedUnits:
    """Generated units.

    Attributes:
        units: (B, U) int64, 0 after the end.
        lengths: (B,) int64.
        durations: (B, W) int64 units per word where the decoder knows them, else None.
    """

    units: torch.Tensor
    lengths: torch.Tensor
    durations: torch.Tensor | None = None


class AbsSpeechDecoder(torch.nn.Module, ABC):
    """Autoregressive speech decoder (paper sec. 2.1.3)."""

    #: True when training needs ``durations`` (units per word) from an aligner.
    requires_durations: bool = False
    #: True when training needs ``prosody`` (of words) from an aligner.
    requires_prosody: bool = False
    #: whether ``prompts`` are among the options of its streams, speech to go on from
    takes_prompts: bool = False
    #: values of what :class:`Sampling` leaves open
    sampling_defaults: dict[str, float] = {}

    @abstractmethod
    def forward(
        self,
        cond: Conditioning,
        units: torch.Tensor,
        units_lengths: torch.Tensor,
        durations: torch.Tensor | None = None,
        prosody: torch.Tensor | None = None,
    ) -> SpeechDecoderOutput:
        """Teacher-forced loss.

        Args:
            cond: conditioning of the batch.
            units: (B, U) int64 speech units, anything in the padding.
            units_lengths: (B,) int64.
            durations: (B, W) int64 units per word, summing to units_lengths.
            prosody: (B, W, 3) float of words, as an aligner measures it.
        """

    @abstractmethod
    def generate(
        self,
        cond: Conditioning,
        sampling: Sampling,
        item_seeds: list[int] | None = None,
    ) -> GeneratedUnits:
        """Sample units for a whole batch, in eval mode, with key-value caches.

        Args:
            cond: conditioning of the batch.
            sampling: how to draw.
            item_seeds: one integer per item, mixed with ``sampling.seed``; default
                0 for every item.
        """

    def configured(self, sampling: Sampling) -> Sampling:
        """``sampling`` with the decoder's own values where it says None."""
        own = self.sampling_defaults.items()
        return replace(
            sampling, **{k: v for k, v in own if getattr(sampling, k) is None}
        )

    def running(
        self, sampling: Sampling, slots: int, capacity: int | None = None
    ) -> "RunningUnits":
        """An empty running batch, which utterances enter and leave, see
        :class:`~espnet2_taste.taste.speech_decoder.running.RunningUnits`.

        Raises:
            ValueError: this decoder has none.
        """
        raise ValueError(f"{type(self).__name__} decodes whole batches: give no slots")

    def stepped(self) -> torch.nn.Module:
        """What each step of a generation computes, to be packed for reading."""
        return self

    @torch.no_grad()
    def generate_running(
        self,
        cond: Conditioning,
        sampling: Sampling,
        item_seeds: list[int] | None = None,
        slots: int = 16,
        graph: bool = False,
    ) -> GeneratedUnits:
        """What :meth:`generate` gives, with ``slots`` utterances at work at once: the
        next one begins as soon as one ends. ``graph``: steps are one CUDA graph."""
        from espnet2_taste.nn.packed_linears import packed_linears
        from espnet2_taste.taste.speech_decoder.running import as_batch

        count = len(cond.spk_emb)
        if not count:
            return self.generate(cond, sampling, item_seeds)
        running = self.running(sampling, min(slots, count))
        running.add(cond, item_seeds)
        if graph:
            running.fix()
        with packed_linears(self.stepped(), rows=running.slots):
            return as_batch(running.results())

    def generate_blocks(
        self,
        cond: Conditioning,
        sampling: Sampling,
        item_seeds: list[int] | None = None,
    ) -> Iterator[GeneratedUnits]:
        """What :meth:`generate` gives, block by block as it is made.

        Here one block. A decoder that makes units from left to right yields as it goes;
        whoever stops iterating stops it.
        """
        yield self.generate(cond, sampling, item_seeds)

    def open_streams(
        self,
        spk_emb: torch.Tensor,
        sampling: Sampling,
        item_seeds: list[int] | None = None,
    ) -> "DecoderStreams":
        """Decode B utterances while their words arrive, see
        :class:`~espnet2_taste.taste.speech_decoder.streams.DecoderStreams`.

        Here units follow the end of a text. A decoder that needs less of it overrides
        this.

        Args:
            spk_emb: (B, S), on the decoder's device.
            sampling: how to draw.
            item_seeds: B integers, mixed with ``sampling.seed``; default 0 for each.
        """
        from espnet2_taste.taste.speech_decoder.streams import WholeTextStreams

        seeds = [0] * len(spk_emb) if item_seeds is None else item_seeds
        return WholeTextStreams(self, spk_emb, sampling, seeds)

    def open_stream(
        self, spk_emb: torch.Tensor, sampling: Sampling, item_seed: int = 0
    ) -> OneStream:
        """Decode one utterance: ``spk_emb`` (S,). See :meth:`open_streams`."""
        return OneStream(self.open_streams(spk_emb[None], sampling, [item_seed]))


def check_shares(**shares: float) -> None:
    """Refuse an option that is no share, by its name.

    Raises:
        ValueError: one is not in [0, 1).
    """
    for name, share in shares.items():
        if not 0 <= share < 1:
            raise ValueError(f"{name} must be in [0, 1), got {share}")


def own_temperature(temperature: float) -> dict[str, float]:
    """:attr:`AbsSpeechDecoder.sampling_defaults` of a decoder with such a temperature.

    Raises:
        ValueError: it is not above 0.
    """
    if temperature <= 0:
        raise ValueError(f"temperature must be positive, got {temperature}")
    return {"temperature": temperature}
