"""What trains on a GPU: each case builds tiny models on a device and returns a call.

``TRAINING[name](device, size)`` -> a function of no arguments; ``size`` is the number
of utterances. Random weights and inputs are the same on every device. What trained
models do is in :mod:`gpu_generation`.
"""

import argparse
import copy

import torch
from tiny_vocoder import TINY as VOCODER
from tiny_vocoder import TINY2 as VOCODER2

from benchmarks.setup import CONF, TASLM_DEFAULTS, TASTE_DEFAULTS, read_conf
from espnet2_taste.text.abs_word_tokenizer import AbsWordTokenizer

TINY = read_conf(CONF / "tiny.yaml")
WINDOWS = {
    "frontend_conf": TINY["taste"]["frontend_conf"] | {"floor": False},
    "encoder_conf": TINY["taste"]["encoder_conf"]
    | {"window_s": 0.3, "left_context_s": 0.1},
}
SPEAKER, UNITS = TINY["taste"]["spk_embed_dim"], TINY["taste"]["num_units"]
FSQ = {"levels": [3, 3], "num_codebooks": 2}
WORD_SYNCHRONOUS = {"size": 16, "num_layers": 1, "text_layers": 1, "num_heads": 2}
INTERLEAVED = {
    "lm_conf": {
        "config": {
            "model_type": "qwen2",
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
        }
    },
    "mix_ratio": [1, 2],
}
AUXILIARY = {"prosody_weight": 0.5, "guidance_weight": 0.1, "ctc_weight": 0.1}
HEAD = {"output_size": 16, "attention_heads": 2, "linear_units": 16, "num_blocks": 1}
HEAD |= {"rel_pos_type": "latest"}
ESPNET_ENCODER = {
    "encoder": "transformer",
    "encoder_conf": {
        "output_size": 16,
        "attention_heads": 2,
        "linear_units": 16,
        "num_blocks": 1,
        "input_layer": "conv2d",
    },
    "value_source": ["features", 0],
    "value_size": 16,
}


class Letters(AbsWordTokenizer):
    """40 tokens, each a word of one letter."""

    vocab_size = 40

    def _encode(self, word, spaced):
        return (ord(word) - ord("A"),)

    def piece(self, index):
        return " " + chr(ord("A") + index)


def build(section: str, device: str, **changes) -> torch.nn.Module:
    """The tiny ``taste`` or ``taslm`` model, with other options, in eval mode."""
    from espnet2_taste.taslm.build import build_taslm_model
    from espnet2_taste.taste.build import build_taste_model

    defaults, make = {
        "taste": (TASTE_DEFAULTS, build_taste_model),
        "taslm": (TASLM_DEFAULTS, build_taslm_model),
    }[section]
    torch.manual_seed(0)
    options = copy.deepcopy(defaults | TINY[section]) | changes
    return make(argparse.Namespace(**options)).to(device).eval()


