"""What runs on a GPU: each case builds tiny models on a device and returns a call.

``CASES[name](device, size)`` -> a function of no arguments; ``size`` is the number of
utterances for training, of steps (roughly) for what generates. Random weights and
inputs are the same on every device.
"""

import argparse
import copy
import math
import tempfile
from pathlib import Path

import numpy as np
import torch
from tiny_vocoder import TINY as VOCODER
from tiny_vocoder import TINY2 as VOCODER2
from tiny_vocoder import tiny_voice_generator, tiny_voice_generator2

from benchmarks.setup import CONF, TASLM_DEFAULTS, TASTE_DEFAULTS, read_conf

TINY = read_conf(CONF / "tiny.yaml")
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


def train(section: str, **changes):
    """A case: two steps of training, whose losses are returned."""

    def case(device: str, size: int):
        model, data = build(section, device, **changes).train(), batch(device, size)
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


def codes(**changes):
    """A case: speech to codes and attention."""

    def case(device: str, size: int):
        model, data = build("taste", device, **changes), batch(device, size)
        text = model.view(data, "aggregator")

        @torch.inference_mode()
        def call() -> torch.Tensor:
            out = model.run_tokenizer(
                data["speech"], data["speech_lengths"], text, need_attention=True
            )
            return model.segment_codes(out, text)

        return call

    return case


def units(slots: int | None = None, **changes):
    """A case: units of three utterances, sampled, ``size`` of them at most a word;
    with ``slots`` in a running batch."""
    from espnet2_taste.taste.speech_decoder.abs_speech_decoder import (
        Conditioning,
        Sampling,
    )

    def case(device: str, size: int):
        model, data = build("taste", device, **changes), batch(device, 3)
        decoder = model.speech_decoder
        if hasattr(decoder, "max_ratio"):
            decoder.min_ratio = decoder.max_ratio = float(size)
        elif hasattr(decoder, "num_steps"):
            decoder.num_steps = size
            predictor = decoder.duration_predictor[-1]
            torch.nn.init.zeros_(predictor.weight)
            torch.nn.init.constant_(predictor.bias, math.log(size))
        else:
            decoder.max_units_per_word = size
            torch.nn.init.constant_(decoder.head.bias[-1:], -20.0)  # to the limit
        text = model.view(data, "speech_decoder")
        audio = model.codes_to_embeddings(data["taste"], text)
        cond = Conditioning(text, audio, data["spk_emb"])
        sampling = Sampling(top_k=5, seed=0)
        given = cond, sampling, [1, 2, 3]
        if slots:
            return lambda: decoder.generate_running(*given, slots).units
        return lambda: decoder.generate(*given).units

    return case


def streamed(**changes):
    """A case: units of one block of text as it comes, ``size`` times two."""
    from espnet2_taste.taste.speech_decoder.abs_speech_decoder import Sampling
    from espnet2_taste.taste.speech_decoder.streams import Piece

    def case(device: str, size: int):
        conf = changes["speech_decoder_conf"] | {"mix_ratio": [3, 2 * size]}
        conf |= {"max_ratio": float(size)}
        options = changes | {"speech_decoder_conf": conf}
        model, data = build("taste", device, **options), batch(device, 3)
        text = model.view(data, "speech_decoder")
        audio = model.codes_to_embeddings(data["taste"], text)
        rows = zip(text.ids[:, :3], text.word_ids[:, :3], audio[:, :3], strict=True)
        pieces = [Piece(*row) for row in rows]

        def call() -> torch.Tensor:
            streams = model.speech_decoder.open_streams(
                data["spk_emb"], Sampling(top_k=5, seed=0), [1, 2, 3]
            )
            streams.feed(pieces)
            return torch.stack(streams.pull(most=None))

        return call

    return case


