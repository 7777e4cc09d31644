"""The end of a batch. What an item gives does not depend on its neighbours.

Float32 tolerances: 1e-4 absolute for features and hidden states (sums over another
number of rows round otherwise), none for codes and units.
"""

import json
import random

import kaldiio
import numpy as np
import pytest
import torch
from gpu_cases import ESPNET_ENCODER, TINY, WORD_SYNCHRONOUS, build
from tiny_asr import save_ctc
from tiny_vocoder import SPEAKER, UNITS, tiny_voice_generator

from espnet2_taste.asr.log_mel import LogMelFrontend
from espnet2_taste.asr.mel_pitch import MelPitchFrontend
from espnet2_taste.nn.padding import by_length, reflect
from espnet2_taste.taste.speech_decoder.abs_speech_decoder import Sampling
from espnet2_taste.taste.tokenizer.espnet_encoder import EspnetEncoder
from espnet2_taste.taste.tokenizer.whisper_mel import WhisperMelFrontend
from espnet2_taste.vocoder.cosyvoice.mel import TargetMel

HOP = 160
EDGES = [1, 2, HOP - 1, HOP, HOP + 1, 199, 200, 255, 256, 257, 400, 511, 512, 513]
CLOSE = {"atol": 1e-4, "rtol": 1e-4}


def batches(number, low=1, high=9000, size=5, edges=EDGES):
    """Lengths of random batches, at edges and anywhere, in any order."""
    drawn = random.Random(0)
    for _ in range(number):
        yield [
            drawn.choice(edges),
            *(drawn.randint(low, high) for _ in range(size - 1)),
        ]


def speech(lengths, loud_end=False):
    """(B, N) voices of other pitches, with garbage in the padding."""
    generator = torch.Generator().manual_seed(sum(lengths))
    time = torch.arange(max(lengths)) / 16000
    pitch = 90 + 200 * torch.rand(len(lengths), 1, generator=generator)
    noise = torch.randn(len(lengths), max(lengths), generator=generator)
    wavs = 0.2 * (2 * torch.pi * pitch * time).sin() ** 3 + 0.02 * noise
    for wav, length in zip(wavs, lengths, strict=True):
        if loud_end:
            wav[max(length - 300, 0) : length] *= 4
        wav[length:] = 0.7
    return wavs, torch.tensor(lengths)


def check(run, x, lengths, **close):
    """``run(x, lengths)`` -> (B, T, ...) and (B,) T of each, in a batch and alone."""
    together, sizes = run(x, lengths)
    for item, length in enumerate(lengths.tolist()):
        alone, size = run(x[item : item + 1, :length], lengths[item : item + 1])
        assert sizes[item] == size[0], (item, length)
        count = int(size[0])
        got, want = together[item, :count], alone[0, :count]
        torch.testing.assert_close(got, want, **(close or CLOSE))


FRONTENDS = {
    "whisper_mel": lambda: WhisperMelFrontend(80, pad_to_30s=False),
    "default": lambda: LogMelFrontend(hop_length=HOP, n_mels=40),
    "default, odd": lambda: LogMelFrontend(n_fft=500, hop_length=123, n_mels=30),
    "default, not centred": lambda: LogMelFrontend(center=False, hop_length=HOP),
    "mel_pitch": lambda: MelPitchFrontend(hop_length=HOP, win_length=400),
    "mel_pitch, even": lambda: MelPitchFrontend(hop_length=HOP, even_level=True),
    "mel_pitch, 24k": lambda: MelPitchFrontend(fs="24k", n_fft=1024, hop_length=240),
    "mel_pitch, not centred": lambda: MelPitchFrontend(center=False, hop_length=HOP),
}


@pytest.mark.parametrize("name", FRONTENDS)
@pytest.mark.parametrize("loud_end", [False, True])
def test_frontends(name, loud_end):
    frontend = FRONTENDS[name]()
    for lengths in batches(6):
        check(frontend, *speech(lengths, loud_end))


def test_reflection_is_torchs_and_goes_on_for_short_items():
    for lengths in batches(10, high=40, edges=[1, 2, 3, 7, 8, 9]):
        x, sizes = speech(lengths)
        padded = reflect(x, sizes, 7, 7)
        for row, wav, length in zip(padded, x, lengths, strict=True):
            want = np.pad(wav[:length].numpy(), 7, mode="reflect")
            assert row[: length + 14].tolist() == want.tolist()


