"""What the golden model is: its sizes, its integer inputs, what is to be expected.

Every size differs from the reference's fixtures, so that the tests prove themselves
free of them.
"""

import numpy as np
import torch

from espnet2_taste.taslm.sampler import Vocabulary

SEED = 61

CONFIG = {
    "audio_tower_config": {
        "is_joint_encoder_segmenter": True,
        "quantization_on": True,
        "audio_embed_dim": 24,
        "encoder__target_hidden_layer": 3,
        "kwargs_for_joint_encoder_segmenter": {
            "forward_type": "asr_attn_pooling",
            "is_word_level": True,
            "skip_prefix_idx": 4,
        },
        "kwargs_for_quantizer": {
            "codebook_dim": 12,
            "codebook_size": 20,
            "decay": 0.95,
            "dim": 24,
            "kmeans_init": True,
            "kmeans_iters": 7,
            "num_quantizers": 3,
            "quantize_dropout": True,
        },
    },
    "speech_decoder_config": {
        "encoder_input_size": 16,
        "audio_encoder_input_size": 24,
        "llm_input_size": 32,
        "llm_output_size": 32,
        "text_token_size": 51865,
        "speech_token_size": 50,
        "length_normalized_loss": True,
        "lsm_weight": 0.0,
        "spk_embed_dim": 20,
        "fuse_encoded_audio_text_type": "weighted_sum",
        "fuse_encoded_audio_text_kwargs": {"normalize": False, "use_layer_norm": False},
        "skip_prefix_idx": 4,
        "encoder__attention_heads": 2,
        "encoder__linear_units": 40,
        "encoder__num_blocks": 2,
        "encoder__dropout_rate": 0.0,
        "encoder__positional_dropout_rate": 0.0,
        "llm__attention_heads": 2,
        "llm__linear_units": 48,
        "llm__num_blocks": 2,
        "llm__dropout_rate": 0.0,
        "llm__positional_dropout_rate": 0.0,
    },
    "spoken_lm_config": {
        "sos_id": 84,
        "loss_weights": "0.4-0.6",
        "delay": 2,
        "delay_level": "word",
        "audio_embed_conv_mode": "fill_forward",
        "in_llm_module": "weighted_sum",
        "out_llm_module": "continue_latent_linear_last",
        "use_lora": True,
        "kwargs_for_lora": {"lora_r": 3, "lora_alpha": 5, "lora_dropout": 0.0},
    },
    "text_config": {
        "model_type": "llama",
        "vocab_size": 90,
        "hidden_size": 32,
        "intermediate_size": 44,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 1,
        "head_dim": 8,
        "max_position_embeddings": 256,
        "rms_norm_eps": 1e-05,
        "rope_theta": 10000.0,
        "rope_scaling": {
            "factor": 8.0,
            "high_freq_factor": 4.0,
            "low_freq_factor": 1.0,
            "original_max_position_embeddings": 64,
            "rope_type": "llama3",
        },
        "tie_word_embeddings": True,
        "bos_token_id": 84,
        "eos_token_id": 85,
        "attention_bias": False,
    },
    "asr_config": {
        "model_type": "whisper",
        "d_model": 24,
        "encoder_layers": 5,
        "decoder_layers": 3,
        "encoder_attention_heads": 3,
        "decoder_attention_heads": 2,
        "encoder_ffn_dim": 40,
        "decoder_ffn_dim": 36,
        "num_mel_bins": 80,
        "vocab_size": 51865,
        "max_source_positions": 60,
        "max_target_positions": 32,
        "pad_token_id": 50257,
        "bos_token_id": 50257,
        "eos_token_id": 50257,
        "decoder_start_token_id": 50258,
        "dropout": 0.0,
        "attention_dropout": 0.0,
        "activation_dropout": 0.0,
    },
}
#: words of the batch in ``inputs``: per item the word of each token
ASR_WORD_IDS = [[0, 0, 1, 2, 2, 2, 3, 3], [0, 1, 1, 2, 3], [0, 1, 1]]
LLM_WORD_IDS = [[0, 0, 1, 2, 3, 3], [0, 1, 2, 2, 3], [0, 1, 1]]
#: greedy runs; a number that ends the name of an ``audio`` run is its item
RUNS = {
    "zero": {"mode": "zero", "extra_words": 2},
    "zero5": {"mode": "zero", "extra_words": 5},
    "text": {"mode": "text", "extra_words": 2},
    "audio": {"mode": "audio", "extra_words": 1},
    "audio2": {"mode": "audio", "extra_words": 2},
    "instruct": {
        "mode": "instruct",
        "extra_words": 3,
        "prefix_ids": [84, 33, 60],
        "suffix_ids": [12, 41],
        "stop_id": 85,
    },
}
#: ``d_*`` have one more item: an utterance of one word
ONE_WORD = {
    "llm_token_ids": torch.tensor([[70, 71, 72, 0, 0, 0]]),
    "llm_token_lengths": torch.tensor([3]).int(),
    "llm_word_ids": torch.zeros(1, 6, dtype=torch.int32),
}
ONE_WORD_CODES = [3, 11, 17]
PIECES = 84  # then the special symbols

