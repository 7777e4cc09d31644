"""``config.json`` of a published checkpoint -> our training arguments.

What comes out is the content of a ``config.yaml`` that ``build_taste_model`` and
``build_taslm_model`` read. Keys that the published file leaves out take the defaults of
the reference's configuration classes.
"""

import argparse
from collections.abc import Iterable
from dataclasses import asdict, replace

from espnet2_taste.hub.published_names import AGGREGATOR, ENCODER, count_layers
from espnet2_taste.units.unit_spec import S3

#: Whisper vocabulary size -> our ``token_model``
WHISPER_VOCABULARIES = {51866: "multilingual", 51865: "multilingual-v2", 51864: "en"}
#: published ``out_llm_module`` -> our ``speech_head`` and its arguments
HEADS = {
    "continue_latent_linear_last": ("latent", {}),
    "linear_last": ("token", {}),
    "multi_linear_last": ("token", {"multi_linear": True}),
}
#: weight of the KL to the base LM wherever the reference trains with one
TEXT_KL_WEIGHT = 0.9
#: what makes an LLM beyond the fields of its configuration class
_LM_FIELDS = {
    *("model_type", "tie_word_embeddings", "rope_scaling", "rope_theta"),
    *("bos_token_id", "eos_token_id", "pad_token_id"),
}


def taste_arguments(config: dict, names: Iterable[str] = ()) -> argparse.Namespace:
    """Arguments of the published audio tower and speech decoder.

    Args:
        config: content of ``config.json``.
        names: of the checkpoint's tensors. They decide the numbers of Whisper layers:
            ``asr_config`` describes the recogniser, whose decoder may be deeper than
            the aggregator. Without names ``asr_config`` decides.

    Raises:
        ValueError: a variant of the reference that this package does not have.
    """
    tower, decoder = config["audio_tower_config"], config["speech_decoder_config"]
    joint = tower.get("kwargs_for_joint_encoder_segmenter") or {}
    rvq, conf = tower.get("kwargs_for_quantizer"), _defaulted(decoder)
    fusion = conf["fuse_encoded_audio_text_kwargs"]
    _require(tower, "audio_tower_config", is_joint_encoder_segmenter=(True,))
    _require(joint, "joint encoder", forward_type=("asr_attn_pooling",))
    _require(
        conf,
        "speech_decoder_config",
        fuse_encoded_audio_text_type=("weighted_sum",),
        lsm_weight=(0.0,),
        length_normalized_loss=(True,),
    )
    _require(fusion, "speech decoder's fusion", normalize=(False,))
    _require(fusion, "speech decoder's fusion", use_layer_norm=(False,))
    whisper = whisper_config(config["asr_config"], names)
    if conf["text_token_size"] != whisper["vocab_size"]:
        raise ValueError(
            f"config.json: the speech decoder reads {conf['text_token_size']} text "
            f"tokens, the aggregator {whisper['vocab_size']}: one vocabulary is needed"
        )
    return argparse.Namespace(
        token_type="whisper",
        token_model=WHISPER_VOCABULARIES.get(whisper["vocab_size"]),
        vocab_size=whisper["vocab_size"],
        unit_spec=asdict(replace(S3, num_units=conf["speech_token_size"])),
        num_units=conf["speech_token_size"],
        spk_embed_dim=conf["spk_embed_dim"],
        frontend="whisper_mel",
        frontend_conf={"n_mels": whisper["num_mel_bins"], "pad_to_30s": True},
        encoder="whisper",
        encoder_conf={
            "config": whisper,
            "value_layer": tower.get("encoder__target_hidden_layer", 6),
            "frozen": True,
        },
        aggregator="cross_attention",
        aggregator_conf={
            "d_model": whisper["d_model"],
            "num_layers": whisper["decoder_layers"],
            "num_heads": whisper["decoder_attention_heads"],
            "ffn_dim": whisper["decoder_ffn_dim"],
            "max_positions": whisper["max_target_positions"],
            "dropout": whisper["dropout"],
            "mask_padding": False,
        },
        quantizer="none" if rvq is None else "rvq",
        quantizer_conf=_quantizer_conf(rvq),
        fusion="weighted_sum",
        fusion_conf={},
        speech_decoder="unit_transformer",
        speech_decoder_conf=speech_decoder_conf(config),
        model_conf={
            "granularity": "word" if joint.get("is_word_level") else "token",
            "commit_weight": 1.0,
        },
    )


def speech_decoder_conf(config: dict) -> dict:
    """Sizes of the published speech decoder as ``unit_transformer`` arguments."""
    conf = _defaulted(config["speech_decoder_config"])
    return {
        "embed_size": conf["encoder_input_size"],
        "encoder_size": conf.get("encoder__output_size", conf["llm_input_size"]),
        "text_blocks": conf["encoder__num_blocks"],
        "text_heads": conf["encoder__attention_heads"],
        "text_ffn_size": conf["encoder__linear_units"],
        "llm_size": conf["llm_input_size"],
        "llm_blocks": conf["llm__num_blocks"],
        "llm_heads": conf["llm__attention_heads"],
        "llm_ffn_size": conf["llm__linear_units"],
        "dropout": conf["llm__dropout_rate"],
    }


