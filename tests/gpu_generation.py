"""What a GPU runs of trained models: what they infer, generate and stream.

Cases as in :mod:`gpu_cases`; ``size`` is the number of steps (roughly) for what
generates.
"""

import math
import tempfile
from pathlib import Path

import numpy as np
import torch
from gpu_cases import (
    FSQ,
    HEAD,
    INTERLEAVED,
    LATENT,
    SPEAKER,
    TASTE2,
    TINY,
    WINDOWS,
    WORD_SYNCHRONOUS,
    batch,
    build,
)
from tiny_vocoder import TINY as VOCODER
from tiny_vocoder import TINY2 as VOCODER2
from tiny_vocoder import tiny_voice_generator, tiny_voice_generator2


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


def listening(device: str, size: int):
    """An utterance that comes in pieces, and codes of its first tokens."""
    from espnet2_taste.asr.feature_stream import FeatureStream

    head = {"encoder": "conformer", "encoder_conf": HEAD | {"chunk_size": 4}}
    ctc = {"ctc_weight": 1.0, "ctc_conf": head}
    model, data = build("taste", device, **WINDOWS, model_conf=ctc), batch(device, 1)
    ids, seen = data["text"][:, :3], torch.tensor([[5, 5, 30]], device=device)

    def call() -> torch.Tensor:
        features = FeatureStream(model.frontend)
        parts = (model.encoder, model.ctc, model.aggregator)
        encoder, hears, aggregator = (part.open_stream() for part in parts)
        heard = []
        for wav in [*data["speech"].split(3000, 1), data["speech"][:, :0]]:
            last = not wav.size(1)
            encoded = encoder.push(features.push(wav, last), last)
            aggregator.hear(encoded)
            heard += hears.push(encoded.keys, last).ids
        hidden = aggregator.read(ids, seen)
        return torch.cat([hidden.flatten(), torch.tensor(heard, device=device)])

    return call


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


def continuation(mode: str = "audio", slots: int | None = None, closing=(), **changes):
    """A case: ``size`` more words of three prompts, sampled, and ``closing`` tokens;
    with ``slots`` prompts at work at once, if given."""
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
            closing=closing,
            min_words=size if closing else 0,
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
        heard = torch.inference_mode()(decoding.look)(states)
        return torch.inference_mode()(
            lambda: decoding.tokens(*heard.rows([0, 1]), prompts, temperature)[0]
        )

    return case


INFERENCE = {
    "word_synchronous-running": units(
        slots=3,
        speech_decoder="word_synchronous",
        speech_decoder_conf=WORD_SYNCHRONOUS | {"guidance": 0.5},
    ),
    "codes-rvq": codes(),
    "listening": listening,
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
    "taslm-chat": continuation(closing=[3, 4], model_conf={"delay": 2}),
    "taslm-running": continuation(slots=3),
    "whisper": transcripts(0.0),
    "whisper-drawn": transcripts(0.4),
}