#: per file: float inputs, drawn when read and stored nowhere
DRAWN = {
    "frontend": {"wav0": (9600,), "wav1": (6400,), "wav2": (4000,)},
    "inputs": {"audio_features": (3, 120, 80)},
    "b_rvq": {
        "x": (4, 7, 24),
        "code_in": (2, 5, 12),
        "taste_logits_in": (2, 5, 3, 20),
        "kmeans_x": (3, 24, 24),
    },
    "c_speech_decoder": {"speaker_embeds": (3, 20)},
    "d_spoken_lm": {"cont_train_eps": (4, 9, 12)},
    "d_heads": {
        "linear_last.linear.weight": (60, 32),
        "linear_last.linear.bias": (60,),
        "multi_linear_last.linear.weight": (60, 32),
        "multi_linear_last.linear.bias": (60,),
        "multi_linear_last.b_logvar": (32,),
    },
    "e_generate": {"topp_in": (1, 90)},
}
#: per file: names (and, where a computation asks, shapes) of expected tensors that
#: carry a choice: which frames, how many steps, which delays
CHOSEN = {
    "frontend": {f"logmel{i}_first64": (64, 80) for i in range(3)},
    "a_audio_tower": {
        "key_states_every7": (),
        "val_states_every7": (),
        **{f"cross_attn_l{layer}_every7": () for layer in range(3)},
        "singleword_pad0_embeds": (1, 3, 24),
        "singleword_pad1_embeds": (1, 4, 24),
        "singleword_pad5_embeds": (3, 8, 24),
    },
    "b_rvq": {"output_from_coarse2_indices": ()},
    "c_speech_decoder": {f"ar{item}_first9_logp": () for item in range(3)},
    "d2_delays": {
        f"delay{delay}_{level}_inputs_embeds": ()
        for delay, level in [
            (0, "word"),
            (1, "word"),
            (4, "word"),
            (1, "token"),
            (2, "token"),
        ]
    },
    "e_generate": {"topp_out_0.7": (), "rep_out_1.2_after_topp": ()},
    "h_end_to_end": {"stage1_grad_dec_embed_positions_rowsum": (10,)},
}
#: what index.json tells beside the tensors
FACTS = {
    "b_rvq": {"trainqd_dropout_index": 1},
    "c_speech_decoder": {"ar_eos_bias_delta": 1.5},
}


