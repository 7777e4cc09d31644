"""Names, shapes and dtypes of a published TASTE checkpoint, of any size.

Written down from the reference's state dict, not with this package's code. ``{a,b}``
stands for several names, ``{0-N}`` for N of them; shapes are products of sizes.
"""

import itertools
import math
import re

import torch

TOWER = "audio_tower.audio_joint_encoder_segmenter."
LLAMA = "spoken_lm.language_model.base_model.model."
LM_HEAD, EMBED = LLAMA + "lm_head.weight", LLAMA + "model.embed_tokens.weight"
RELATIVE_ATTENTION = """
self_attn.pos_bias_{u,v} [h, D/h]
self_attn.linear_{q,k,v,out,pos}.weight [D, D]
self_attn.linear_{q,k,v,out}.bias [D]
feed_forward.w_1.weight [f, D]
feed_forward.w_1.bias [f]
feed_forward.w_2.weight [D, f]
feed_forward.w_2.bias [D]
"""
WHISPER = f"""
{TOWER}audio_encoder.encoder.conv1.weight [d, mel, 3]
{TOWER}audio_encoder.encoder.conv2.weight [d, d, 3]
{TOWER}audio_encoder.encoder.conv{{1,2}}.bias [d]
{TOWER}audio_encoder.encoder.embed_positions.weight [frames, d]
{TOWER}audio_segmenter.decoder.embed_tokens.weight [text, d]
{TOWER}audio_segmenter.decoder.embed_positions.weight [positions, d]
{TOWER}audio_{{encoder.encoder,segmenter.decoder}}.layer_norm.{{weight,bias}} [d]
"""
WHISPER_LAYER = """
{self_attn,final}_layer_norm.{weight,bias} [d]
self_attn.{k,v,q,out}_proj.weight [d, d]
self_attn.{v,q,out}_proj.bias [d]
fc1.weight [ffn, d]
fc1.bias [ffn]
fc2.weight [d, ffn]
fc2.bias [d]
"""
CROSS_ATTENTION = """
encoder_attn_layer_norm.{weight,bias} [d]
encoder_attn.{k,v,q,out}_proj.weight [d, d]
encoder_attn.{v,q,out}_proj.bias [d]
"""
RVQ = """
audio_tower.vq.rvq.project_in.weight [c, d]
audio_tower.vq.rvq.project_in.bias [c]
audio_tower.vq.rvq.project_out.weight [d, c]
audio_tower.vq.rvq.project_out.bias [d]
audio_tower.vq.rvq.layers.{0-R}._codebook.initted [1]
audio_tower.vq.rvq.layers.{0-R}._codebook.cluster_size [1, K]
audio_tower.vq.rvq.layers.{0-R}._codebook.{embed_avg,embed} [1, K, c]
audio_tower.vq.rvq.mlps.{0-M}.proj_in.weight [c, 2*c]
audio_tower.vq.rvq.mlps.{0-M}.proj_in.bias [c]
audio_tower.vq.rvq.mlps.{0-M}.layers.{0,1,2,3}.{0,2}.weight [c, c]
audio_tower.vq.rvq.mlps.{0-M}.layers.{0,1,2,3}.{0,2}.bias [c]
"""
SPEECH_DECODER = """
speech_decoder.text_embedding.weight [text, e]
speech_decoder.{text_encoder,audio_token_encoder}.embed.out.0.weight [D, e]
speech_decoder.llm.embed.out.0.weight [D, D]
speech_decoder.{text_encoder,audio_token_encoder,llm}.embed.out.1.weight [D]
speech_decoder.{text_encoder,audio_token_encoder,llm}.embed.out.{0,1}.bias [D]
speech_decoder.{text_encoder,audio_token_encoder,llm}.after_norm.{weight,bias} [D]
speech_decoder.{text_encoder,audio_token_encoder}_affine_layer.weight [D, D]
speech_decoder.{text_encoder,audio_token_encoder}_affine_layer.bias [D]
speech_decoder.llm_embedding.weight [2, D]
speech_decoder.llm_decoder.weight [units+1, D]
speech_decoder.llm_decoder.bias [units+1]
speech_decoder.speech_embedding.weight [units, D]
speech_decoder.spk_embed_affine_layer.weight [D, spk]
speech_decoder.spk_embed_affine_layer.bias [D]
speech_decoder.audio_embed_affine_layer.weight [e, d]
speech_decoder.audio_embed_affine_layer.bias [e]
speech_decoder.fuse_encoded_audio_text_module.weights [2]
"""
SPOKEN_LM = """
spoken_lm.pad_text_unit_embed [H]
spoken_lm.pad_audio_unit_embed [d]
spoken_lm.fuse_for_bridge_in_llm.weights [2]
spoken_lm.fuse_for_bridge_in_llm.linear.weight [H, d]
spoken_lm.fuse_for_bridge_in_llm.linear.bias [H]
spoken_lm.extract_for_bridge_out_llm.b_logvar [c]
spoken_lm.extract_for_bridge_out_llm.fc_mu.weight [c, H]
spoken_lm.extract_for_bridge_out_llm.fc_mu.bias [c]
"""
PROJECTIONS = {
    "self_attn.{q,o}_proj": ("H", "H"),
    "self_attn.{k,v}_proj": ("kv", "H"),
    "mlp.{gate,up}_proj": ("I", "H"),
    "mlp.down_proj": ("H", "I"),
}