def batch(device: str, size: int) -> dict[str, torch.Tensor]:
    """Utterances of different lengths, with everything that some part reads."""
    generator = torch.Generator().manual_seed(1)
    text_lengths = torch.arange(size) % 4 + 3
    word_ids = (torch.arange(6) // 2).expand(size, -1)
    num_words = (text_lengths + 1) // 2
    durations = (torch.arange(3) < num_words[:, None]) * 4
    samples = 8000 + 1600 * (torch.arange(size) % 3)
    pitch = 120.0 + 20 * torch.arange(size)[:, None]  # Hz: noise has none to agree on
    angle = 2 * torch.pi * pitch * torch.arange(int(samples.max())) / 16000
    made = {
        "text": torch.randint(5, 40, (size, 6), generator=generator),
        "text_lengths": text_lengths,
        "word_ids": word_ids.contiguous(),
        "word_ids_lengths": text_lengths,
        "taste": torch.randint(8, (size, 3, 2), generator=generator),
        "taste_lengths": num_words,
        "units": torch.randint(UNITS, (size, 12), generator=generator),
        "units_lengths": durations.sum(1),
        "spk_emb": torch.randn(size, SPEAKER, generator=generator),
        "speech": 0.1 * (angle.sin() + (2 * angle).sin()),
        "speech_lengths": samples,
        "durations": durations,
        "prosody": torch.randn(size, 3, 3, generator=generator),
        "prosody_lengths": num_words,
    }
    return {name: tensor.to(device) for name, tensor in made.items()}


def as_dialogues(data: dict[str, torch.Tensor]) -> None:
    """First segments are not spoken, the second alone are learned."""
    data["taste"][:, 0] = -1
    data["learned"] = (data["word_ids"] == 1).long()


def train(section: str, change=None, **changes):
    """A case: two steps of training, whose losses are returned.

    ``change``: does something to the data.
    """

    def case(device: str, size: int):
        model, data = build(section, device, **changes).train(), batch(device, size)
        if change is not None:
            change(data)
        if getattr(model, "predict", None) is not None:
            model.predict.load = lambda: {"text": Letters()}
        for module in model.modules():  # masks are drawn in another way on a device
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
            elif isinstance(getattr(module, "dropout", None), float):
                module.dropout = 0.0
        trained = [p for p in model.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(trained, lr=1e-2)

        def step() -> torch.Tensor:
            torch.manual_seed(0)
            loss, stats, _ = model(**data)
            loss.sum().backward()
            torch.nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
            optimizer.zero_grad()
            return torch.stack([loss.detach().sum(), *map(torch.sum, stats.values())])

        return step

    return case


def flow_training(version: int):
    """A case: a step of the flow's training, of CosyVoice 1 or 2."""
    from espnet2_taste.vocoder.cosyvoice.espnet_model import FlowModel
    from espnet2_taste.vocoder.cosyvoice2.espnet_model import CausalFlowModel

    kind = {1: FlowModel, 2: CausalFlowModel}[version]
    conf = {1: VOCODER, 2: VOCODER2}[version]["flow_conf"]

    def case(device: str, size: int):
        torch.manual_seed(0)
        model = kind(conf | {"dropout": 0.0}, prompt_rate=0.5).to(device).train()
        data = batch(device, size)
        data["speech"] = data["speech"].repeat(1, 2)
        data["speech_lengths"] = data["speech_lengths"] * 2

        def step() -> torch.Tensor:
            torch.manual_seed(0)
            loss, _, _ = model(**data)
            loss.sum().backward()
            return loss.detach()

        return step

    return case


def hift_training(device: str, size: int):
    """A step of HiFT's training, and of its discriminators'."""
    from espnet2_taste.vocoder.cosyvoice2.espnet_model import HiFT24Model

    torch.manual_seed(0)
    sizes = {"segment": 4, "period_size": 1, "spectrum_size": 2}
    model = HiFT24Model(VOCODER2["hift_conf"], **sizes).to(device).train()
    data = {"speech": batch(device, size)["speech"][:, :1920]}
    data["f0"] = torch.full((size, 4), 120.0).to(device)

    def step() -> torch.Tensor:
        torch.manual_seed(0)
        made = [model(forward_generator=side, **data) for side in (False, True)]
        for turn in made:
            turn["loss"].backward()
        stats = [value for turn in made for value in turn["stats"].values()]
        return torch.stack(stats).cpu()

    return step


LATENT = {"speech_head": "latent"}
TASTE2 = {
    "speech_head": "gaussian",
    "speech_head_conf": {"linear_variance": True},
    "model_conf": {"start_symbol": False, "pad_projected": True},
}
TRAINING = {
    "text-only": train(
        "taste", model_conf={"text_only": True}, quantizer="none", quantizer_conf={}
    ),
    "no-vq": train("taste", quantizer="none", quantizer_conf={"codebook_dim": 4}),
    "rvq": train("taste"),
    "fsq": train("taste", quantizer="fsq", quantizer_conf=FSQ),
    "windows": train("taste", **WINDOWS),
    "auxiliary": train(
        "taste",
        frontend="mel_pitch",
        frontend_conf={"n_mels": 20},
        encoder="espnet",
        encoder_conf=ESPNET_ENCODER,
        aggregator="multi_layer",
        speech_decoder="word_synchronous",
        speech_decoder_conf=WORD_SYNCHRONOUS
        | {"audio_dropout": 0.3, "prosody_weight": 0.3},
        model_conf=AUXILIARY,
    ),
    "heard": train(
        "taste",
        model_conf={
            "ctc_weight": 1.0,
            "ctc_conf": {"encoder": "conformer", "encoder_conf": HEAD}
            | {"inner_layer": 1},
            "predicted_text": True,
        },
    ),
    "masked_parallel": train(
        "taste",
        speech_decoder="masked_parallel",
        speech_decoder_conf=WORD_SYNCHRONOUS | {"audio_dropout": 0.3},
    ),
    "interleaved_lm": train(
        "taste", speech_decoder="interleaved_lm", speech_decoder_conf=INTERLEAVED
    ),
    "taslm-token": train("taslm"),
    "taslm-latent": train("taslm", **LATENT),
    "taslm-taste2": train("taslm", **TASTE2),
    "taslm-dialogue": train("taslm", as_dialogues, **TASTE2),
    "flow": flow_training(1),
    "flow2": flow_training(2),
    "hift": hift_training,
}
