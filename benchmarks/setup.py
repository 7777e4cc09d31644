"""Named configurations and the models they describe, with random weights."""

import argparse
from functools import cached_property
from pathlib import Path

import torch

from espnet2_taste.io.config import read_training_config

ROOT = Path(__file__).resolve().parents[1]
CONF = Path(__file__).parent / "conf"
#: Options of the training commands that a configuration may leave out.
TASTE_DEFAULTS = {"fusion_conf": {}, "quantizer_conf": {}, "model_conf": {}}
TASLM_DEFAULTS = TASTE_DEFAULTS | {"speech_head_conf": {}}


def read_conf(path: Path) -> dict:
    """A YAML file in which ``from: FILE`` stands for that file's content.

    Keys beside ``from`` are merged over it; files are named from the repository root.
    """
    return _expand(read_training_config(path))


def _expand(conf):
    if not isinstance(conf, dict):
        return conf
    own = {key: _expand(value) for key, value in conf.items() if key != "from"}
    return _merge(read_conf(ROOT / conf["from"]), own) if "from" in conf else own


def _merge(base: dict, over: dict) -> dict:
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(base.get(key), dict)
        merged[key] = _merge(base[key], value) if both else value
    return merged


class Setup:
    """What a benchmark runs: models (built when first asked for) and amounts of work.

    Args:
        name: of a file in ``conf/``.
        device: torch device.

    Raises:
        ValueError: there is no such configuration.
    """

    def __init__(self, name: str, device: str = "cpu"):
        known = sorted(p.stem for p in CONF.glob("*.yaml"))
        if name not in known:
            raise ValueError(f"no configuration {name!r}; there are {known}")
        self.name = name
        self.device = torch.device(device)
        self.conf = read_conf(CONF / f"{name}.yaml")
        self.work = argparse.Namespace(**self.conf["work"])

    @cached_property
    def taste(self):
        """The tokenizer with its speech decoder, in eval mode."""
        return self._taste(self.conf["taste"])

    @cached_property
    def taslm(self):
        """The TASLM, in eval mode."""
        return self._taslm("taslm")

    @cached_property
    def training(self):
        """The TASLM whose training is measured."""
        return self._taslm("training")

    @cached_property
    def vocoder(self):
        """Flow matching and HiFT."""
        from espnet2_taste.vocoder.cosyvoice.generator import VoiceGenerator
        from espnet2_taste.vocoder.cosyvoice.vocoder import CosyVoiceVocoder

        model = self._random(lambda conf: VoiceGenerator(**conf), self.conf["vocoder"])
        return CosyVoiceVocoder(model)

    @cached_property
    def streaming(self):
        """The speech decoder and the vocoder that stream."""
        from espnet2_taste.nn.fusion import WeightedSumFusion
        from espnet2_taste.taste.speech_decoder.interleaved_lm import (
            InterleavedLMDecoder,
        )
        from espnet2_taste.vocoder.cosyvoice2.generator import VoiceGenerator2
        from espnet2_taste.vocoder.cosyvoice2.vocoder import CosyVoice2Vocoder

        def make(part: type):
            return lambda conf: part(**conf)

        conf = self.conf["streaming"]
        decoder_conf = conf["decoder_conf"] | {"fusion": WeightedSumFusion}
        decoder = self._random(make(InterleavedLMDecoder), decoder_conf)
        model = self._random(make(VoiceGenerator2), conf["vocoder"])
        return decoder, CosyVoice2Vocoder(model)

    @cached_property
    def parallel(self):
        """The speech decoder of a few passes, with the tokenizer's embeddings."""
        from espnet2_taste.nn.fusion import WeightedSumFusion
        from espnet2_taste.taste.speech_decoder.masked_parallel import (
            MaskedParallelDecoder,
        )

        conf, audio_size = self.conf["taste"], self.taste.quantizer.dim
        return self._random(
            lambda sizes: MaskedParallelDecoder(
                conf["vocab_size"],
                audio_size,
                conf["num_units"],
                conf["spk_embed_dim"],
                WeightedSumFusion,
                **sizes,
            ),
            self.conf["parallel"],
        )

    def stage(self, name: str, attention: str):
        """The tokenizer in a sub-stage of its training, as ESPnet's trainer gets it."""
        conf = self.conf["stages"][name]
        encoder_conf = conf["encoder_conf"] | {"attn_implementation": attention}
        model = self._taste(conf | {"encoder_conf": encoder_conf})
        for key, parameter in model.named_parameters():
            if any(key.startswith(f"{part}.") for part in conf.get("freeze_param", [])):
                parameter.requires_grad = False
        return model.train()

    def lm_training(self, attention: str, section: str = "training"):
        """The TASLM of a section to be trained, with this attention."""
        return self._taslm(section, {"attn_implementation": attention}).train()

    def _taste(self, conf: dict):
        from espnet2_taste.taste.build import build_taste_model

        return self._random(
            build_taste_model, argparse.Namespace(**TASTE_DEFAULTS | conf)
        )

    def _taslm(self, section: str, lm_conf: dict | None = None):
        from espnet2_taste.taslm.build import build_taslm_model

        args = argparse.Namespace(**TASLM_DEFAULTS | self.conf[section])
        args.lm_conf = args.lm_conf | (lm_conf or {})
        return self._random(build_taslm_model, args)

    def _random(self, build, args):
        torch.manual_seed(0)
        # On the device: no minutes for a billion random numbers on a CPU. Whoever
        # asks first, others may train it: no inference tensors.
        with self.device, torch.inference_mode(False):
            return build(args).to(self.device).eval()

    def text(self, batch: int, tokens: int, vocab_size: int) -> dict:
        """Random texts of three tokens for two words, and random codes of the words."""
        word = torch.arange(tokens) * 2 // 3
        quantizer = self.conf["taste"]["quantizer_conf"]
        codes = (batch, int(word[-1]) + 1, quantizer["num_codebooks"])
        made = {
            "text": torch.randint(5, vocab_size, (batch, tokens)),
            "text_lengths": torch.full((batch,), tokens),
            "word_ids": word.expand(batch, -1),
            "taste": torch.randint(quantizer["codebook_size"], codes),
        }
        return {key: tensor.to(self.device) for key, tensor in made.items()}

    def taste_batch(self, batch: int | None = None) -> dict:
        """What the tokenizer's training reads, with speech of ``step_seconds``.

        Args:
            batch: utterances; default: ``step_batch``.
        """
        work, conf = self.work, self.conf["taste"]
        batch = batch or work.step_batch
        made = self.text(batch, work.step_tokens, conf["vocab_size"])
        del made["taste"]
        shapes = {"speech": 16000 * work.step_seconds, "units": 50 * work.step_seconds}
        made["speech"] = 0.1 * torch.randn(batch, shapes["speech"], device=self.device)
        made["units"] = torch.randint(
            conf["num_units"], (batch, shapes["units"]), device=self.device
        )
        made["spk_emb"] = torch.randn(batch, conf["spk_embed_dim"], device=self.device)
        for name, size in shapes.items():
            made[f"{name}_lengths"] = torch.full((batch,), size, device=self.device)
        return made

    def taslm_batch(self, section: str, batch: int) -> dict:
        """What the TASLM's training reads: ``training_tokens`` tokens each."""
        vocab_size = self.conf[section]["vocab_size"]
        made = self.text(batch, self.work.training_tokens, vocab_size)
        words = torch.full_like(made["text_lengths"], made["taste"].size(1))
        return made | {"word_ids_lengths": made["text_lengths"], "taste_lengths": words}
