"""A whole system with random weights, in folders as a recipe leaves them."""

import numpy as np
import pytest
import torch
import yaml

CHARACTERS = ["<unk>", "\u2581", *"abcdefghijklmnopqrstuvwxyz"]
TEXT = "set the red lamp"
UNITS, SPEAKER = 20, 8
ENCODER_CONF = {
    "config": {
        "d_model": 16,
        "encoder_layers": 2,
        "encoder_attention_heads": 2,
        "encoder_ffn_dim": 32,
        "num_mel_bins": 80,
    },
    "value_layer": 1,
}
AGGREGATOR_CONF = {
    "d_model": 16,
    "num_layers": 1,
    "num_heads": 2,
    "ffn_dim": 32,
    "prefix_ids": [],
    "suffix_ids": [],
}
TASTE = {
    "token_type": "char",
    "token_model": "data/token_list/chars.txt",
    "vocab_size": None,
    "num_units": UNITS,
    "spk_embed_dim": SPEAKER,
    "frontend": "whisper_mel",
    "frontend_conf": {"n_mels": 80, "pad_to_30s": False},
    "encoder": "whisper",
    "encoder_conf": ENCODER_CONF,
    "aggregator": "cross_attention",
    "aggregator_conf": AGGREGATOR_CONF,
    "quantizer": "rvq",
    "quantizer_conf": {
        "codebook_dim": 4,
        "num_codebooks": 2,
        "codebook_size": 8,
        "kmeans_init": False,
    },
    "fusion": "weighted_sum",
    "fusion_conf": {},
    "speech_decoder": "word_synchronous",
    "speech_decoder_conf": {"size": 16, "num_layers": 1, "text_layers": 1},
    "model_conf": {},
}
TASLM = {
    "token_type": "char",
    "token_model": "data/token_list/chars.txt",
    "vocab_size": None,
    "lm": "hf_causal",
    "lm_conf": {
        "config": {
            "model_type": "llama",
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
        }
    },
    "fusion": "weighted_sum",
    "fusion_conf": {"weights": [0.0, 0.0], "project": True},
    "speech_head": "token",
    "speech_head_conf": {},
    "model_conf": {},
    "taste_config": "exp/taste/config.yaml",
    "taste_model": "exp/taste/valid.acc.best.pth",
    "quantizer": None,
    "quantizer_conf": {},
    "quantizer_dim": None,
}


def save_experiment(folder, config, build, name):
    """What ESPnet's trainer leaves: options, best and other checkpoints."""
    from argparse import Namespace

    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    args = Namespace(**yaml.safe_load(yaml.safe_dump(config)))
    state = build(args).state_dict()
    run = {
        "output_dir": str(folder),
        "config": "conf/train.yaml",
        "dist_init_method": "env://",
        "dist_master_addr": "node17.cluster",
        "init_param": [str(folder.parent / "before" / "model.pth")],
        "train_data_path_and_name_and_type": [
            [str(folder / "dump" / "wav.scp"), "speech", "sound"]
        ],
        "optim": "adamw",
        "optim_conf": {"lr": 0.01},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(vars(args) | run))
    torch.save(state, folder / name)
    torch.save(state | {"optimizer": 0}, folder / "checkpoint.pth")
    (folder / "train.log").write_text(f"trained in {folder}\n")
    return folder


