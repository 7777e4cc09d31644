"""The expected tensors of ``g_voice_generator`` and ``g_voice_generator_extra``."""

from functools import cached_property

import torch
from on_device import DEVICE

from espnet2_taste.hub.compat import count_padding, round_phases
from espnet2_taste.nn.padding import frame_mask
from espnet2_taste.vocoder.cosyvoice.cfm import FlowDraws
from espnet2_taste.vocoder.cosyvoice.checkpoint import fold_weight_norm, infer_conf
from espnet2_taste.vocoder.cosyvoice.flow import Flow
from espnet2_taste.vocoder.cosyvoice.generator import VoiceGenerator
from espnet2_taste.vocoder.cosyvoice.hift import HiFT
from espnet2_taste.vocoder.cosyvoice.mel_spec import MelSpec

MAIN, EXTRA = "g_voice_generator", "g_voice_generator_extra"
MODEL = "g_voice_generator_model"


class VocoderCase:
    """A folder's generator, its inputs, and what it makes of them.

    Letters name the cases of EXTRA (A prompt, B voicing and clipping, C padded U-Net, D
    training loss); "" is MAIN.
    """

    def __init__(self, parity):
        self.config = parity.json(f"{MAIN}.json")["config"]
        self.state = dict(parity.load(MODEL))
        self.main = parity.load(MAIN)
        self.extra = parity.load(EXTRA)

    @staticmethod
    def arguments(config: dict) -> tuple[dict, dict]:
        """Of a VoiceGenerator: flow and HiFT, from the folder's JSON."""
        encoder, unet, cfm = (config[k] for k in ("encoder", "estimator", "cfm"))
        (unet_size,) = set(unet["channels"])
        flow = {
            "num_units": config["vocab_size"],
            "spk_embed_dim": config["spk_embed_dim"],
            "mel_size": config["n_mels"],
            "embed_size": config["input_size"],
            "encoder_size": encoder["output_size"],
            "encoder_heads": encoder["attention_heads"],
            "encoder_ffn_size": encoder["linear_units"],
            "encoder_blocks": encoder["num_blocks"],
            "unet_size": unet_size,
            "unet_heads": unet["num_heads"],
            "unet_head_size": unet["attention_head_dim"],
            "unet_blocks": unet["n_blocks"],
            "unet_mid_stages": unet["num_mid_blocks"],
            "num_steps": config["n_timesteps"],
            "guidance": cfm["inference_cfg_rate"],
            "drop_rate": cfm["training_cfg_rate"],
            "sigma": cfm["sigma_min"],
        }
        hift = {
            "mel_size": config["n_mels"],
            "base_size": config["hift"]["base_channels"],
            "f0_size": config["hift"]["cond_channels"],
        }
        return flow, hift

    def build(self) -> VoiceGenerator:
        """With the folder's weights, whose shapes must tell the same sizes."""
        flow, hift = self.arguments(self.config)
        inferred = infer_conf(self.state, flow["unet_heads"])
        assert inferred["flow_conf"].items() <= flow.items()
        assert inferred["hift_conf"] == hift
        model = VoiceGenerator(flow, hift)
        model.load_state_dict(fold_weight_norm(self.state))
        return model.to(DEVICE).eval()

    @cached_property
    def model(self) -> VoiceGenerator:
        return self.build()

    @property
    def units(self) -> torch.Tensor:
        (length,) = self.main["speech_token_lengths"]
        return self.main["speech_token_ids"][:, :length].long()

    def encoder_out(self) -> torch.Tensor:
        return self.model.flow.encode(self.units)

    def mu(self) -> torch.Tensor:
        mu = self.model.flow.prior(self.units, self.main["z"].size(2))
        return mu.transpose(1, 2)

    def estimate(self, step: int, conditional: bool = True) -> torch.Tensor:
        """The U-Net's output at step 0 or 1 of the ODE."""
        flow, x = self.model.flow, self.main["z"]
        times, steps = flow.decoder.schedule()
        if step == 1:
            weight = flow.decoder.guidance
            first = (1 + weight) * self.estimate(0) - weight * self.estimate(0, False)
            x = x + steps[0] * first
        cond, mu = torch.zeros_like(x), self.mu().transpose(1, 2)
        speaker = flow.speaker(self.main["flow_embedding"])
        unet = flow.decoder.estimator
        time = unet.time_table(times[step : step + 1])
        return unet(x, mu * conditional, time, speaker * conditional, cond)

    def mel(self) -> torch.Tensor:
        return self.model.flow(self.units, self.main["flow_embedding"], self.main["z"])

    def prompted_mel(self) -> torch.Tensor:
        """A: prompt units and mel, an odd number of frames, an id of -1 (clamped)."""
        data = self.extra
        units = torch.cat([data["A.prompt_token"], data["A.token"]], 1).long()
        noise, known = data["A.z"], data["A.prompt_feat"].size(1)
        assert MelSpec().count_frames(units.size(1)) == noise.size(2)
        cond = torch.zeros_like(noise)
        cond[..., :known] = data["A.prompt_feat"].transpose(1, 2)
        mel = self.model.flow(units, data["A.embedding"], noise, cond=cond)
        return mel[..., known:]

    def hift(self, letter: str) -> HiFT:
        """The HiFT of the main case or of B, which has two biases of its own."""
        hift = self.build().hift
        if letter == "B":
            hift.f0_predictor.classifier.bias.data = self.extra["B.classifier_bias"]
            hift.conv_post.bias.data = self.extra["B.conv_post_bias"]
        return hift

    def recorded(self, letter: str, *names: str) -> list[torch.Tensor]:
        """Some of mel, phase, sine_noise, f0 and wav."""
        if letter == "B":
            found = [self.extra[f"B.{name}"] for name in names]
        else:
            hift = {"phase": "hift_phase", "sine_noise": "hift_sine_noise"}
            found = [self.main[hift.get(name, name)] for name in names]
        return [
            tensor.squeeze(2) if name == "phase" else tensor
            for name, tensor in zip(names, found, strict=True)
        ]

    def f0(self, letter: str) -> torch.Tensor:
        return self.hift(letter).f0_predictor(*self.recorded(letter, "mel"))

    def wav(self, letter: str) -> torch.Tensor:
        """From recorded mel and f0, with the reference's rounding of phases."""
        inputs = self.recorded(letter, "mel", "phase", "sine_noise", "f0")
        return round_phases(self.hift(letter))(*inputs)

    def padded_unet(self, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        """C: under the reference's masking."""
        unet = count_padding(self.build().flow).decoder.estimator.to(dtype)
        x, mu, time, speaker, cond = (
            self.extra[f"C.{name}"].to(dtype)
            for name in ("x", "mu", "t", "spk", "cond")
        )
        mask = frame_mask(self.extra["C.lengths"], x.size(2))
        return unet(x, mu, unet.time_table(time), speaker, cond, mask)

    def training(self, dtype: torch.dtype = torch.float32) -> tuple[Flow, tuple]:
        """D: a flow, and the arguments of its loss for a padded batch."""
        data, flow = self.extra, count_padding(self.build().flow).to(dtype)
        mel = data["D.feat"].transpose(1, 2).to(dtype)
        draws = (data[f"D.{k}"].to(dtype) for k in ("t_uniform", "z", "keep_uniform"))
        return flow, (
            data["D.token"].long(),
            data["D.token_len"].long(),
            mel,
            data["D.feat_len"].long(),
            data["D.embedding"].to(dtype),
            torch.zeros_like(mel),
            FlowDraws(*draws),
        )

    def loss(self) -> torch.Tensor:
        flow, inputs = self.training()
        return flow.loss(*inputs)[None]


#: test id -> file, expected tensor, and what computes it (in order: later ones read
#: what earlier ones make)
RESULTS = {
    "g-encoder": (MAIN, "encoder_out", VocoderCase.encoder_out),
    "g-mu": (MAIN, "mu", VocoderCase.mu),
    "g-unet-step0-cond": (MAIN, "est_step0_cond", lambda c: c.estimate(0)),
    "g-unet-step0-uncond": (MAIN, "est_step0_uncond", lambda c: c.estimate(0, False)),
    "g-unet-step1-cond": (MAIN, "est_step1_cond", lambda c: c.estimate(1)),
    "g-mel": (MAIN, "mel", VocoderCase.mel),
    "g-f0": (MAIN, "f0", lambda c: c.f0("")),
    "g-wav": (MAIN, "wav", lambda c: c.wav("")),
    "gA-mel": (EXTRA, "A.mel", VocoderCase.prompted_mel),
    "gB-f0": (EXTRA, "B.f0", lambda c: c.f0("B")),
    "gB-wav": (EXTRA, "B.wav", lambda c: c.wav("B")),
    "gC-unet": (EXTRA, "C.out", VocoderCase.padded_unet),
    "gD-loss": (EXTRA, "D.loss", VocoderCase.loss),
}
