"""A tiny fake of the published hub folder, in exactly its layout."""

import json
import shutil

import numpy as np
import pytest
import torch
from published_names import EMBED, LM_HEAD, TINY, config, published
from safetensors.torch import save_file

SENTENCES = ["the red lamp", "set the blue lamp near a red book.", "read a book."]


@pytest.fixture(scope="session")
def published_tensors():
    """Random weights under published names, dtypes as published; lm_head tied."""
    generator = torch.Generator().manual_seed(0)
    tensors = {}
    for name, (shape, dtype) in published(TINY).items():
        value = torch.randn(shape, generator=generator) * 0.3
        if "_codebook." in name and not name.endswith(("embed", "embed_avg")):
            value = torch.ones(shape)
        tensors[name] = value.to(dtype)
    tensors[LM_HEAD] = tensors[EMBED].clone()
    return tensors


@pytest.fixture(scope="session")
def llama_tokenizer(tmp_path_factory):
    """A byte-level tokenizer of TINY's vocabulary."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    special = ["<|begin_of_text|>", "<|end_of_text|>"]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=TINY["V"] - len(special),
        initial_alphabet=alphabet,
        show_progress=False,
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    fillers = TINY["V"] - len(special) - tokenizer.get_vocab_size()
    tokenizer.add_tokens([f"<filler{i}>" for i in range(fillers)])
    tokenizer.add_special_tokens(special)
    folder = tmp_path_factory.mktemp("tokenizer")
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=special[0], eos_token=special[1]
    ).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def voice_generator():
    """A tiny vocoder's state dict under published names."""
    from tiny_vocoder import published_state

    from espnet2_taste.vocoder.cosyvoice.generator import VoiceGenerator

    torch.manual_seed(0)
    sizes = {"num_units": TINY["units"], "spk_embed_dim": TINY["spk"], "mel_size": 8}
    flow = {"embed_size": 8, "encoder_size": 8, "encoder_heads": 2}
    flow |= {"encoder_ffn_size": 8, "encoder_blocks": 1, "unet_size": 16}
    flow |= {"unet_heads": 8, "unet_head_size": 2}
    flow |= {"unet_blocks": 1, "unet_mid_stages": 1}
    hift = {"mel_size": 8, "base_size": 8, "f0_size": 8}
    model = VoiceGenerator(flow_conf=sizes | flow, hift_conf=hift)
    return published_state(model.state_dict())


@pytest.fixture
def make_hub(tmp_path, published_tensors, llama_tokenizer, voice_generator):
    """Callable (name, tensors, form, sizes) that writes a hub folder.

    ``form``: ``single`` or ``sharded`` safetensors, or ``bin``.
    """

    def make(name="hub", tensors=None, form="single", sizes=TINY):
        folder = tmp_path / name
        (folder / "cosyvoice").mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps(config(sizes), indent=1))
        (folder / "generation_config.json").write_text('{"do_sample": true}')
        shutil.copytree(llama_tokenizer, folder / "llama_tokenizer")
        save_weights(folder, tensors or published_tensors, form)
        torch.save(voice_generator, folder / "cosyvoice" / "voice_generator.pth")
        for name in ("speaker_embed", "speech_tokenizer_v1"):
            (folder / "cosyvoice" / f"{name}.onnx").write_bytes(name.encode())
        return folder

    return make


def save_weights(folder, tensors, form):
    if form == "bin":
        torch.save(tensors, folder / "pytorch_model.bin")
    elif form == "single":
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    else:
        index = {}
        for number in (1, 2, 3):
            shard = f"model-0000{number}-of-00003.safetensors"
            part = {k: tensors[k] for k in list(tensors)[number - 1 :: 3]}
            save_file(part, folder / shard)
            index |= dict.fromkeys(part, shard)
        (folder / "model.safetensors.index.json").write_text(
            json.dumps({"metadata": {}, "weight_map": index})
        )


@pytest.fixture
def convert(tmp_path):
    """Callable (source, options...) that runs bin.convert; the packed folder."""
    from espnet2_taste.bin import convert as bin_convert

    def run(source, *options, output="packed"):
        bin_convert.main([str(source), str(tmp_path / output), *map(str, options)])
        return tmp_path / output

    return run


@pytest.fixture(scope="session")
def wav():
    return np.random.default_rng(0).standard_normal(8000).astype(np.float32) * 0.1


@pytest.fixture(scope="session")
def states():
    """Callable (packed folder) -> {part: state dict}."""

    def load(packed):
        return {
            file.parent.name: torch.load(file, weights_only=True)
            for file in packed.glob("*/model.pth")
        }

    return load