def make_system(root, monkeypatch, taste=TASTE, taslm=TASLM):
    """``exp/{taste,taslm,units,speaker}`` below ``root``, the working directory."""
    from espnet2_taste.io.model_folder import save_model
    from espnet2_taste.speaker.xvector import XVector
    from espnet2_taste.taslm.build import build_new_taslm
    from espnet2_taste.taste.build import build_taste_model
    from espnet2_taste.units.world_vq import WorldVQ

    monkeypatch.chdir(root)
    (root / "data" / "token_list").mkdir(parents=True)
    (root / "data" / "token_list" / "chars.txt").write_text(
        "\n".join(CHARACTERS) + "\n", encoding="utf-8"
    )
    exp = root / "exp"
    save_experiment(exp / "taste", taste, build_taste_model, "valid.acc.best.pth")
    save_experiment(exp / "taslm", taslm, build_new_taslm, "valid.loss.best.pth")
    units = {"num_units": UNITS, "num_ceps": 8, "spk_embed_dim": SPEAKER}
    units |= {"hidden_size": 16, "code_dim": 8}
    save_model(exp / "units", WorldVQ(**units), {"model_conf": units})
    speaker = {"embed_dim": SPEAKER, "hidden_size": 16, "num_mels": 20}
    save_model(exp / "speaker", XVector(**speaker), {"model_conf": speaker})
    return root


def outputs(**source):
    """What a system computes; ``source``: part -> what opens it, options.

    Returns:
        name -> tensor or list, of every part.
    """
    from espnet2_taste.inference import SpeechToTaste, TaslmGenerate, TasteToSpeech
    from espnet2_taste.taste.speech_decoder.abs_speech_decoder import Sampling

    options = source.get("options", {})
    wav = torch.randn(8000, generator=torch.Generator().manual_seed(0)) * 0.1
    tokenizer = SpeechToTaste.from_pretrained(source["taste"], **options)
    tokens = tokenizer(wav.numpy(), TEXT)
    speaker = source["speaker"]([wav])[0]
    speak = TasteToSpeech.from_pretrained(
        source["taste"], sampling=Sampling(seed=3), **options, **source["vocoder"]
    )
    out = speak(TEXT, speaker, tokens.codes)
    taslm = TaslmGenerate.from_pretrained(source["taslm"], max_words=3, **options)
    more = taslm([TEXT], [tokens.codes])[0]
    assert len(out.wav) and np.isfinite(out.wav.numpy()).all()
    return {
        "codes": tokens.codes,
        "speaker": speaker,
        "units": source["units"]([wav])[0],
        "said": out.units,
        "wav": out.wav,
        "words": more.words,
        "more": more.codes,
    }


def experiment_outputs(root):
    """:func:`outputs` of the folders of :func:`make_system`."""
    from espnet2_taste.speaker import load_speaker_encoder
    from espnet2_taste.units import load_unit_extractor
    from espnet2_taste.vocoder import load_vocoder

    exp = root / "exp"
    return outputs(
        taste=exp / "taste",
        taslm=exp / "taslm",
        units=load_unit_extractor("world_vq", exp / "units"),
        speaker=load_speaker_encoder("xvector", exp / "speaker"),
        vocoder={"vocoder": load_vocoder("world_vq", exp / "units")},
    )


def packed_outputs(source, **options):
    """:func:`outputs` of a packed model."""
    from espnet2_taste.inference import load_part

    return outputs(
        taste=source,
        taslm=source,
        units=load_part(source, "units", **options),
        speaker=load_part(source, "speaker", **options),
        vocoder={},
        options=options,
    )


def assert_same(first, second):
    assert first.keys() == second.keys()
    for name, value in first.items():
        other = second[name]
        same = torch.equal(value, other) if torch.is_tensor(value) else value == other
        assert same, name


EVERYTHING = ["--taste", "exp/taste", "--taslm", "exp/taslm", "--vocoder", "exp/units"]
EVERYTHING += ["--units", "exp/units", "--speaker", "exp/speaker"]


@pytest.fixture
def tiny_system(tmp_path, monkeypatch):
    """The recipe's folder, which is the working directory; a home of its own."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "recipe").mkdir()
    return make_system(tmp_path / "recipe", monkeypatch)


@pytest.fixture
def pack():
    """Callable (options...) that runs bin.pack with all parts; its output's path."""
    from pathlib import Path

    from espnet2_taste.bin import pack

    def run(*options, output="exp/tiny.zip", parts=EVERYTHING):
        pack.main([*parts, "--output", str(output), *map(str, options)])
        return Path(output).absolute()

    return run