#: what the sizes are in the published checkpoint
FULL = {
    **{"d": 1280, "mel": 128, "frames": 1500, "positions": 448, "text": 51866},
    **{"ffn": 5120, "E": 32, "A": 2, "c": 256, "K": 512, "R": 4, "M": 3},
    **{"e": 512, "D": 1024, "h": 8, "f": 2048, "T": 3, "U": 2, "L": 7},
    **{"units": 4096, "spk": 192, "V": 128256, "H": 2048, "I": 8192, "kv": 512},
    **{"N": 16, "r": 64},
}
#: the audio encoder's 8 heads and 2048 are fixed in the reference
TINY = FULL | {
    **{"d": 32, "ffn": 16, "E": 7, "A": 1, "c": 6, "K": 8, "M": 3},
    **{"e": 8, "D": 16, "h": 2, "f": 12, "T": 1, "L": 2, "units": 20, "spk": 10},
    **{"V": 300, "H": 32, "I": 24, "kv": 16, "N": 2, "r": 2},
}


def published(sizes: dict[str, int]) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
    """Name -> shape and dtype."""
    tables = [(WHISPER, sizes, torch.bfloat16)]
    for prefix, layers, rows in (
        ("audio_encoder.encoder", "E", WHISPER_LAYER),
        ("audio_segmenter.decoder", "A", WHISPER_LAYER + CROSS_ATTENTION),
    ):
        layer = f"{TOWER}{prefix}.layers.{{0-{layers}}}."
        tables.append((prefixed(rows, layer), sizes, torch.bfloat16))
    tables += [(t, sizes, torch.float32) for t in (RVQ, SPEECH_DECODER, SPOKEN_LM)]
    fixed = sizes | {"h": 8, "f": 2048}
    for encoder, blocks, own, norms in (
        ("text_encoder", "T", sizes, "norm_{ff,mha}"),
        ("audio_token_encoder", "U", fixed, "norm_{ff,mha}"),
        ("llm", "L", sizes, "norm{1,2}"),
    ):
        rows = RELATIVE_ATTENTION + norms + ".{weight,bias} [D]\n"
        block = f"speech_decoder.{encoder}.encoders.{{0-{blocks}}}."
        tables.append((prefixed(rows, block), own, torch.float32))
    return shapes_of([*tables, *_language_model(sizes)])


def shapes_of(tables: list[tuple]) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
    """Name -> shape and dtype of tables (rows, sizes, dtype)."""
    found = {}
    for table, own, dtype in tables:
        for row in table.strip().splitlines():
            pattern, _, shape = row.partition(" [")
            dims = [eval(x, {}, own) for x in shape.rstrip("]").split(",")]
            dims = tuple(int(x) for x in dims)
            found |= dict.fromkeys(_expand(pattern, own), (dims, dtype))
    return found


def _language_model(sizes):
    layer = LLAMA + "model.layers.{0-N}."
    rows = f"{LLAMA}{{model.embed_tokens,lm_head}}.weight [V, H]\n"
    rows += f"{LLAMA}model.norm.weight [H]\n"
    rows += f"{layer}{{input,post_attention}}_layernorm.weight [H]\n"
    lora = ""
    for name, (out, into) in PROJECTIONS.items():
        rows += f"{layer}{name}.base_layer.weight [{out}, {into}]\n"
        lora += f"{layer}{name}.lora_A.default.weight [r, {into}]\n"
        lora += f"{layer}{name}.lora_B.default.weight [{out}, r]\n"
    return (rows, sizes, torch.bfloat16), (lora, sizes, torch.float32)


