"""The paper's recipe is the same classes with other YAML: published sizes come out."""

import argparse
from pathlib import Path

import pytest
import torch
import yaml

from espnet2_taste.checkpoint import check_init_freeze
from espnet2_taste.taste.build import build_taste_model

CONF = Path(__file__).parents[2] / "conf"
WHISPER_LARGE_V3 = {
    "d_model": 1280,
    "encoder_layers": 32,
    "encoder_attention_heads": 20,
    "encoder_ffn_dim": 5120,
    "num_mel_bins": 128,
}


@pytest.mark.parametrize("name", ["text_only", "no_vq", "rvq"])
def test_published_sizes(name):
    conf = yaml.safe_load((CONF / f"train_taste_{name}.yaml").read_text())
    assert conf["encoder_conf"].pop("model") == "openai/whisper-large-v3"
    conf["aggregator_conf"].pop("init_from")
    conf["encoder_conf"]["config"] = WHISPER_LARGE_V3  # no download
    args = argparse.Namespace(
        **{"quantizer_conf": {}, "fusion_conf": {}, "token_model": None} | conf
    )
    with torch.device("meta"):  # shapes without memory
        model = build_taste_model(args)
    check_init_freeze(args, model)
    size = {
        k: sum(p.numel() for p in m.parameters()) for k, m in model.named_children()
    }
    assert size["encoder"] + size["aggregator"] == 756_405_760
    assert size["speech_decoder"] == 153_422_339
    if name == "rvq":
        assert size["quantizer"] == 656_896  # project_in and project_out
        shapes = {
            k.rpartition(".")[2]: b.shape for k, b in model.quantizer.named_buffers()
        }
        assert shapes["embed"] == (1, 512, 256)
