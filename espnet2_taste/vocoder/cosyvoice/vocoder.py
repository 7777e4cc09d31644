"""The `cosyvoice` vocoder: units and a speaker embedding -> waveform."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn import functional as F

from espnet2_taste.io.values import check_numbers
from espnet2_taste.vocoder.abs_vocoder import AbsVocoder
from espnet2_taste.vocoder.cosyvoice import checkpoint
from espnet2_taste.vocoder.cosyvoice.generator import Noise, VoiceGenerator
from espnet2_taste.vocoder.cosyvoice.mel import TargetMel


@dataclass
class Prompt:
    """Speech that a synthesis continues, in its voice and manner.

    Attributes:
        units: (n,) int64.
        mel: (P, mel_size) its mel, fewer frames than all units together make.
    """

    units: torch.Tensor
    mel: torch.Tensor


@dataclass
class _Job:
    """One utterance on the device: prompt and target units, known mel, noise."""

    frames: int

    units: torch.Tensor
    cond: torch.Tensor  # (mel_size, P)
    noise: Noise


class CosyVoiceVocoder(AbsVocoder):
    """Units + speaker embedding -> waveform of whole mel frames.

    Every item of a batch sounds as it does alone: masks keep the padding out of the
    flow, HiFT runs once per length, and the noise comes from the item's own stream.

    Args:
        model: run in eval mode, whatever mode it is in.
        seed: of the noise.
    """

    generator_class = VoiceGenerator
    takes_prompts = True
    view: dict = {}  # further arguments of the flow

    def __init__(self, model: VoiceGenerator, seed: int = 0):
        self.model = model
        self.seed = seed
        self.sample_rate = model.flow.mel_spec.sample_rate
        self.unit_spec = model.flow.unit_spec
        self.spk_embed_dim = model.flow.spk_embed_dim

    @classmethod
    def from_pretrained(
        cls,
        path: str | Path,
        device: str = "cpu",
        hift: str | Path | None = None,
        seed: int = 0,
        flow_conf: dict | None = None,
        hift_conf: dict | None = None,
    ) -> "CosyVoiceVocoder":
        """Load ``voice_generator.pth``, CosyVoice's folder, our own, or a trained flow.

        Args:
            path: see :func:`~espnet2_taste.vocoder.cosyvoice.checkpoint.read`.
            device: torch device.
            hift: where HiFT comes from, if not from ``path``.
            seed: of the noise.
            flow_conf, hift_conf: what the weights do not tell, e.g.
                ``{"unet_heads": 8, "num_steps": 5}``.
        """
        conf = {"hift": hift, "flow_conf": flow_conf, "hift_conf": hift_conf}
        kind = cls.generator_class
        return cls(checkpoint.load(path, device, kind, **conf), seed)

    @classmethod
    def pack(
        cls,
        path: str | Path,
        folder: Path,
        hift: str | Path | None = None,
        flow_conf: dict | None = None,
        hift_conf: dict | None = None,
    ) -> None:
        conf = {"hift": hift, "flow_conf": flow_conf, "hift_conf": hift_conf}
        checkpoint.save(folder, *checkpoint.gather(path, **conf))

    def lighten(self, weights: str) -> None:
        self.model.lighten(weights)

    @torch.inference_mode()
    def __call__(
        self,
        units: list[torch.Tensor],
        spk_emb: torch.Tensor,
        item_seeds: list[int] | None = None,
        prompts: list[Prompt] | None = None,
        noise: list[Noise] | None = None,
    ) -> list[torch.Tensor]:
        """See AbsVocoder; no units give no samples.

        Args:
            units: 1-D int64 unit ids of each utterance.
            spk_emb: (B, spk_embed_dim), of any length.
            item_seeds: B integers, mixed with the vocoder's seed; default 0 for each.
            prompts: speech that each utterance continues, or None.
            noise: random numbers of each utterance instead of drawn ones.

        Raises:
            ValueError: see :meth:`check`; a prompt that does not fit, or a list of
                another length.
        """
        self.check(units, spk_emb)
        if prompts is not None:
            self.check_units([prompt.units for prompt in prompts if prompt])
        extras = {"item_seeds": item_seeds, "prompts": prompts, "noise": noise}
        for name, given in extras.items():
            if given is not None and len(given) != len(units):
                raise ValueError(f"{len(given)} {name} for {len(units)} utterances")
        rows = [i for i, item in enumerate(units) if len(item)]
        jobs = [
            self._job(
                units[i],
                prompts[i] if prompts else None,
                item_seeds[i] if item_seeds else 0,
                noise[i] if noise else None,
            )
            for i in rows
        ]
        wavs = [torch.zeros(0) for _ in units]
        if jobs:
            self.model.eval()
            mels = self._mels(jobs, spk_emb[rows].to(self._device).float())
            for i, wav in zip(rows, self._waveforms(mels, jobs), strict=True):
                wavs[i] = wav
        return wavs

    def prompt_mel(self, wav: torch.Tensor) -> torch.Tensor:
        """(N,) float waveform at ``sample_rate`` -> (P, mel_size), of a prompt."""
        mel = TargetMel(self.model.flow.mel_spec)
        return mel(wav[None], torch.tensor([len(wav)]))[0][0].T

    @staticmethod
    def fit(prompt: Prompt) -> Prompt:
        """What of a prompt is used: all of it."""
        return prompt

    @property
    def _device(self) -> torch.device:
        return self.model.flow.encoder_proj.weight.device

    def _job(
        self,
        units: torch.Tensor,
        prompt: Prompt | None,
        item_seed: int,
        noise: Noise | None,
    ) -> _Job:
        """Check an utterance and give it noise."""
        flow = self.model.flow
        cond = torch.zeros(flow.mel_size, 0)
        if prompt is not None:
            prompt = self.fit(prompt)
            units, cond = torch.cat([prompt.units, units]), prompt.mel.T
            check_numbers("a prompt's mel", cond)
        frames, known = flow.count_frames(len(units)), cond.size(1)
        if len(cond) != flow.mel_size or known >= frames:
            raise ValueError(
                f"a prompt's mel of {known} frames x {len(cond)} bins does not fit "
                f"{len(units)} units: fewer than {frames} x {flow.mel_size} do"
            )
        if noise is None:
            noise = self._draw(frames, known, item_seed)
        return _Job(frames, units, cond, noise)

    def _draw(self, frames: int, known: int, item_seed: int) -> Noise:
        """Noise of an utterance whose first ``known`` frames are its prompt's."""
        mel_spec = self.model.flow.mel_spec
        return Noise.draw(mel_spec, frames, known, self.seed, item_seed)

    def _mels(self, jobs: list[_Job], spk_emb: torch.Tensor) -> list[torch.Tensor]:
        """Mels (mel_size, T) without the prompts, from one batch."""
        units = self._stack([job.units for job in jobs])
        size = max(job.frames for job in jobs)
        cond = self._stack([job.cond for job in jobs], size).float()
        noise = self._stack([job.noise.flow for job in jobs])
        lengths = self._lengths([len(job.units) for job in jobs])
        mel = self.model.flow(units, spk_emb, noise, lengths, cond, **self.view)
        return [
            item[:, job.cond.size(1) : job.frames]
            for item, job in zip(mel, jobs, strict=True)
        ]

    def _waveforms(
        self, mels: list[torch.Tensor], jobs: list[_Job]
    ) -> list[torch.Tensor]:
        """Waveforms of mels; those of one length in one batch."""
        by_length: dict[int, list[int]] = {}
        for i, mel in enumerate(mels):
            by_length.setdefault(mel.size(1), []).append(i)
        wavs = {}
        for rows in by_length.values():
            batch = self.model.hift(
                self._stack([mels[i] for i in rows]),
                self._stack([jobs[i].noise.offsets for i in rows]),
                self._stack([jobs[i].noise.source for i in rows]),
            )
            wavs.update(zip(rows, batch.cpu(), strict=True))
        return [wavs[i] for i in range(len(mels))]

    def _stack(self, items: list[torch.Tensor], size: int = 0) -> torch.Tensor:
        """Pad the last dimension with zeros to the longest (at least ``size``)."""
        size = max(size, *(item.size(-1) for item in items))
        padded = [F.pad(item, (0, size - item.size(-1))) for item in items]
        return torch.stack(padded).to(self._device)

    def _lengths(self, lengths: list[int]) -> torch.Tensor | None:
        """None if all are equal: then there is no padding to keep out."""
        if len(set(lengths)) == 1:
            return None
        return torch.tensor(lengths, device=self._device)