def prefixed(rows: str, prefix: str) -> str:
    return "\n".join(prefix + row for row in rows.splitlines() if row)


def _expand(pattern: str, sizes: dict[str, int]) -> list[str]:
    parts = re.split(r"\{(.+?)\}", pattern)
    choices = [
        [part]
        if i % 2 == 0
        else map(str, range(sizes[part[2:]]))
        if part.startswith("0-")
        else part.split(",")
        for i, part in enumerate(parts)
    ]
    return ["".join(names) for names in itertools.product(*choices)]


def numel(table: dict, pattern: str = ".") -> int:
    """Elements of the tensors whose name a regular expression matches."""
    return sum(math.prod(s) for k, (s, _) in table.items() if re.match(pattern, k))


def config(sizes: dict[str, int]) -> dict:
    """``config.json`` as the reference writes it; what it defaults to is left out."""
    heads = max(1, sizes["d"] // 64)
    return {
        "model_type": "taste",
        "audio_tower_config": {
            "is_joint_encoder_segmenter": True,
            "encoder__target_hidden_layer": min(6, sizes["E"] - 1),
            "kwargs_for_joint_encoder_segmenter": {
                "dtype": "bfloat16",
                "forward_type": "asr_attn_pooling",
                "is_word_level": True,
                "skip_prefix_idx": 4,
            },
            "kwargs_for_quantizer": {
                "codebook_dim": sizes["c"],
                "codebook_size": sizes["K"],
                "dim": sizes["d"],
                "num_quantizers": sizes["R"],
                "quantize_dropout": True,
            },
        },
        "speech_decoder_config": {
            "encoder_input_size": sizes["e"],
            "audio_encoder_input_size": sizes["d"],
            "llm_input_size": sizes["D"],
            "llm_output_size": sizes["D"],
            "speech_token_size": sizes["units"],
            "spk_embed_dim": sizes["spk"],
            "fuse_encoded_audio_text_type": "weighted_sum",
            "fuse_encoded_audio_text_kwargs": {"normalize": False},
            **{
                f"{encoder}__{key}": sizes[size]
                for encoder, blocks in (("encoder", "T"), ("llm", "L"))
                for key, size in (
                    ("attention_heads", "h"),
                    ("linear_units", "f"),
                    ("num_blocks", blocks),
                )
            },
        },
        "spoken_lm_config": {
            "sos_id": sizes["V"] - 2,
            "loss_weights": "0.5-0.5",
            "delay": 1,
            "delay_level": "word",
            "audio_embed_conv_mode": "fill_forward",
            "in_llm_module": "weighted_sum",
            "out_llm_module": "continue_latent_linear_last",
            "use_lora": True,
            "kwargs_for_lora": {
                "lora_r": sizes["r"],
                "lora_alpha": 2 * sizes["r"],
                "lora_dropout": 0.05,
            },
        },
        "text_config": {
            "model_type": "llama",
            "_name_or_path": "meta-llama/Llama-3.2-1B",
            "vocab_size": sizes["V"],
            "hidden_size": sizes["H"],
            "intermediate_size": sizes["I"],
            "num_hidden_layers": sizes["N"],
            "num_attention_heads": 4 * sizes["H"] // sizes["kv"],
            "num_key_value_heads": 4,
            "head_dim": sizes["kv"] // 4,
            "max_position_embeddings": 131072,
            "rope_scaling": {
                "factor": 32.0,
                "high_freq_factor": 4.0,
                "low_freq_factor": 1.0,
                "original_max_position_embeddings": 8192,
                "rope_type": "llama3",
            },
            "tie_word_embeddings": True,
            "bos_token_id": sizes["V"] - 2,
            "eos_token_id": sizes["V"] - 1,
            "torch_dtype": "bfloat16",
        },
        # describes the recogniser: its decoder is deeper than the aggregator
        "asr_config": {
            "model_type": "whisper",
            "_name_or_path": "openai/whisper-large-v3",
            "d_model": sizes["d"],
            "encoder_layers": sizes["E"],
            "decoder_layers": sizes["E"],
            "encoder_attention_heads": heads,
            "decoder_attention_heads": heads,
            "encoder_ffn_dim": sizes["ffn"],
            "decoder_ffn_dim": sizes["ffn"],
            "num_mel_bins": sizes["mel"],
            "vocab_size": sizes["text"],
        },
    }
