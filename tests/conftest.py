"""Tiny data every test may use: a data directory with all stage-3 files."""

import kaldiio
import numpy as np
import pytest
import soundfile
import torch
import yaml
from on_device import TRAINING
from tiny_system import AGGREGATOR_CONF, ENCODER_CONF, pack, tiny_system  # noqa: F401

from espnet2_taste.bin.train_tokenizer import main as train_tokenizer

SENTENCES = [
    "the red lamp",
    "set the blue lamp",
    "read a red book",
    "a lamp",
    "the book",
    "set a book down",
]
NUM_UNITS, SPK_DIM = 20, 8
#: Files that take half a minute and more, the longest first: begun last, they would
#: leave the other workers with nothing to do.
LONG = (
    *("test_mini", "test_gpu_hot_paths", "test_pipeline", "test_conf", "test_corpora"),
    *("test_taste_task", "test_segment_bins", "test_trainer", "test_hift_training"),
)


def pytest_collection_modifyitems(items):
    """``LONG`` comes first; without a CUDA device those of ``gpu`` are skipped."""
    place = {name: i for i, name in enumerate(LONG)}
    items.sort(key=lambda item: place.get(item.path.stem, len(LONG)))
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip("needs a GPU"))


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory):
    """Six noise utterances of two speakers: dump/raw/<set> as stage 3 leaves it."""
    rng = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("data")
    rows = {"wav.scp": [], "text": [], "utt2spk": [], "utt2num_samples": []}
    arks = {"units": {}, "durations": {}, "spk_emb": {}, "prosody": {}}
    (folder / "wav").mkdir()
    for i, sentence in enumerate(SENTENCES):
        key, words = f"utt{i}", len(sentence.split())
        durations = rng.integers(5, 10, words).astype(np.int32)
        wav = rng.standard_normal(durations.sum() * 640) * 0.1
        path = folder / "wav" / f"{key}.wav"
        soundfile.write(path, wav, 16000, "PCM_16")
        rows["wav.scp"].append(f"{key} {path}")
        rows["text"].append(f"{key} {sentence}")
        rows["utt2spk"].append(f"{key} spk{i % 2}")
        rows["utt2num_samples"].append(f"{key} {len(wav)}")
        arks["units"][key] = rng.integers(0, NUM_UNITS, durations.sum(), np.int32)
        arks["durations"][key] = durations
        arks["spk_emb"][key] = rng.standard_normal(SPK_DIM).astype(np.float32)
        arks["prosody"][key] = rng.standard_normal((words, 3)).astype(np.float32)
    for name, lines in rows.items():
        (folder / name).write_text("\n".join(lines) + "\n")
    for name, table in arks.items():
        kaldiio.save_ark(
            str(folder / f"{name}.ark"), table, str(folder / f"{name}.scp")
        )
    train_tokenizer(
        ["--data_dir", str(folder), "--token_type", "char"]
        + ["--output", str(folder / "char.txt")]
    )
    return folder


@pytest.fixture(scope="session")
def tiny_taste_conf(tiny_data):
    """Training configuration of a tiny TASTE model with a random Whisper encoder."""
    return {
        "token_type": "char",
        "token_model": str(tiny_data / "char.txt"),
        "num_units": NUM_UNITS,
        "spk_embed_dim": SPK_DIM,
        "frontend": "whisper_mel",
        "frontend_conf": {"n_mels": 80, "pad_to_30s": False},
        "encoder": "whisper",
        "encoder_conf": ENCODER_CONF,
        "aggregator_conf": AGGREGATOR_CONF,
        "quantizer": "rvq",
        "quantizer_conf": {"codebook_dim": 4, "num_codebooks": 2, "codebook_size": 8},
        "speech_decoder": "word_synchronous",
        "speech_decoder_conf": {"size": 16, "num_layers": 1, "text_layers": 1},
        "model_conf": {"prosody_weight": 0.5, "guidance_weight": 0.1},
        "batch_type": "unsorted",
        "batch_size": 2,
        "max_epoch": 2,
        "num_workers": 0,
        "num_att_plot": 0,
        "keep_nbest_models": 2,
        "optim": "adamw",
        "optim_conf": {"lr": 0.01},
        "best_model_criterion": [["valid", "acc", "max"]],
        "use_tensorboard": False,
        "use_matplotlib": False,
    }


@pytest.fixture(scope="session")
def taste_options(tiny_data, tiny_taste_conf):
    """Callable (output_dir, conf overrides) -> options of bin.taste_train."""

    def options(output_dir, overrides=None):
        output_dir.mkdir(parents=True, exist_ok=True)
        config = output_dir / "train.yaml"
        config.write_text(yaml.safe_dump({**tiny_taste_conf, **(overrides or {})}))
        cmd = ["--config", str(config), "--output_dir", str(output_dir)]
        cmd += TRAINING
        names = {
            "speech": "wav.scp,speech,sound",
            "text": "text,text,text",
            "units": "units.scp,units,kaldi_ark",
            "spk_emb": "spk_emb.scp,spk_emb,kaldi_ark",
            "durations": "durations.scp,durations,kaldi_ark",
            "prosody": "prosody.scp,prosody,kaldi_ark",
        }
        for part in ("train", "valid"):
            for spec in names.values():
                cmd += [f"--{part}_data_path_and_name_and_type", f"{tiny_data}/{spec}"]
            cmd += [f"--{part}_shape_file", str(tiny_data / "utt2num_samples")]
        return cmd

    return options


@pytest.fixture(scope="session")
def train_taste(taste_options):
    """Callable (output_dir, conf overrides, options...) that trains a TASTE model."""

    def train(output_dir, overrides=None, *more):
        from espnet2_taste.bin.taste_train import main

        main([*taste_options(output_dir, overrides), *more])
        return output_dir

    return train


@pytest.fixture(scope="session")
def tiny_taste(train_taste, tmp_path_factory):
    """A trained tiny TASTE experiment folder."""
    return train_taste(tmp_path_factory.mktemp("exp") / "taste")