def word_streams(device: str, size: int):
    """Units of three utterances word by word, one of them late."""
    from espnet2_taste.taste.speech_decoder.abs_speech_decoder import Sampling
    from espnet2_taste.taste.speech_decoder.streams import Piece

    options = {"speech_decoder_conf": WORD_SYNCHRONOUS | {"max_units_per_word": size}}
    model = build("taste", device, speech_decoder="word_synchronous", **options)
    data = batch(device, 3)
    text = model.view(data, "speech_decoder")
    audio = model.codes_to_embeddings(data["taste"], text)
    rows = zip(text.ids[:, :3], text.word_ids[:, :3], audio[:, :3], strict=True)
    first, second, third = (Piece(*row) for row in rows)

    def call() -> torch.Tensor:
        streams = model.speech_decoder.open_streams(
            data["spk_emb"], Sampling(top_k=5, seed=0), [1, 2, 3]
        )
        made = streams.push([first, second, None], [False, True, False])
        made += streams.push([first, None, third])
        return torch.cat(made + streams.finish())

    return call


def continuation(mode: str = "audio", slots: int | None = None, **changes):
    """A case: ``size`` more words of three prompts, sampled; with ``slots`` prompts at
    work at once, if given."""
    from espnet2_taste.taslm.generation import Prompt, generate
    from espnet2_taste.taslm.running import generate_running
    from espnet2_taste.taslm.sampler import SamplingOptions
    from espnet2_taste.taslm.vocabulary import Vocabulary

    def case(device: str, size: int):
        model, data = build("taslm", device, **changes), batch(device, 3)
        index, none = torch.arange(40), torch.zeros(40, dtype=torch.bool)
        vocabulary = Vocabulary(index % 3 > 0, none, none, none).to(device)
        prompt = Prompt(mode, model.view(data), data["taste"])
        options = SamplingOptions(
            max_words=size,
            end_symbol=False,
            text_top_p=0.9,
            taste_top_p=0.9,
            repetition_penalty=1.1,
        )

        def call() -> torch.Tensor:
            given = model, vocabulary, prompt, options, [1, 2, 3]
            if slots:
                runs = generate_running(*given, slots)
                columns = [torch.cat([x.text[..., None], x.codes], -1) for x in runs]
                return torch.nn.utils.rnn.pad_sequence([x[0] for x in columns], True)
            made = generate(*given)
            return torch.cat([made.text[..., None], made.codes], -1)

        return call

    return case


def likelihood(device: str, size: int):
    """Scores of utterances."""
    from espnet2_taste.taslm.likelihood import likelihood

    model, data = build("taslm", device), batch(device, size)
    return lambda: likelihood(model, model.view(data), data["taste"]).score


def cosyvoice(device: str, size: int):
    """Waveforms of ``size`` utterances."""
    from espnet2_taste.vocoder.cosyvoice.vocoder import CosyVoiceVocoder

    vocoder = CosyVoiceVocoder(tiny_voice_generator().to(device))
    flow = VOCODER["flow_conf"]
    generator = torch.Generator().manual_seed(0)
    units = list(torch.randint(flow["num_units"], (size, 6), generator=generator))
    speakers = torch.randn(size, flow["spk_embed_dim"], generator=generator)
    return lambda: torch.cat(vocoder(units, speakers))


def cosyvoice2_streams(device: str, size: int):
    """Chunks of ``size`` streams, one of which is late."""
    from espnet2_taste.vocoder.cosyvoice2.vocoder import CosyVoice2Vocoder

    vocoder = CosyVoice2Vocoder(tiny_voice_generator2().to(device))
    flow = VOCODER2["flow_conf"]
    generator = torch.Generator().manual_seed(0)
    units = torch.randint(flow["num_units"], (3, size, 10), generator=generator)
    speakers = torch.randn(size, flow["spk_embed_dim"], generator=generator)

    def call() -> torch.Tensor:
        session = vocoder.open_streams(speakers)
        wavs = session.push([None, *units[0, 1:]])
        for part in units[1:]:
            wavs += session.push(list(part))
        return torch.cat(wavs + session.finish())

    return call


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


def speaker(device: str, size: int):
    """x-vectors."""
    from espnet2_taste.speaker.xvector import XVector

    torch.manual_seed(0)
    model, data = XVector(8, 16, 20).to(device).eval(), batch(device, size)
    frames = data["speech_lengths"] // 160
    return torch.inference_mode()(lambda: model(model.features(data["speech"]), frames))


