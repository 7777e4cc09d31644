"""Training of HiFT with ESPnet's GAN trainer, as CosyVoice 2's recipe trains it."""

import dataclasses

import torch
from espnet2.gan_tts.hifigan.loss import (
    DiscriminatorAdversarialLoss,
    FeatureMatchLoss,
    GeneratorAdversarialLoss,
)
from espnet2.torch_utils.device_funcs import force_gatherable
from espnet2.train.abs_gan_espnet_model import AbsGANESPnetModel
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

from espnet2_taste.vocoder.cosyvoice.discriminators import (
    SHORTEST,
    Discriminators,
    relativistic_loss,
)
from espnet2_taste.vocoder.cosyvoice.hift import HiFT
from espnet2_taste.vocoder.cosyvoice.mel import TargetMel
from espnet2_taste.vocoder.cosyvoice.mel_spec import MelSpec
from espnet2_taste.vocoder.cosyvoice.source import NUM_HARMONICS


class HiFTModel(AbsGANESPnetModel):
    """Segments of speech and their f0 -> losses of HiFT and of its discriminators.

    Least squares for the adversaries, plus weighted losses of what the discriminators'
    layers see, of the mel up to the highest frequency, of the truncated relativistic
    scores and of f0. f0's loss alone trains the f0 predictor.

    HiFT's parameters have the published names (``hift.*``), weights normed: a
    checkpoint is loaded as a vocoder's ``hift``, and ``--init_param hift.pt::hift``
    starts from CosyVoice 2's.

    Args:
        hift_conf: arguments of :class:`HiFT`; default: the published sizes.
        segment: mel frames of a training item.
        period_size, spectrum_size: see :class:`Discriminators`.
        feature_weight: of the sum over layers of mean absolute differences: CosyVoice's
            2, times 2 in HiFi-GAN's code that it calls.
        mel_weight, f0_weight: of mean absolute differences, log mel and Hz.
        tpr_weight, tpr_tau: see :func:`relativistic_loss`; weight 0: not computed.

    Raises:
        ValueError: a segment that the discriminators' spectrograms do not fit into, no
            channels, or a weight below 0.
    """

    hift_class: type[HiFT] = HiFT
    mel_defaults: dict = {}  # fields of MelSpec that are not CosyVoice 1's
    extract_feats_in_collect_stats = False

    def __init__(
        self,
        hift_conf: dict | None = None,
        segment: int = 51,
        period_size: int = 32,
        spectrum_size: int = 32,
        feature_weight: float = 4.0,
        mel_weight: float = 45.0,
        f0_weight: float = 1.0,
        tpr_weight: float = 1.0,
        tpr_tau: float = 0.04,
    ):
        super().__init__()
        self.hift = self.hift_class(**(hift_conf or {}))
        spec = self.hift.mel_spec
        if segment * spec.hop <= SHORTEST:
            raise ValueError(
                f"segment {segment}: the discriminators take at least "
                f"{SHORTEST // spec.hop + 1} mel frames of {spec.hop} samples"
            )
        if min(period_size, spectrum_size) < 1:
            raise ValueError(
                f"period_size {period_size}, spectrum_size {spectrum_size}: at least 1"
            )
        norm_weights(self.hift)
        self.discriminators = Discriminators(period_size, spectrum_size)
        self.mel = TargetMel(spec)
        # of what is generated, all frequencies count
        full = dataclasses.replace(spec, fmax=spec.sample_rate / 2)
        self.full_mel = TargetMel(full)
        self.weights = {
            **{"real": 1.0, "fake": 1.0, "adv": 1.0, "tpr": tpr_weight},
            **{"feat_match": feature_weight, "mel": mel_weight, "f0": f0_weight},
        }
        for name, weight in self.weights.items():
            if weight < 0:
                raise ValueError(f"the weight of {name} is {weight}: at least 0")
        self.tpr_tau = tpr_tau
        # sums over discriminators and layers, as HiFi-GAN
        self.judge = DiscriminatorAdversarialLoss(average_by_discriminators=False)
        self.fool = GeneratorAdversarialLoss(average_by_discriminators=False)
        self.match = FeatureMatchLoss(False, False, include_final_outputs=True)
        self._generated: tuple | None = None

    @classmethod
    def segments(
        cls, hift_conf: dict | None = None, segment: int = 51, **others
    ) -> tuple[MelSpec, int]:
        """Mel, and frames of an item, of the arguments of the constructor."""
        given = (hift_conf or {}).get("mel_spec") or {}
        return MelSpec(**cls.mel_defaults | given), segment

    def forward(
        self,
        speech: torch.Tensor,
        f0: torch.Tensor,
        forward_generator: bool = True,
        **kwargs,
    ) -> dict:
        """Losses of one of the two turns that a batch has in ESPnet's GAN trainer.

        Args:
            speech: (B, N) float segments at the mel's sample rate, N a multiple of its
                hop.
            f0: (B, N / hop) float Hz by frame, 0 where unvoiced.
            forward_generator: HiFT's turn, else the discriminators'.
            kwargs: ignored (lengths, ``utt_id``).

        Returns:
            ``loss``, ``stats``, ``weight`` (the batch size) and ``optim_idx``.
        """
        turn = self._generator_turn if forward_generator else self._discriminator_turn
        losses = turn(speech, f0)
        loss = sum(self.weights[name] * value for name, value in losses.items())
        side = "generator" if forward_generator else "discriminator"
        stats = {f"{side}_{name}_loss": v.detach() for name, v in losses.items()}
        stats[f"{side}_loss"] = loss.detach().clone()  # the trainer scales the loss
        loss, stats, weight = force_gatherable((loss, stats, len(speech)), loss.device)
        optimizer = 0 if forward_generator else 1
        return {"loss": loss, "stats": stats, "weight": weight, "optim_idx": optimizer}

    def _discriminator_turn(self, speech, f0) -> dict[str, torch.Tensor]:
        made = self._generate(speech)
        # HiFT's turn comes next, with the same weights: what is made is made once
        self._generated = (speech, *made)
        real, fake = _halves(self.discriminators(torch.cat([speech, made[0].detach()])))
        real_loss, fake_loss = self.judge(fake, real)
        return {"real": real_loss, "fake": fake_loss} | self._relation(real, fake)

    def _generator_turn(self, speech, f0) -> dict[str, torch.Tensor]:
        kept, self._generated = self._generated, None
        same = kept is not None and kept[0] is speech
        wav, predicted = kept[1:] if same else self._generate(speech)
        with torch.no_grad():
            real = self.discriminators(speech)
        fake = self.discriminators(wav)
        return {
            "adv": self.fool(fake),
            "feat_match": self.match(fake, real),
            "mel": F.l1_loss(self._full_mel(wav), self._full_mel(speech)),
            "f0": F.l1_loss(predicted, f0),
        } | self._relation(real, fake)

    def _relation(self, real, fake) -> dict[str, torch.Tensor]:
        if not self.weights["tpr"]:
            return {}
        return {"tpr": relativistic_loss(real, fake, self.tpr_tau)}

    def _generate(self, speech: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Waveforms (B, N) of the speech's mel, and f0 (B, N / hop) as predicted.

        Validation draws the same numbers every time.
        """
        options = {"device": speech.device}
        if not self.training:
            options["generator"] = torch.Generator(speech.device).manual_seed(0)
        mel, _ = self.mel(speech, _lengths(speech))
        f0 = self.hift.f0_predictor(mel).to(mel.dtype)  # no phase of half precision
        uniform = torch.rand(len(speech), NUM_HARMONICS, **options)
        noise = torch.randn(len(speech), NUM_HARMONICS, speech.size(1), **options)
        offsets = (2 * uniform - 1) * torch.pi
        source = self.hift.m_source(f0.detach(), offsets, noise)
        return self.hift.decode(mel, source), f0

    def _full_mel(self, wav: torch.Tensor) -> torch.Tensor:
        return self.full_mel(wav, _lengths(wav))[0]

    def collect_feats(self, **batch: torch.Tensor) -> dict[str, torch.Tensor]:
        """Nothing needs statistics."""
        return {}


def norm_weights(hift: HiFT) -> None:
    """Norm the weights of HiFT's convolutions, of the published ones."""
    for name, module in list(hift.named_modules()):
        convolves = isinstance(module, nn.Conv1d | nn.ConvTranspose1d)
        if convolves and not name.startswith("source_downs."):
            weight_norm(module)


def _halves(made: list[list[torch.Tensor]]) -> tuple[list[list[torch.Tensor]], ...]:
    """What discriminators made of two batches in one, apart."""
    pairs = [[layer.chunk(2) for layer in layers] for layers in made]
    return tuple([[pair[i] for pair in layers] for layers in pairs] for i in (0, 1))


def _lengths(wav: torch.Tensor) -> torch.Tensor:
    """Of a batch without padding."""
    return torch.full((len(wav),), wav.size(1), device=wav.device)