def test_target_mel():
    mel = TargetMel()
    for lengths in batches(8, low=300, edges=[256, 385, 512, 1023, 1024, 1025]):
        check(
            lambda x, n: (lambda m, t: (m.transpose(1, 2), t))(*mel(x, n)),
            *speech(lengths),
        )


BRANCHFORMER = {"cgmlp_linear_units": 16, "cgmlp_conv_kernel": 5}
RNN = {"hidden_size": 8, "output_size": 8, "num_layers": 1}
ENCODERS = {
    "transformer": ("transformer", {"input_layer": "conv2d"}),
    "conv1d": ("transformer", {"input_layer": "conv1d2"}),
    "linear": ("transformer", {"input_layer": "linear"}),
    "conformer": ("conformer", {"rel_pos_type": "latest"}),
    "legacy": ("conformer", {"rel_pos_type": "legacy"}),
    "branchformer": ("e_branchformer", {"rel_pos_type": "latest"} | BRANCHFORMER),
    "vgg": ("vgg_rnn", RNN),
    "rnn": ("rnn", RNN),
}


@pytest.mark.parametrize("normalize", ["utterance_mvn", "global_mvn"])
@pytest.mark.parametrize("name", ENCODERS)
def test_espnet_encoders(name, normalize):
    kind, conf = ENCODERS[name]
    if "rnn" not in kind:
        conf = conf | {"output_size": 8, "attention_heads": 2, "num_blocks": 1}
    torch.manual_seed(0)
    encoder = EspnetEncoder(
        10,
        encoder=kind,
        encoder_conf=conf,
        asr_input_size=8,
        normalize=normalize,
        value_size=8,
    ).eval()

    def run(x, lengths):
        out = encoder(x, lengths)
        return torch.cat([out.keys, out.values], -1), out.lengths

    for lengths in batches(4, low=7, high=70, edges=[7, 8, 9, 11, 16, 17]):
        x = torch.randn(len(lengths), max(lengths), 10)
        with torch.inference_mode():
            check(run, x, torch.tensor(lengths))


def test_an_item_too_short_for_the_encoder_is_refused_in_a_batch_too():
    encoder = EspnetEncoder(8, encoder="transformer", encoder_conf={"num_blocks": 1})
    for lengths in ([3], [3, 60], [60, 6, 9]):
        with pytest.raises(ValueError, match="too short for the encoder"):
            encoder(torch.randn(len(lengths), max(lengths), 8), torch.tensor(lengths))


def test_by_length_keeps_the_order():
    x = torch.arange(24.0).view(4, 6)
    lengths = torch.tensor([3, 6, 3, 1])
    double, total = by_length(lambda x, n: [2 * x, x.sum(1)], x, lengths)
    mask = torch.arange(6) < lengths[:, None]
    assert torch.equal(double, 2 * x * mask) and torch.equal(total, (x * mask).sum(1))


UNPADDED = {"frontend_conf": {"n_mels": 80, "pad_to_30s": False}}
TOKENIZERS = {
    "whisper": UNPADDED,
    "whisper, unmasked": UNPADDED
    | {
        part: TINY["taste"][part] | {"mask_padding": False}
        for part in ("encoder_conf", "aggregator_conf")
    },
    "espnet": {
        "frontend": "mel_pitch",
        "frontend_conf": {"n_mels": 20},
        "encoder": "espnet",
        "encoder_conf": ESPNET_ENCODER,
        "aggregator": "multi_layer",
    },
    "default": {
        "frontend": "default",
        "frontend_conf": {"n_mels": 20},
        "encoder": "espnet",
        "encoder_conf": ESPNET_ENCODER | {"value_source": "features"},
    },
}