def world_units(device: str, size: int):
    """Units of WORLD features, and features of units."""
    from espnet2_taste.units.world_vq import WorldVQ

    torch.manual_seed(0)
    model = WorldVQ(num_units=16, num_ceps=8, spk_embed_dim=SPEAKER, hidden_size=16)
    model.to(device).eval()
    rows = np.random.default_rng(0).normal(size=(size, 8, model.feature_dim))
    feats = torch.from_numpy(rows.astype(np.float32)).to(device)
    lengths = torch.full((size,), 2).to(device)
    return torch.inference_mode()(lambda: model.encode(feats, lengths))


def transcripts(temperature: float):
    """A case: ``size`` tokens of two windows, by a Whisper that never ends."""
    from tiny_whisper import save_transformers

    from espnet2_taste.asr.whisper_decoding import WhisperDecoding
    from espnet2_taste.asr.whisper_recogniser import WhisperRecogniser

    def case(device: str, size: int):
        with tempfile.TemporaryDirectory() as folder:
            model = str(save_transformers(Path(folder) / "whisper"))
            recogniser = WhisperRecogniser(model, "cpu", max_new_tokens=size)
            recogniser.parts[1].model.to(device)
        decoding = WhisperDecoding(
            recogniser.parts[1].model, recogniser.parts[1].tokenizer, size
        )
        decoding.banned[decoding.end] = -torch.inf
        rows = np.random.default_rng(0).normal(size=(2, 30, 16))
        states = torch.from_numpy(rows.astype(np.float32)).to(device)
        prompts = decoding.prompts(["en", "de"])
        return torch.inference_mode()(
            lambda: decoding.tokens(states, prompts, temperature)[0]
        )

    return case


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
    "auxiliary": train(
        "taste",
        frontend="mel_pitch",
        frontend_conf={"n_mels": 20},
        encoder="espnet",
        encoder_conf=ESPNET_ENCODER,
        aggregator="multi_layer",
        speech_decoder="word_synchronous",
        speech_decoder_conf=WORD_SYNCHRONOUS,
        model_conf=AUXILIARY,
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
    "flow": flow_training(1),
    "flow2": flow_training(2),
}
INFERENCE = {
    "word_synchronous-running": units(
        slots=3,
        speech_decoder="word_synchronous",
        speech_decoder_conf=WORD_SYNCHRONOUS,
    ),
    "codes-rvq": codes(),
    "codes-fsq": codes(quantizer="fsq", quantizer_conf=FSQ),
    "codes-taste2": codes(
        aggregator_conf=TINY["taste"]["aggregator_conf"] | {"projected_size": 12},
        model_conf={"granularity": "token"},
    ),
    "likelihood": likelihood,
    "cosyvoice": cosyvoice,
    "cosyvoice2": cosyvoice2_streams,
    "word_synchronous-stream": word_streams,
    "xvector": speaker,
    "world_vq": world_units,
}
GENERATION = {
    "interleaved_lm": units(
        speech_decoder="interleaved_lm", speech_decoder_conf=INTERLEAVED
    ),
    "interleaved_lm-stream": streamed(
        speech_decoder="interleaved_lm", speech_decoder_conf=INTERLEAVED
    ),
    "unit_transformer": units(),
    "word_synchronous": units(
        speech_decoder="word_synchronous", speech_decoder_conf=WORD_SYNCHRONOUS
    ),
    "unit_transformer-running": units(slots=3),
    "masked_parallel": units(
        speech_decoder="masked_parallel",
        speech_decoder_conf=WORD_SYNCHRONOUS | {"guidance": 0.5},
    ),
    "taslm-token": continuation(),
    "taslm-latent": continuation(**LATENT),
    "taslm-taste2": continuation(**TASTE2),
    "taslm-text": continuation("text"),
    "taslm-running": continuation(slots=3),
    "whisper": transcripts(0.0),
    "whisper-drawn": transcripts(0.4),
}
