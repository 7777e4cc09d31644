"""The published checkpoint's full size, without a byte of it."""

import copy
import re

import pytest
import torch
from published_names import FULL, TINY, config, numel, published

from espnet2_taste.hub.conversion_plan import make_plan
from espnet2_taste.hub.published_arguments import taslm_arguments, taste_arguments
from espnet2_taste.hub.published_names import TASLM, TASTE, to_ours, to_published
from espnet2_taste.taslm.build import build_taslm_model
from espnet2_taste.taste.build import build_taste_model

#: parameters that the reference trains, by published name
STAGE_1_1 = (
    r"(audio_tower\.audio_joint_encoder_segmenter\.audio_segmenter\.decoder\..+"
    r"|speech_decoder\..+)"
)
STAGE_1_3 = STAGE_1_1[:-1] + r"|audio_tower\.vq\..+)"
MLPS = r"audio_tower\.vq\.rvq\.mlps\."


def info(sizes):
    return {
        k: torch.empty(shape, dtype=dtype, device="meta")
        for k, (shape, dtype) in published(sizes).items()
    }


def test_full_size():
    table = published(FULL)
    assert len(table) == 1252 and numel(table) == 2_460_231_689
    plan = make_plan(config(FULL), info(FULL), "the checkpoint")
    assert [len(part.tensors) for part in plan.parts] == [819, 399]
    assert len(plan.dropped) == 54 and all(re.match(MLPS, k) for k in plan.dropped)
    taslm = plan.parts[1].args
    assert taslm.lm_conf["dtype"] == "bfloat16"
    assert taslm.lm_conf["lora"]["r"] == 64
    for part, table_ in zip(plan.parts, (TASTE, TASLM), strict=True):
        for ours, theirs in part.tensors.items():
            assert to_ours(table_, theirs) == ours
            assert to_published(table_, ours) == theirs


def test_trainable_parameters():
    names = published(FULL)
    with torch.device("meta"):
        taste = build_taste_model(taste_arguments(config(FULL), names))
        taslm = build_taslm_model(taslm_arguments(config(FULL)))
    parameters = {
        to_published(TASTE, k): (p.shape, p.dtype) for k, p in taste.named_parameters()
    }
    assert numel(parameters, STAGE_1_1) == 272_859_139
    # the reference also counts its dead weights
    dead = numel(names, MLPS)
    assert numel(parameters, STAGE_1_3) + dead == 275_489_027
    trained = sum(p.numel() for p in taslm.parameters() if p.requires_grad)
    assert trained == 48_240_386


def test_all_problems_are_one_message():
    tensors = info(TINY)
    wrong = tensors.pop("speech_decoder.llm_decoder.bias")
    tensors["speech_decoder.llm_decoder.offset"] = wrong
    tensors["spoken_lm.pad_text_unit_embed"] = torch.empty(7, device="meta")
    with pytest.raises(ValueError) as error:
        make_plan(config(TINY), tensors, "here")
    for part in (
        "here does not fit its configuration",
        "missing (1): speech_decoder.llm_decoder.bias",
        "unexpected (1): speech_decoder.llm_decoder.offset",
        "other shape (1): spoken_lm.pad_text_unit_embed [7] instead of [32]",
    ):
        assert part in str(error.value)


def test_another_size_is_abbreviated():
    with pytest.raises(ValueError, match=r"other shape \(\d\d+\): .*, \.\.\."):
        make_plan(config(TINY | {"D": 24}), info(TINY), "here")


@pytest.mark.parametrize(
    "section,key,value",
    [
        ("speech_decoder_config", "fuse_encoded_audio_text_type", "concat"),
        ("spoken_lm_config", "out_llm_module", "weighted_layer"),
        ("spoken_lm_config", "audio_embed_conv_mode", "conv"),
        ("audio_tower_config", "is_joint_encoder_segmenter", False),
    ],
)
def test_variants_of_the_reference_that_are_not_here(section, key, value):
    changed = copy.deepcopy(config(TINY))
    changed[section][key] = value
    with pytest.raises(ValueError, match=f"config.json.*{key}="):
        make_plan(changed, info(TINY), "here")


def test_fields_that_transformers_writes_everywhere():
    changed = copy.deepcopy(config(TINY))
    generic = {
        "return_dict": True,
        "id2label": {"0": "A"},
        "decoder_start_token_id": None,
    }
    generic |= {"top_k": 50, "begin_suppress_tokens": [220], "torch_dtype": "float32"}
    for section in ("text_config", "asr_config"):
        changed[section] = generic | changed[section]
    plain, noisy = (
        make_plan(c, info(TINY), "x").parts for c in (config(TINY), changed)
    )
    assert [part.args for part in noisy] == [part.args for part in plain]


def test_config_without_a_size():
    changed = copy.deepcopy(config(TINY))
    del changed["audio_tower_config"]["kwargs_for_quantizer"]["dim"]
    with pytest.raises(ValueError, match="config.json of here has no 'dim'"):
        make_plan(changed, info(TINY), "here")