def integers(file: str, seed: int = SEED) -> dict[str, torch.Tensor]:
    """Integer (and bool) inputs of a file."""
    random = np.random.RandomState(seed)

    def ids(high: int, *shape: int, low: int = 0) -> torch.Tensor:
        return torch.from_numpy(random.randint(low, high, shape))

    def mask(lengths: list[int]) -> torch.Tensor:
        return torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]

    asr, llm = padded(ASR_WORD_IDS), padded(LLM_WORD_IDS)
    asr_lengths, llm_lengths = (
        torch.tensor([len(x) for x in ids]).int()
        for ids in (ASR_WORD_IDS, LLM_WORD_IDS)
    )
    if file == "inputs":
        return {
            "asr_token_ids": ids(50000, *asr.shape) * (asr >= 0),
            "asr_token_lengths": asr_lengths,
            "asr_word_ids": asr.clamp(min=0),
            "llm_token_ids": ids(PIECES, *llm.shape, low=10) * (llm >= 0),
            "llm_token_lengths": llm_lengths,
            "llm_word_ids": llm.clamp(min=0),
            "audio_feature_lengths": torch.tensor([110, 64, 37]).int(),
        }
    if file == "a_audio_tower":
        single = asr.clamp(min=0)
        single[-1] = 0
        return {"singleword_word_ids": single}
    if file == "b_rvq":
        size = CONFIG["audio_tower_config"]["kwargs_for_quantizer"]["codebook_size"]
        kmeans_mask = mask([24, 15, 20])
        picks = [random.permutation(int(kmeans_mask.sum()))[:size] for _ in range(3)]
        lengths = [7, 4, 6, 1]
        return {
            "lengths": torch.tensor(lengths),
            "mask": mask(lengths),
            "kmeans_mask": kmeans_mask,
        } | {f"kmeans_init_pick_{i}": torch.from_numpy(p) for i, p in enumerate(picks)}
    if file == "c_speech_decoder":
        lengths = [14, 9, 11]
        return {
            "speech_token_ids": ids(50, 3, 14) * mask(lengths),
            "speech_token_lengths": torch.tensor(lengths).int(),
        }
    if file == "e_generate":
        return {"rep_input_ids": ids(90, 1, 6)}
    if file == "f_extract_vq":
        return {
            "map2_src_word_ids": torch.tensor([[0, 1, 1, 2, 2, 2, 3]]).int(),
            "map2_tgt_word_ids": torch.tensor([[0, 0, 0, 1, 2, 2, 3, 3]]).int(),
        }
    return {}


def padded(rows: list[list[int]], value: int = -1) -> torch.Tensor:
    """(B, longest) int32."""
    longest = max(map(len, rows))
    return torch.tensor([row + [value] * (longest - len(row)) for row in rows]).int()


def pieces() -> list[str]:
    """The stub vocabulary: signs, words, endings, foreign letters, special symbols."""
    onsets, vowels = "bdfgklmnprstvz", "aeiou"
    syllables = [o + v for i, o in enumerate(onsets) for v in (vowels[i % 5], "a")]
    found = ["!", "?", ",", ".", "'", "-", "\n", " ", "1", "2"]
    found += [f" {s}{'.' if i % 5 == 0 else ''}" for i, s in enumerate(syllables)]
    found += syllables + ["中", "é", "\n\n", "'s", "...", " ."]
    found += [f"x{i}" for i in range(PIECES - len(found))]
    size = CONFIG["text_config"]["vocab_size"]
    return found + ["<|bot|>", "<|eot|>"] + [f"<|r{i}|>" for i in range(size - 86)]


def generation_facts() -> dict:
    """Vocabulary tables and runs, as index.json tells them."""
    names, special = pieces(), CONFIG["spoken_lm_config"]["sos_id"]
    table = Vocabulary.build(
        len(names), special, names[:special].__getitem__, ban="non_latin"
    )
    listed = table.banned[:special].nonzero().flatten().tolist()
    return {
        "runs": RUNS,
        "word_start_set": table.starts_word.nonzero().flatten().tolist(),
        "ban_ids": [*listed, special + 1],
        "sentence_end_set": table.ends_sentence.nonzero().flatten().tolist(),
        "stub_vocab": "stub_llm_vocab.json",
        "special_start_id": special,
        "eot_id": special + 1,
        "sos_id": special,
    }
