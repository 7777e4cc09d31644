"""Tiny random Whisper models in the files that transformers and OpenAI write."""

import json

import torch

SPECIAL = [
    *("<|endoftext|>", "<|startoftranscript|>", "<|en|>", "<|de|>", "<|translate|>"),
    *("<|transcribe|>", "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>"),
]
NUM_MELS = 8


def byte_alphabet() -> list[str]:
    """The 256 characters that stand for bytes in GPT-2's vocabulary."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    spare = iter(range(256, 512))
    return [chr(b if b in shown else next(spare)) for b in range(256)]


def save_transformers(folder, multilingual=True):
    """A Whisper of a few thousand weights, its tokenizer and feature extractor."""
    from transformers import (
        WhisperConfig,
        WhisperFeatureExtractor,
        WhisperForConditionalGeneration,
    )

    folder.mkdir(parents=True, exist_ok=True)
    ids = {name: 256 + i for i, name in enumerate(SPECIAL)}
    vocab = {c: i for i, c in enumerate(byte_alphabet())}
    (folder / "vocab.json").write_text(json.dumps(vocab | ids))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    (folder / "tokenizer_config.json").write_text(
        json.dumps(
            {
                "tokenizer_class": "WhisperTokenizer",
                "added_tokens_decoder": {
                    str(i): {"content": name, "special": True, "normalized": False}
                    for name, i in ids.items()
                },
                **dict.fromkeys(("bos_token", "eos_token", "unk_token"), SPECIAL[0]),
            }
        )
    )
    torch.manual_seed(3)
    config = WhisperConfig(
        vocab_size=256 + len(SPECIAL),
        num_mel_bins=NUM_MELS,
        d_model=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        init_std=0.5,
        decoder_start_token_id=ids["<|startoftranscript|>"],
        eos_token_id=ids["<|endoftext|>"],
        pad_token_id=ids["<|endoftext|>"],
        bos_token_id=ids["<|endoftext|>"],
        suppress_tokens=None,
        begin_suppress_tokens=None,
    )
    model = WhisperForConditionalGeneration(config)
    model.save_pretrained(folder)
    path = folder / "generation_config.json"
    generation = json.loads(path.read_text())
    del generation["_from_model_config"]
    generation["is_multilingual"] = multilingual
    generation["no_timestamps_token_id"] = ids["<|notimestamps|>"]
    if multilingual:
        generation["lang_to_id"] = {n: ids[n] for n in ("<|en|>", "<|de|>")}
        generation["task_to_id"] = {
            "transcribe": ids["<|transcribe|>"],
            "translate": ids["<|translate|>"],
        }
    path.write_text(json.dumps(generation))
    WhisperFeatureExtractor(feature_size=NUM_MELS).save_pretrained(folder)
    return folder


def save_openai(path):
    """A Whisper in the ``.pt`` file of the package openai-whisper."""
    import whisper

    dims = whisper.ModelDimensions(
        n_mels=80,
        n_audio_ctx=1500,
        n_audio_state=16,
        n_audio_head=2,
        n_audio_layer=1,
        n_vocab=51865,
        n_text_ctx=24,
        n_text_state=16,
        n_text_head=2,
        n_text_layer=1,
    )
    torch.manual_seed(0)
    model = whisper.model.Whisper(dims)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    torch.save({"dims": vars(dims), "model_state_dict": model.state_dict()}, path)
    return path