def texts(size, vocab=40):
    """A batch of texts: two tokens a word, of other lengths."""
    generator = torch.Generator().manual_seed(size)
    lengths = torch.arange(size) % 4 + 2
    return {
        "text": torch.randint(5, vocab, (size, 5), generator=generator),
        "text_lengths": lengths,
        "word_ids": (torch.arange(5) // 2).expand(size, -1).contiguous(),
        "word_ids_lengths": lengths,
    }


@pytest.mark.parametrize("name", TOKENIZERS)
def test_tokenizers(name):
    model = build("taste", "cpu", **TOKENIZERS[name])
    for lengths in batches(4, low=1300, size=4, edges=[1280, 1281, 1600, 4000]):
        x, sizes = speech(lengths, loud_end=True)
        data = texts(len(lengths))
        for item in [None, *range(len(lengths))]:
            rows = slice(None) if item is None else slice(item, item + 1)
            end = max(lengths) if item is None else lengths[item]
            some = {key: value[rows] for key, value in data.items()}
            view = model.view(some, "aggregator")
            with torch.inference_mode():
                out = model.run_tokenizer(x[rows, :end], sizes[rows], view, True)
                codes = model.segment_codes(out, view)
            if item is None:
                together, all_codes = out.quantizer.latent, codes
                continue
            count = int(data["text_lengths"][item])
            latent = out.quantizer.latent[0, :count]
            torch.testing.assert_close(together[item, :count], latent, **CLOSE)
            assert torch.equal(all_codes[item, : codes.size(1)], codes[0])


DECODERS = ["unit_transformer", "word_synchronous", "masked_parallel"]


@pytest.mark.parametrize("name", DECODERS)
def test_speech_decoders(name):
    conf = {} if "unit" in name else {"speech_decoder_conf": WORD_SYNCHRONOUS}
    model = build("taste", "cpu", speech_decoder=name, **conf)
    data = texts(6)
    data["taste"] = torch.randint(8, (6, 3, 2))
    spk_emb = torch.randn(6, build_width(model))

    def generate(rows):
        some = {key: value[rows] for key, value in data.items()}
        audio = model.codes_to_embeddings(some["taste"], model.view(some, "aggregator"))
        cond = model.condition(some, audio, spk_emb[rows])
        seeds = list(range(6))[rows]
        made = model.speech_decoder.generate(cond, Sampling(5, seed=0), seeds)
        return [u[:n].tolist() for u, n in zip(made.units, made.lengths, strict=True)]

    together = generate(slice(None))
    assert len({len(units) for units in together}) > 1
    for item in range(6):
        assert generate(slice(item, item + 1)) == [together[item]]


def build_width(model):
    """Of the speaker embeddings that a TASTE model takes."""
    layer = getattr(model.speech_decoder, "spk_proj", None)
    return (layer or model.speech_decoder.spk_embed_affine_layer).in_features


def world_vq():
    from espnet2_taste.units.world_vq import WorldVQ

    torch.manual_seed(0)
    sizes = {"num_ceps": 8, "spk_embed_dim": SPEAKER, "hidden_size": 16}
    return WorldVQ(UNITS, **sizes).eval()


def vocoders():
    from espnet2_taste.vocoder.cosyvoice.vocoder import CosyVoiceVocoder
    from espnet2_taste.vocoder.griffin_lim import GriffinLimVocoder
    from espnet2_taste.vocoder.world_vq import WorldVQVocoder

    yield WorldVQVocoder(world_vq())
    yield CosyVoiceVocoder(tiny_voice_generator())
    yield GriffinLimVocoder(torch.randn(UNITS, 4, 80), num_iterations=2)


@pytest.mark.parametrize("vocoder", vocoders(), ids=lambda v: type(v).__name__)
def test_vocoders(vocoder):
    for lengths in batches(3, low=0, high=20, size=6, edges=[0, 1, 2, 3]):
        units = [torch.randint(UNITS, (n,)) for n in lengths]
        speakers = torch.randn(len(units), SPEAKER)
        together = vocoder(units, speakers)
        for item, wav in enumerate(together):
            alone = vocoder(units[item : item + 1], speakers[item : item + 1])[0]
            torch.testing.assert_close(wav, alone, atol=1e-3, rtol=1e-3)


def extractors(folder):
    """Unit extractors and speaker encoders."""
    from tiny_onnx import write_campplus, write_s3

    from espnet2_taste.speaker.campplus import CampplusSpeakerEncoder
    from espnet2_taste.speaker.xvector import XVector, XVectorSpeakerEncoder
    from espnet2_taste.units.s3 import S3UnitExtractor
    from espnet2_taste.units.world_vq import WorldVQUnitExtractor

    torch.manual_seed(0)
    yield WorldVQUnitExtractor(world_vq())
    yield XVectorSpeakerEncoder(XVector(8, 16, 20).eval())
    s3, campplus = folder / "speech_tokenizer_v1.onnx", folder / "campplus.onnx"
    yield S3UnitExtractor.from_pretrained(str(write_s3(s3)))
    yield CampplusSpeakerEncoder.from_pretrained(str(write_campplus(campplus)))


def test_unit_extractors_and_speaker_encoders(tmp_path):
    for name in ("onnx", "onnxruntime", "s3tokenizer"):
        pytest.importorskip(name)
    for extract in extractors(tmp_path):
        for lengths in batches(3, edges=[1, 2, 639, 640, 641]):
            wavs = [wav[:n] for wav, n in zip(*speech(lengths), strict=True)]
            for wav, row in zip(wavs, extract(wavs), strict=True):
                alone = extract([wav])[0]
                close = CLOSE if row.is_floating_point() else {"atol": 0, "rtol": 0}
                torch.testing.assert_close(row, alone, **close)


def run_shard(data, asr, folder, options):
    """What the commands make of a part of a data directory: name -> key -> array."""
    from espnet2_taste.bin import (
        align,
        extract_feats,
        extract_speakers,
        extract_units,
        synthesize,
        taslm_likelihood,
        tokenize,
    )

    (folder / "front.yaml").write_text("frontend: mel_pitch\n")
    codes = ["--taste", folder / "taste" / "taste.scp"]
    voice = ["--vocoder", "exp/units", "--condition", "codes"]
    ctc = ["--asr_config", asr / "config.yaml", "--asr_model", asr / "model.pth"]
    found = {}
    for name, module, more in (
        ("feats", extract_feats, ["--config", folder / "front.yaml"]),
        ("spk", extract_speakers, ["--model", "exp/speaker"]),
        ("units", extract_units, ["--model", "exp/units"]),
        ("align", align, ctc),
        ("taste", tokenize, ["--model_file", "exp/taste"]),
        ("said", synthesize, ["--model_file", "exp/taste", *voice, *codes]),
        ("scores", taslm_likelihood, ["--model_file", "exp/taslm", *codes]),
    ):
        where = ["--data_dir", data, "--output_dir", folder / name]
        module.main([str(option) for option in (*where, *options, *more)])
        for scp in (folder / name).glob("[!w]*.scp"):  # not wav.scp
            table = kaldiio.load_scp(str(scp))
            rows = {key: np.array(row) for key, row in table.items()}
            found[f"{name}/{scp.stem}"] = rows
    for row in map(json.loads, open(folder / "scores" / "likelihoods.jsonl")):
        values = np.hstack([v for v in row.values() if isinstance(v, float | list)])
        found.setdefault("scores", {})[row["key"]] = values
    return found


def run_commands(data, asr, out, batch_size, num_shards):
    """:func:`run_shard` of all shards, joined."""
    keys = sorted(line.split()[0] for line in open(data / "wav.scp"))
    joined = {}
    for number in range(num_shards):
        folder = out / str(number)
        folder.mkdir(parents=True)
        (folder / "keys").write_text("\n".join(keys[number::num_shards]) + "\n")
        options = ["--key_file", folder / "keys", "--batch_size", batch_size]
        for name, rows in run_shard(data, asr, folder, options).items():
            joined.setdefault(name, {}).update(rows)
    return joined


def test_commands(tiny_data, tiny_system, tmp_path):
    """``--inference_nj`` 1 and 2, batch sizes 1 and 16."""
    torch.manual_seed(0)
    asr = save_ctc(tmp_path / "asr")
    runs = [
        run_commands(tiny_data, asr, tmp_path / f"{size}.{shards}", size, shards)
        for size, shards in ((16, 1), (1, 1), (16, 2))
    ]
    for other in runs[1:]:
        assert other.keys() == runs[0].keys() and len(other) == 9
        for name, rows in runs[0].items():
            assert other[name].keys() == rows.keys() and len(rows) == 6, name
            for key, row in rows.items():
                exact = row.dtype.kind == "i"
                close = {"atol": 0, "rtol": 0} if exact else CLOSE
                np.testing.assert_allclose(other[name][key], row, err_msg=name, **close)
