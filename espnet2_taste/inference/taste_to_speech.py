"""Text, TASTE codes and a speaker -> speech units -> waveform (paper sec. 2.1.3)."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from espnet2_taste.inference.base import TasteInference, check_counts
from espnet2_taste.inference.parts import load_part
from espnet2_taste.inference.speech_streams import SpeechStreams, Words, as_pieces
from espnet2_taste.inference.voice_prompt import VoicePrompt
from espnet2_taste.io.models import locate, read_parts
from espnet2_taste.taste.auxiliary import unit_accuracy
from espnet2_taste.taste.speech_decoder.abs_speech_decoder import (
    Conditioning,
    GeneratedUnits,
    Sampling,
)
from espnet2_taste.taste.speech_decoder.streams import word_by_word
from espnet2_taste.units.unit_spec import check_fit
from espnet2_taste.vocoder.abs_vocoder import AbsVocoder


@dataclass
class Synthesis:
    """A synthesised utterance.

    Attributes:
        units: (U,) int64 speech units.
        wav: (N,) float32 waveform; None without a vocoder.
        sample_rate: Hz of ``wav``.
    """

    units: torch.Tensor
    wav: torch.Tensor | None
    sample_rate: int | None


class TasteToSpeech(TasteInference):
    """Synthesise speech.

    Args:
        train_config, model_file, device, weights: see :class:`TasteInference`.
        vocoder: turns units into sound; None: units only. ``weights`` are not its: see
            :meth:`~espnet2_taste.vocoder.abs_vocoder.AbsVocoder.lighten`.
        sampling: how units are drawn; default: with seed 0, so that the same call gives
            the same speech.
        slots: utterances of a batch at work at once, the next begins when one has
            ended; None: all together. The units are the same.
        cuda_graph: with ``slots`` on a GPU, a step is launched as one CUDA graph.

    Example:
        >>> vocoder = load_vocoder("world_vq", "exp/units")
        >>> synthesizer = TasteToSpeech.from_pretrained(
        ...     "exp/taste_rvq", vocoder=vocoder
        ... )
        >>> out = synthesizer("set the red lamp", spk_emb, codes)
        >>> soundfile.write("out.wav", out.wav, out.sample_rate)
    """

    def __init__(
        self,
        train_config: str | Path | None = None,
        model_file: str | Path | None = None,
        device: str = "cpu",
        vocoder: AbsVocoder | None = None,
        sampling: Sampling | None = None,
        slots: int | None = None,
        cuda_graph: bool = False,
        weights: str = "float32",
    ):
        super().__init__(train_config, model_file, device, weights)
        if vocoder is not None:
            check_fit(
                "the vocoder",
                vocoder.unit_spec,
                f"{model_file or train_config}",
                self.unit_spec,
                (vocoder.spk_embed_dim, self.args.spk_embed_dim),
            )
        self.vocoder = vocoder
        self.sampling = sampling or Sampling(seed=0)
        self.slots, self.cuda_graph = slots, cuda_graph

    @classmethod
    def from_pretrained(
        cls, path_or_tag: str | Path, cache_dir: str | None = None, **options
    ):
        """See :class:`TasteInference`; a packed model's vocoder is used by default,
        with the same ``weights``."""
        path = locate(path_or_tag, cache_dir)
        if "vocoder" not in options and "vocoder" in read_parts(path):
            device = options.get("device", "cpu")
            vocoder = load_part(path, "vocoder", device=device)
            if (weights := options.get("weights", "float32")) != "float32":
                vocoder.lighten(weights)
            options["vocoder"] = vocoder
        return super().from_pretrained(path, cache_dir, **options)

    @torch.inference_mode()
    def condition(self, batch: dict) -> Conditioning:
        """Conditioning of a batch: of ``latents``, ``taste`` codes, ``speech``, or text
        alone."""
        audio = None
        hears = self.model.view(batch, "aggregator")
        if "latents" in batch:
            audio = self.model.latents_to_embeddings(batch["latents"], hears)
        elif "taste" in batch:
            audio = self.model.codes_to_embeddings(batch["taste"], hears)
        elif "speech" in batch:
            taste = self.model.run_tokenizer(
                batch["speech"], batch["speech_lengths"], hears
            )
            audio = taste.quantizer.embeddings
        return self.model.condition(batch, audio, batch["spk_emb"])

    @torch.inference_mode()
    def generate_units(
        self, cond: Conditioning, item_seeds: list[int] | None = None
    ) -> GeneratedUnits:
        """Sample units for a batch."""
        decoder, given = self.model.speech_decoder, (cond, self.sampling, item_seeds)
        if self.slots is None:
            return decoder.generate(*given)
        return decoder.generate_running(*given, self.slots, self.cuda_graph)

    @torch.inference_mode()
    def stream_units(
        self, cond: Conditioning, item_seeds: list[int] | None = None
    ) -> Iterator[list[torch.Tensor]]:
        """Units of a batch whose words come one by one, as the decoder streams.

        Yields:
            (n,) int64 new units of each item, one word later.
        """
        decoder = self.model.speech_decoder
        streams = decoder.open_streams(cond.spk_emb, self.sampling, item_seeds)
        for pieces, last in word_by_word(cond):
            yield streams.push(pieces, last)

    @torch.inference_mode()
    def unit_accuracy(self, cond: Conditioning, batch: dict) -> list[dict[str, float]]:
        """How well the known units of each utterance are predicted, teacher-forced.

        Args:
            cond: conditioning of the batch.
            batch: with ``units`` and perhaps ``durations``.

        Returns:
            for each utterance ``top1`` and ``top5``, the shares of its units that are
            the most probable one or among the five most probable, and their ``count``.
        """
        decoder = self.model.speech_decoder
        out = decoder(
            cond, batch["units"], batch["units_lengths"], batch.get("durations")
        )
        found = []
        for logits, targets in zip(
            out.logits.split(1), out.targets.split(1), strict=True
        ):
            count = int(((targets >= 0) & (targets < decoder.num_units)).sum())
            shares = map(float, unit_accuracy(logits, targets, decoder.num_units))
            found.append(dict(zip(("top1", "top5"), shares, strict=True), count=count))
        return found

    def make_batch(
        self,
        text: list[str],
        spk_emb: list[np.ndarray] | torch.Tensor,
        codes: list[torch.Tensor] | None = None,
        speech: list[np.ndarray] | None = None,
        names: list[str] | None = None,
        **arrays: list[np.ndarray],
    ) -> dict:
        """Preprocess and pad; see :meth:`batch_synthesize`.

        Raises:
            ValueError: codes do not fit the text, naming the utterance.
        """
        items = []
        check_counts(text=text, spk_emb=spk_emb, codes=codes, speech=speech)
        names = names or [str(i) for i in range(len(text))]
        for i, transcript in enumerate(text):
            item = {"text": transcript, "spk_emb": spk_emb[i]}
            if codes is not None:
                item["taste"] = codes[i]
            if speech is not None:
                item["speech"] = speech[i]
            item.update({name: values[i] for name, values in arrays.items()})
            items.append(item)
        return self.batch(items, names)

    def batch_synthesize(
        self,
        text: list[str],
        spk_emb: list[np.ndarray] | torch.Tensor,
        codes: list[torch.Tensor] | None = None,
        speech: list[np.ndarray] | None = None,
        item_seeds: list[int] | None = None,
        latents: list[torch.Tensor] | None = None,
    ) -> list[Synthesis]:
        """Synthesise utterances together; the result equals one call each.

        Args:
            text: transcripts.
            spk_emb: (S,) speaker embedding of each.
            codes: (S, R) TASTE codes of each; or
            speech: waveforms at ``self.sample_rate`` to take the (possibly
                unquantised) TASTE embeddings from; neither: text only.
            item_seeds: random stream of each item.
            latents: (S, D) floats of each, in place of codes: what a TASLM with a
                continuous head says.
        """
        check_counts(text=text, item_seeds=item_seeds, latents=latents)
        if not text:
            return []
        more = {} if latents is None else {"latents": latents}
        batch = self.make_batch(text, spk_emb, codes, speech, **more)
        generated = self.generate_units(self.condition(batch), item_seeds)
        lengths = generated.lengths.tolist()
        units = [u[:n] for u, n in zip(generated.units.cpu(), lengths, strict=True)]
        if self.vocoder is None:
            return [Synthesis(u, None, None) for u in units]
        wavs = self.vocoder(units, batch["spk_emb"].cpu())
        return [
            Synthesis(u, wav, self.vocoder.sample_rate)
            for u, wav in zip(units, wavs, strict=True)
        ]

    def __call__(
        self,
        text: str,
        spk_emb: np.ndarray | torch.Tensor,
        codes: torch.Tensor | None = None,
        speech: np.ndarray | None = None,
        seed: int = 0,
        latents: torch.Tensor | None = None,
    ) -> Synthesis:
        """Synthesise one utterance; see :meth:`batch_synthesize`."""
        return self.batch_synthesize(
            [text],
            [spk_emb],
            None if codes is None else [codes],
            None if speech is None else [speech],
            [seed],
            None if latents is None else [latents],
        )[0]

    def open_streams(
        self,
        spk_emb: Sequence[np.ndarray | torch.Tensor],
        item_seeds: Sequence[int] | None = None,
        most: int = 25,
        prompts: Sequence[VoicePrompt | None] | None = None,
    ) -> SpeechStreams:
        """Speak several utterances while their words arrive.

        Args:
            spk_emb: (S,) speaker embedding of each of B streams.
            item_seeds: random stream of each; default 0.
            most, prompts: see
                :class:`~espnet2_taste.inference.speech_streams.SpeechStreams`.
        """
        seeds = [0] * len(spk_emb) if item_seeds is None else item_seeds
        check_counts(spk_emb=spk_emb, item_seeds=seeds)
        return SpeechStreams(self, spk_emb, seeds, most, prompts)

    def stream(
        self,
        words: str | Iterable[Words],
        spk_emb: np.ndarray | torch.Tensor,
        codes: np.ndarray | torch.Tensor | None = None,
        seed: int = 0,
        most: int = 25,
        prompt: VoicePrompt | None = None,
    ) -> Iterator[torch.Tensor]:
        """Speak one utterance while it is made, and perhaps while its words arrive.

        Stop iterating, and nothing more is computed.

        Args:
            words: a text; or an iterator of pieces, each of whole words with their
                codes: :class:`~espnet2_taste.inference.speech_streams.Words`, pairs, or
                what :meth:`TaslmGenerate.stream` yields.
            spk_emb: (S,) speaker embedding.
            codes: (S, R) TASTE codes of a text; None: text only.
            seed: as in :meth:`__call__`, which makes the same units.
            most: units after which there shall be sound.
            prompt: a recording whose voice the utterance goes on with.

        Yields:
            (samples,) float32, never empty, at ``vocoder.sample_rate``.

        Raises:
            ValueError: without a vocoder; and while iterating, on a bad piece.
        """
        streams = self.open_streams([spk_emb], [seed], most, [prompt])
        return streams.sound_of(streams.units_of(as_pieces(words, codes)))
