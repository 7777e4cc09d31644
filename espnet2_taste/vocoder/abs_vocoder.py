"""What every unit vocoder offers: waveforms from speech units."""

from abc import abstractmethod
from collections.abc import Sequence

import torch

from espnet2_taste.io.lazy_choices import AbsPart
from espnet2_taste.io.values import check_numbers
from espnet2_taste.nn.light_linears import check_weights
from espnet2_taste.nn.streams import AbsStreams, OneStream
from espnet2_taste.units.unit_spec import UnitSpec


class AbsVocoder(AbsPart):
    """Units + speaker embedding -> waveform, of whole utterances or while they arrive.

    Attributes:
        sample_rate: Hz of the waveforms it makes.
        unit_spec: of the units it takes.
        spk_embed_dim: width of the speaker embeddings it takes; None: it looks at none.
        takes_prompts: whether ``prompts`` are among its options, speech to go on from;
            then it has ``prompt_mel`` and ``fit``, as
            :class:`~espnet2_taste.vocoder.cosyvoice.vocoder.CosyVoiceVocoder` has.
    """

    sample_rate: int
    unit_spec: UnitSpec
    spk_embed_dim: int | None = None
    takes_prompts = False

    def check(self, units: list[torch.Tensor], spk_emb: torch.Tensor) -> None:
        """Refuse what belongs to another vocoder, or is no speech at all.

        Raises:
            ValueError: speaker embeddings of another shape or with values that are no
                numbers, units that are no integers or outside the vocabulary.
        """
        wanted = (len(units), self.spk_embed_dim)
        if self.spk_embed_dim is not None:
            if tuple(spk_emb.shape) != wanted:
                raise ValueError(
                    f"speaker embeddings are {tuple(spk_emb.shape)}, the vocoder takes "
                    f"{wanted}: use the speaker encoder it was trained with"
                )
            for row, embedding in enumerate(spk_emb):
                check_numbers(f"the speaker embedding of utterance {row}", embedding)
        self.check_units(units)

    def check_units(self, units: list[torch.Tensor]) -> None:
        """The part of :meth:`check` that looks at units."""
        for item in units:
            if item.ndim != 1 or item.is_floating_point():
                raise ValueError(
                    f"units must be (U,) integers, not {tuple(item.shape)} {item.dtype}"
                )
            count = self.unit_spec.num_units
            if len(item) and (item.min() < 0 or item.max() >= count):
                raise ValueError(
                    f"units must lie in [0, {count}), these span "
                    f"[{item.min()}, {item.max()}]"
                )

    def lighten(self, weights: str) -> None:
        """Compute with lighter weights from now on, on a CPU.

        Here, without a network that would gain by it, nothing changes.

        Args:
            weights: see :func:`~espnet2_taste.nn.light_linears.lighten_linears`.

        Raises:
            ValueError: as there.
        """
        check_weights(weights)

    @abstractmethod
    def __call__(
        self, units: list[torch.Tensor], spk_emb: torch.Tensor
    ) -> list[torch.Tensor]:
        """Synthesise, after :meth:`check`.

        Args:
            units: 1-D int64 unit ids of each utterance (may be empty).
            spk_emb: (B, S) float speaker embeddings.

        Returns:
            1-D float32 waveforms in [-1, 1] at ``sample_rate``.
        """

    def open_streams(
        self, spk_emb: torch.Tensor, **options: list
    ) -> "AbsVocoderStreams":
        """Speak B utterances while their units arrive.

        Here an utterance sounds when its last unit has come. A vocoder that needs less
        overrides this with a session of its own.

        Args:
            spk_emb: (B, S) float speaker embeddings.
            options: those of ``__call__`` that are lists of B, as ``prompts``.

        Raises:
            ValueError: see :meth:`check`.
        """
        return WholeUtteranceStreams(self, spk_emb, options)

    def open_stream(self, spk_emb: torch.Tensor, **options) -> OneStream:
        """Speak one utterance: ``spk_emb`` (S,), and of each option one item."""
        options = {name: [item] for name, item in options.items()}
        return OneStream(self.open_streams(spk_emb[None], **options))


class AbsVocoderStreams(AbsStreams):
    """B utterances being spoken; their state, none of which is the vocoder's.

    ``push`` takes (n,) int64 units of each and gives (samples,) float32 waveforms in
    [-1, 1], on the CPU. All that a stream gives has as many samples as the vocoder
    makes of all its units at once, however they were cut into pieces; where its sound
    differs from that, its class says how.

    Args:
        vocoder: whose streams they are.
        spk_emb: (B, S).

    Raises:
        ValueError: speaker embeddings that do not fit.
    """

    def __init__(self, vocoder: AbsVocoder, spk_emb: torch.Tensor):
        super().__init__(len(spk_emb))
        self.nothing = torch.zeros(0, dtype=torch.long)
        vocoder.check([self.nothing] * self.count, spk_emb)
        self.vocoder = vocoder
        self.spk_emb = spk_emb

    def push(
        self,
        units: Sequence[torch.Tensor | None],
        last: Sequence[bool] | None = None,
    ) -> list[torch.Tensor]:
        units, last = self.check_push(units, last)
        units = [self.nothing if item is None else item for item in units]
        self.vocoder.check_units(units)
        ends = [now and not was for now, was in zip(last, self.ended, strict=True)]
        self.ended = [now or was for now, was in zip(last, self.ended, strict=True)]
        return self.speak(units, ends)

    @abstractmethod
    def speak(self, units: list[torch.Tensor], ends: list[bool]) -> list[torch.Tensor]:
        """:meth:`push` after all checks.

        Args:
            units: B (n,) int64, what is new of each stream, possibly nothing.
            ends: B, whether a stream ends with them (it had not ended before).

        Returns:
            B (samples,) float32, possibly empty.
        """


class WholeUtteranceStreams(AbsVocoderStreams):
    """Streams of a vocoder that needs all units first: exact, and late.

    Utterances that end with one push are spoken as one batch.

    Args:
        vocoder, spk_emb: see :class:`AbsVocoderStreams`.
        options: see :meth:`AbsVocoder.open_streams`.
    """

    def __init__(
        self, vocoder: AbsVocoder, spk_emb: torch.Tensor, options: dict[str, list]
    ):
        super().__init__(vocoder, spk_emb)
        self.options = options
        self.held = [[self.nothing] for _ in range(self.count)]

    def speak(self, units: list[torch.Tensor], ends: list[bool]) -> list[torch.Tensor]:
        wavs = [torch.zeros(0) for _ in units]
        for held, item in zip(self.held, units, strict=True):
            held.append(item)
        rows = [i for i, end in enumerate(ends) if end]
        if rows:
            whole = [torch.cat(self.held[i]) for i in rows]
            options = {k: [v[i] for i in rows] for k, v in self.options.items()}
            spoken = self.vocoder(whole, self.spk_emb[rows], **options)
            for i, wav in zip(rows, spoken, strict=True):
                wavs[i], self.held[i] = wav, []
        return wavs
