"""The recipe with published parts (tiny files of their formats), stages 1 to 6."""

import kaldiio
import numpy as np
import pytest
import soundfile
import torch
import yaml
from test_mini import copy_recipes, run
from tiny_onnx import write_campplus, write_s3

from espnet2_taste.io.tables import read_table
from espnet2_taste.units.unit_spec import UnitSpec
from espnet2_taste.vocoder.cosyvoice import checkpoint
from espnet2_taste.vocoder.cosyvoice.generator import VoiceGenerator

pytestmark = [pytest.mark.recipe, pytest.mark.nightly]
# As in the paper: Whisper's encoder and text, the unit language model; no aligner.
WHISPER = {"d_model": 32, "encoder_layers": 2, "encoder_attention_heads": 2}
CONF = {
    "token_type": "whisper",
    "frontend": "whisper_mel",
    "frontend_conf": {"n_mels": 80, "pad_to_30s": False},
    "encoder": "whisper",
    "encoder_conf": {
        "config": WHISPER | {"encoder_ffn_dim": 64, "num_mel_bins": 80},
        "value_layer": 1,
    },
    "aggregator_conf": {"d_model": 32, "num_layers": 1, "num_heads": 2, "ffn_dim": 64},
    "quantizer": "none",
    "speech_decoder": "unit_transformer",
    "speech_decoder_conf": {"embed_size": 16, "encoder_size": 16, "llm_size": 16}
    | {f"{part}_blocks": 1 for part in ("text", "audio", "llm")}
    | {f"{part}_heads": 2 for part in ("text", "audio", "llm")}
    | {f"{part}_ffn_size": 32 for part in ("text", "audio", "llm")},
    "model_conf": {"text_only": False},
    "batch_type": "unsorted",
    "batch_size": 4,
    "unused_parameters": True,
    "optim": "adam",
    "best_model_criterion": [["valid", "loss", "min"]],
    "keep_nbest_models": 1,
    "num_workers": 0,
    "num_att_plot": 0,
}
SUB_STAGES = {
    "text_only": {"model_conf": {"text_only": True}},
    "no_vq": {},
    "rvq": {
        "quantizer": "rvq",
        "quantizer_conf": {"codebook_dim": 8, "num_codebooks": 2, "codebook_size": 8},
    },
}


FLOW = {
    "num_units": 48,
    "spk_embed_dim": 12,
    "embed_size": 16,
    "encoder_size": 16,
    "encoder_heads": 2,
    "encoder_ffn_size": 32,
    "encoder_blocks": 1,
    "unet_size": 16,
    "unet_heads": 2,
    "unet_head_size": 8,
    "unet_blocks": 1,
    "unet_mid_stages": 1,
    "num_steps": 2,
}


def write_vocoder(folder):
    """A random CosyVoice vocoder."""
    conf = {"flow_conf": FLOW, "hift_conf": {"base_size": 32, "f0_size": 16}}
    torch.manual_seed(0)
    checkpoint.save(folder, VoiceGenerator(**conf).state_dict(), conf)


def test_published_parts_from_data_to_resynthesis(tmp_path, monkeypatch):
    recipe = copy_recipes(tmp_path)
    monkeypatch.chdir(recipe)  # the tables' paths are relative
    for name, conf in SUB_STAGES.items():
        (recipe / f"conf/tiny_{name}.yaml").write_text(yaml.safe_dump(CONF | conf))
    write_s3(recipe / "speech_tokenizer_v1.onnx", num_units=48)
    (recipe / "cosyvoice").mkdir()
    write_campplus(recipe / "cosyvoice/speaker_embed.onnx", size=12)
    write_vocoder(recipe / "vocoder")
    options = {
        "stop_stage": 6,
        "local_data_opts": "--num_train 16",
        "unit_type": "s3",
        "units_model": "speech_tokenizer_v1.onnx",
        "speaker_type": "campplus",
        "speaker_model": "cosyvoice",
        "vocoder_type": "cosyvoice",
        "vocoder_model": "vocoder",
        "asr_config": "",
        "feats_type": "raw",
        "taste_config": "conf/tiny_%s.yaml",
    }
    arguments = [word for key, value in options.items() for word in (f"--{key}", value)]
    output = run(recipe, *map(str, arguments))
    assert "training exp/taste_rvq" in output
    assert not any((recipe / "exp" / name).exists() for name in ("asr", "units"))

    raw = recipe / "dump/raw"
    assert UnitSpec.read(raw / "train/unit_spec.yaml").num_units == 48
    assert (raw / "train/spk_embed_dim").read_text() == "12\n"
    samples = read_table(raw / "train/utt2num_samples")
    units = kaldiio.load_scp(str(raw / "train/units.scp"))
    assert set(units) == set(samples) and len(samples) == 16
    for key, row in units.items():
        assert len(row) == -(-(int(samples[key]) // 160) // 2) and row.max() < 48
    trained = yaml.safe_load((recipe / "exp/taste_rvq/config.yaml").read_text())
    assert (trained["num_units"], trained["spk_embed_dim"]) == (48, 12)
    for row in ("copy", "taste_seed0", "no_vq_seed0", "text_only_seed0"):
        wavs = read_table(recipe / f"exp/decode/{row}/test/wav.scp")
        assert len(wavs) == 4
        for path in wavs.values():
            wav, rate = soundfile.read(path)
            assert rate == 22050 and np.abs(wav).max() > 0
    assert "training exp" not in run(recipe, *map(str, arguments))
