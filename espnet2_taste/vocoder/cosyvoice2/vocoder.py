"""The `cosyvoice2` vocoder: units and a speaker embedding -> waveform."""

from pathlib import Path

import torch

from espnet2_taste.vocoder.cosyvoice.generator import Noise
from espnet2_taste.vocoder.cosyvoice.source import NUM_HARMONICS
from espnet2_taste.vocoder.cosyvoice.vocoder import CosyVoiceVocoder, Prompt
from espnet2_taste.vocoder.cosyvoice2.flow import RATE
from espnet2_taste.vocoder.cosyvoice2.generator import Noise2, VoiceGenerator2
from espnet2_taste.vocoder.cosyvoice2.streams import CosyVoice2Streams


class CosyVoice2Vocoder(CosyVoiceVocoder):
    """Units + speaker embedding -> 24 kHz waveform of 960 samples a unit.

    Args:
        model: run in eval mode, whatever mode it is in.
        seed: of the noise.
        fixed_noise: the flow of every utterance starts from the same noise, as
            published; False: from the utterance's own.
        chunked: whole utterances go through the flow as streams do, chunk by chunk.
            Default: every frame sees all others.
    """

    generator_class = VoiceGenerator2

    def __init__(
        self,
        model: VoiceGenerator2,
        seed: int = 0,
        fixed_noise: bool = True,
        chunked: bool = False,
    ):
        super().__init__(model, seed)
        self.fixed_noise = fixed_noise
        self.view = {"chunk": model.flow.chunk if chunked else None}

    @classmethod
    def from_pretrained(
        cls,
        path: str | Path,
        device: str = "cpu",
        hift: str | Path | None = None,
        seed: int = 0,
        flow_conf: dict | None = None,
        hift_conf: dict | None = None,
        fixed_noise: bool = True,
        chunked: bool = False,
    ) -> "CosyVoice2Vocoder":
        """Load CosyVoice 2's folder, our own, or a trained flow.

        Args:
            path, device, hift, seed, flow_conf, hift_conf: see
                :meth:`CosyVoiceVocoder.from_pretrained`.
            fixed_noise, chunked: see the class.
        """
        made = super().from_pretrained(path, device, hift, seed, flow_conf, hift_conf)
        return cls(made.model, seed, fixed_noise, chunked)

    def open_streams(
        self,
        spk_emb: torch.Tensor,
        item_seeds: list[int] | None = None,
        prompts: list[Prompt] | None = None,
    ) -> CosyVoice2Streams:
        """Speak B utterances while their units arrive, see :class:`CosyVoice2Streams`.

        Args:
            spk_emb: (B, spk_embed_dim).
            item_seeds, prompts: as of ``__call__``.
        """
        return CosyVoice2Streams(self, spk_emb, item_seeds, prompts)

    def new_noise(self, item_seed: int) -> Noise2:
        """Random numbers of an utterance."""
        spec = self.model.flow.mel_spec
        return Noise2(spec.num_mels, spec.hop, self.seed, item_seed, self.fixed_noise)

    @staticmethod
    def fit(prompt: Prompt) -> Prompt:
        """A prompt of two mel frames a unit: what is too long is cut."""
        size = min(len(prompt.units), len(prompt.mel) // RATE)
        return Prompt(prompt.units[:size], prompt.mel[: RATE * size])

    def _draw(self, frames: int, known: int, item_seed: int) -> Noise:
        noise = self.new_noise(item_seed)
        source = noise.source(frames - known)
        return Noise(noise.flow(frames), torch.zeros(NUM_HARMONICS), source)