def taslm_arguments(config: dict, dtype: str = "float32") -> argparse.Namespace:
    """Arguments of the published spoken language model.

    Args:
        config: content of ``config.json``.
        dtype: of the base language model.

    Raises:
        ValueError: a variant of the reference that this package does not have.
    """
    spoken, text = config["spoken_lm_config"], config["text_config"]
    _require(
        spoken,
        "spoken_lm_config",
        audio_embed_conv_mode=("fill_forward",),
        in_llm_module=("weighted_sum",),
        out_llm_module=tuple(HEADS),
    )
    speech_head, speech_head_conf = HEADS[spoken["out_llm_module"]]
    taste_weights = [float(w) for w in spoken["loss_weights"].split("-")]
    if config["audio_tower_config"].get("kwargs_for_quantizer") is None:
        raise ValueError("config.json: a spoken LM without kwargs_for_quantizer")
    lm_conf = {
        "config": _lm_config(text),
        "dtype": dtype,
        "sos_id": spoken["sos_id"],
    }
    if spoken.get("use_lora", True):
        lora = spoken["kwargs_for_lora"]
        lm_conf["lora"] = {
            "r": lora["lora_r"],
            "lora_alpha": lora["lora_alpha"],
            "lora_dropout": lora["lora_dropout"],
            "bias": "none",
        }
    return argparse.Namespace(
        token_type="hf",
        token_model=None,
        vocab_size=text["vocab_size"],
        quantizer="rvq",
        quantizer_conf=_quantizer_conf(
            config["audio_tower_config"]["kwargs_for_quantizer"]
        ),
        quantizer_dim=config["audio_tower_config"]["kwargs_for_quantizer"]["dim"],
        taste_config=None,
        taste_model=None,
        lm="espnet2_taste.hub.compat.RoundedRopeBackbone",
        lm_conf=lm_conf,
        fusion="weighted_sum",
        fusion_conf={"weights": [-2.0, 2.0], "project": True},
        speech_head=speech_head,
        speech_head_conf=speech_head_conf,
        model_conf={
            "delay": spoken["delay"],
            "delay_level": spoken["delay_level"],
            "loss_weights": taste_weights,
            "text_kl_weight": TEXT_KL_WEIGHT if "lora" in lm_conf else 0.0,
            "end_symbol": False,
        },
    )


def whisper_config(asr_config: dict, names: Iterable[str] = ()) -> dict:
    """Complete ``WhisperConfig`` arguments, as deep as the checkpoint is."""
    from transformers import WhisperConfig

    default = WhisperConfig()
    keys = (
        "d_model num_mel_bins vocab_size max_source_positions max_target_positions "
        "encoder_layers encoder_attention_heads encoder_ffn_dim dropout "
        "decoder_layers decoder_attention_heads decoder_ffn_dim "
        "attention_dropout activation_dropout activation_function scale_embedding"
    ).split()
    config = {key: asr_config.get(key, getattr(default, key)) for key in keys}
    for key, prefix in (("encoder_layers", ENCODER), ("decoder_layers", AGGREGATOR)):
        config[key] = count_layers(names, prefix + "layers.") or config[key]
    return config


def _quantizer_conf(rvq: dict | None) -> dict:
    if rvq is None:
        return {}
    return {
        "codebook_dim": rvq["codebook_dim"],
        "num_codebooks": rvq["num_quantizers"],
        "codebook_size": rvq["codebook_size"],
        "decay": rvq.get("decay", 0.99),
        "kmeans_init": rvq.get("kmeans_init", True),
        "kmeans_iters": rvq.get("kmeans_iters", 10),
        "quantize_dropout": rvq.get("quantize_dropout", False),
    }


def _defaulted(decoder: dict) -> dict:
    """The speech decoder's configuration with the reference's defaults."""
    return {
        "encoder_input_size": 512,
        "llm_input_size": 1024,
        "text_token_size": 51866,
        "speech_token_size": 4096,
        "spk_embed_dim": 192,
        "fuse_encoded_audio_text_kwargs": {},
        "encoder__attention_heads": 8,
        "encoder__linear_units": 2048,
        "encoder__num_blocks": 3,
        "llm__attention_heads": 8,
        "llm__linear_units": 2048,
        "llm__num_blocks": 7,
        "llm__dropout_rate": 0.1,
    } | decoder


def _lm_config(text_config: dict) -> dict:
    """What a configuration says of the model, without provenance and generation."""
    from transformers import CONFIG_MAPPING, PretrainedConfig

    config = {"model_type": "llama"} | text_config
    own = CONFIG_MAPPING[config["model_type"]]().to_dict().keys()
    fields = (own - PretrainedConfig().to_dict().keys()) | _LM_FIELDS
    return {key: value for key, value in config.items() if key in fields}


def _require(config: dict, where: str, **allowed: tuple) -> None:
    for key, values in allowed.items():
        if key in config and config[key] not in values:
            raise ValueError(
                f"config.json: {where} has {key}={config[key]!r}, this package has "
                f"{', '.join(map(repr, values))}"
            )
