"""A language model's tokenizer with a chat template, and a spoken LM that uses it."""

import argparse

import torch

SYMBOLS = ["<|im_start|>", "<|im_end|>", "<|end|>"]
SENTENCES = ["set the red lamp", "read a blue book", "system user assistant"]
#: Llama 3's manner: a symbol begins the text, a header goes before each turn
OWN = (
    "{{ '<|end|>' }}{% for m in messages %}{% if m.role == 'system' %}"
    "{{ raise_exception('no system') }}{% endif %}"
    "{{ '<|im_start|>' + m.role + '\\n\\n' + m.content | trim + '<|im_end|>' }}"
    "{% endfor %}"
)
QUANTIZER = {"codebook_dim": 4, "num_codebooks": 2, "codebook_size": 8}
QUANTIZER |= {"kmeans_init": False}
LM = {"model_type": "llama", "hidden_size": 16, "intermediate_size": 16}
LM |= {"num_hidden_layers": 1, "num_attention_heads": 2, "initializer_range": 0.5}


def chat_tokenizer(folder, template=OWN, symbols=SYMBOLS, sentences=SENTENCES):
    """A byte-level tokenizer of some 290 tokens, saved as transformers does."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=290,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator(sentences * 9, trainer)
    made.add_special_tokens(symbols)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=made, bos_token="<|end|>")
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)
    return str(folder)


def taslm_config(tokenizer, granularity="token", delay=1, **model_conf):
    """Options of a tiny TASLM as TASTE2's, with codes per token or word."""
    return {
        "token_type": "hf",
        "token_model": tokenizer,
        "vocab_size": None,
        "segmenter": "plain",
        "chat_template": "own",
        "lm": "hf_causal",
        "lm_conf": {"config": LM},
        "fusion": "weighted_sum",
        "fusion_conf": {"weights": [0.0, 0.0], "project": True},
        "speech_head": "token",
        "speech_head_conf": {},
        "model_conf": {"delay": delay, "start_symbol": False} | model_conf,
        "quantizer": "rvq",
        "quantizer_conf": QUANTIZER,
        "quantizer_dim": 6,
        "granularity": granularity,
    }


def save_taslm(folder, config):
    """The experiment folder of a TASLM with random weights."""
    import yaml

    from espnet2_taste.taslm.build import build_taslm_model

    folder.mkdir(parents=True, exist_ok=True)
    config = yaml.safe_load(yaml.safe_dump(config))
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    torch.manual_seed(0)
    model = build_taslm_model(argparse.Namespace(**config))
    torch.save(model.state_dict(), folder / "model.pth")
    return folder / "model.pth"
