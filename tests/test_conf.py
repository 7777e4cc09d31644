"""conf/: the paper's recipe is the same classes with other YAML. Published sizes and
trainable parameters come out, and each file trains through its command."""

from pathlib import Path

import pytest
import torch
import yaml

from espnet2_taste.io.config import read_training_config

CONF = Path(__file__).parents[1] / "conf"
WHISPER_LARGE_V3 = {
    "d_model": 1280,
    "encoder_layers": 32,
    "encoder_attention_heads": 20,
    "encoder_ffn_dim": 5120,
    "num_mel_bins": 128,
}
LLAMA_1B = {
    "model_type": "llama",
    "vocab_size": 128256,
    "hidden_size": 2048,
    "intermediate_size": 8192,
    "num_hidden_layers": 16,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 64,
    "tie_word_embeddings": True,
    "bos_token_id": 128000,
    "eos_token_id": 128001,
}
RVQ = {"codebook_dim": 256, "num_codebooks": 4, "codebook_size": 512}


def read(name):
    return read_training_config(CONF / name)


def parse(task, conf, folder, *options):
    """The options of a training command with this configuration."""
    path = folder / "train.yaml"
    path.write_text(yaml.safe_dump(conf))
    return task.get_parser().parse_args(["--config", str(path), *options])


def numbers(module, trained=False):
    return sum(p.numel() for p in module.parameters() if p.requires_grad or not trained)


def freeze(model, names):
    """As ESPnet does before training."""
    for name in names:
        for parameter in model.get_submodule(name).parameters():
            parameter.requires_grad_(False)


# The published counts of stages 1-1 and 1-2. In 1-3 the reference counts 275 489 027:
# 272 859 139 + 656 896 of the projections + 1 972 992 dead ones (``mlps``, not here).
# conf/train_taste_rvq.yaml freezes what the verified training freezes, which leaves:
IN_ALL_1_3 = 272_859_139 + 656_896
FROZEN_1_3 = 66_388_480 + 573_440 + 26_236_160  # embeddings, positions, layer 0


@pytest.mark.parametrize(
    "name,trained",
    [
        ("text_only", 272_859_139),
        ("no_vq", 272_859_139),
        ("rvq", IN_ALL_1_3 - FROZEN_1_3),
    ],
)
def test_taste_has_the_published_sizes(name, trained, tmp_path):
    from espnet2_taste.tasks.taste import TasteTask

    conf = read(f"train_taste_{name}.yaml")
    assert conf["encoder_conf"].pop("model") == "openai/whisper-large-v3"
    conf["encoder_conf"]["config"] = WHISPER_LARGE_V3  # no download
    assert conf["aggregator_conf"].pop("init_from") == "distil-whisper/distil-large-v3"
    args = parse(TasteTask, conf, tmp_path)
    with torch.device("meta"):  # shapes without memory
        model = TasteTask.build_model(args)
    sizes = {name: numbers(module) for name, module in model.named_children()}
    assert sizes["encoder"] + sizes["aggregator"] == 756_405_760
    assert sizes["speech_decoder"] == 153_422_339
    if name == "rvq":
        assert sizes["quantizer"] == 656_896  # project_in and project_out
        shapes = {k.split(".")[-1]: b.shape for k, b in model.quantizer.named_buffers()}
        assert shapes["embed"] == (1, 512, 256)
        assert numbers(model, trained=True) == IN_ALL_1_3
    freeze(model, args.freeze_param)
    assert numbers(model, trained=True) == trained


def test_the_masked_parallel_decoder_is_as_large_as_the_paper_s(tmp_path):
    from espnet2_taste.tasks.taste import TasteTask

    conf = read("masked_parallel/train_taste_rvq.yaml")
    del conf["encoder_conf"]["model"], conf["aggregator_conf"]["init_from"]
    conf["encoder_conf"]["config"] = WHISPER_LARGE_V3
    with torch.device("meta"):
        model = TasteTask.build_model(parse(TasteTask, conf, tmp_path))
    assert 150e6 < numbers(model.speech_decoder) < 250e6
    assert conf["optim_conf"]["lr"] == 5e-4 and conf["quantizer"] == "rvq"


# LoRA, bridge and pads, head; 48 240 386 is the published count of stage 2.
BRIDGE = 1280 * 2048 + 2048 + 2 + 2048 + 1280
TASLM = {
    "train_taslm.yaml": 45_088_768 + BRIDGE + 2048 * 256 + 256 + 256,
    "train_taslm_token.yaml": 45_088_768 + BRIDGE + 2048 * 2048 + 2048,
}
#: of TASTE2, on Qwen2-0.5B: adapters, bridge (both pads as wide as the LM) and head
TASTE2 = "taste2/train_taslm.yaml"
TASTE2_SIZE = 35_192_832 + (896 * 896 + 896 + 2 * 896 + 2) + (896 * 256 + 2 * 256)


@pytest.mark.parametrize("name", [*TASLM, TASTE2])
def test_taslm_has_the_published_sizes(name, tmp_path):
    from espnet2_taste.tasks.taslm import TaslmTask
    from espnet2_taste.taslm.build import build_taslm_model

    conf = read(name)
    lm, width = ("meta-llama/Llama-3.2-1B", LLAMA_1B), 1280
    if name == TASTE2:
        lm, width = ("Qwen/Qwen2-0.5B", QWEN2_0_5B), 896
        conf["lm_conf"] |= {"sos_id": 151643, "eos_id": 151643}
    assert conf["lm_conf"].pop("model") == conf["token_model"] == lm[0]
    conf["lm_conf"]["config"] = lm[1]
    conf |= {"vocab_size": lm[1]["vocab_size"]}
    conf |= {"quantizer_dim": width, "quantizer": "rvq"}
    conf["quantizer_conf"] = RVQ
    args = parse(TaslmTask, conf, tmp_path)
    with torch.device("meta"):
        model = build_taslm_model(args)
    assert numbers(model, trained=True) == (TASLM | {TASTE2: TASTE2_SIZE})[name]
    if name == "train_taslm.yaml":
        assert TASLM[name] == 48_240_386
    dtypes = {p.requires_grad: p.dtype for p in model.lm.parameters()}
    assert dtypes == {False: torch.bfloat16, True: torch.float32}


def test_the_two_taslm_files_differ_by_their_head():
    latent, token = (read(name) for name in TASLM)
    assert (latent.pop("speech_head"), token.pop("speech_head")) == ("latent", "token")
    assert latent == token


@pytest.mark.parametrize("name", ["train_taste_no_vq.yaml", "train_taste_rvq.yaml"])
def test_batches_are_counted_where_every_utterance_has_30_s(name):
    """A batch of so many samples would hold 750 utterances of a second: 750 x 30 s."""
    conf = read(name)
    assert conf["frontend_conf"]["pad_to_30s"] and conf["batch_type"] == "sorted"
    assert "batch_bins" not in conf and conf["batch_size"] <= 64


TINY_TASTE = {
    "token_type": "char",
    "num_units": 20,
    "spk_embed_dim": 8,
    "batch_type": "unsorted",
}
TINY_ENCODER = {
    "d_model": 16,
    "encoder_layers": 8,
    "encoder_attention_heads": 2,
    "encoder_ffn_dim": 16,
}
TINY_AGGREGATOR = {
    "d_model": 16,
    "num_heads": 2,
    "ffn_dim": 16,
    "prefix_ids": [],
    "suffix_ids": [],
}
TINY_QUANTIZER = {"codebook_dim": 4, "num_codebooks": 2, "codebook_size": 8}
TINY_DECODER = {
    "embed_size": 16,
    "encoder_size": 16,
    "text_heads": 2,
    "text_ffn_size": 16,
    "audio_heads": 2,
    "audio_ffn_size": 16,
    "llm_size": 16,
    "llm_blocks": 1,
    "llm_heads": 2,
    "llm_ffn_size": 16,
}
QWEN2_0_5B = {
    "model_type": "qwen2",
    "vocab_size": 151936,
    "hidden_size": 896,
    "intermediate_size": 4864,
    "num_hidden_layers": 24,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
    "rope_theta": 1000000.0,
}


def test_the_streaming_decoder_is_cosyvoice_2_s_at_three_rates():
    from math import log2

    from espnet2_taste.nn.fusion import WeightedSumFusion
    from espnet2_taste.taste.build import build_quantizer
    from espnet2_taste.taste.speech_decoder.interleaved_lm import InterleavedLMDecoder

    conf = read("train_taste_streaming_rvq.yaml")
    decoder_conf = conf["speech_decoder_conf"]
    assert decoder_conf.pop("lm_conf") == {"model": "Qwen/Qwen2-0.5B"}
    decoder_conf["lm_conf"] = {"config": QWEN2_0_5B}
    with torch.device("meta"):
        decoder = InterleavedLMDecoder(
            *(151643, 1280, 6561, 192), WeightedSumFusion, **decoder_conf
        )
    fusion = 1280 * 896 + 896 + 2
    assert numbers(decoder) == 505_803_812 + fusion
    for codebooks, bits in ((8, 150), (16, 300), (32, 600)):
        form = conf["quantizer_conf"] | {"num_codebooks": codebooks}
        quantizer = build_quantizer(conf["quantizer"], 1280, form)
        per_second = 3 * codebooks * log2(quantizer.codebook_size)
        assert abs(per_second - bits) < 10


def test_taste2_has_the_published_sizes(tmp_path):
    """Whisper's tower with another token table, a projection, CosyVoice 2's LM."""
    from espnet2_taste.tasks.taste import TasteTask

    conf = read("taste2/train_taste_rvq.yaml")
    conf["encoder_conf"].pop("model")
    conf["encoder_conf"]["config"] = WHISPER_LARGE_V3
    conf["aggregator_conf"].pop("init_from")
    conf["speech_decoder_conf"]["lm_conf"] = {"config": QWEN2_0_5B}
    args = parse(TasteTask, conf | {"num_units": 6561}, tmp_path)
    with torch.device("meta"):
        model = TasteTask.build_model(args)
    sizes = {name: numbers(module) for name, module in model.named_children()}
    tower = 756_405_760 + (151936 - 51866) * 1280
    assert sizes["encoder"] + sizes["aggregator"] == tower + 1280 * 896 + 896
    assert sizes["speech_decoder"] == 505_803_812 + 2
    assert sizes["quantizer"] == 2 * 896 * 256 + 256 + 896
    assert model.granularity == "token"


TINY_MASKED = {"size": 16, "num_layers": 1, "text_layers": 1, "num_heads": 2}
TINY_LM = {
    "model_type": "qwen2",
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
}
TINY_DECODERS = {
    "unit_transformer": TINY_DECODER,
    "masked_parallel": TINY_MASKED,
    "interleaved_lm": {"lm_conf": {"config": TINY_LM}},
}
TINY_HEAD = {"output_size": 16, "linear_units": 16, "attention_heads": 2}
ONCE = {"max_epoch": 1, "batch_size": 3, "accum_grad": 1, "num_workers": 0}


def train(main, conf, data, files, folder):
    """One epoch of two updates on six utterances; the weights after it."""
    cmd = ["--output_dir", str(folder), "--use_tensorboard", "false"]
    (folder / "train.yaml").write_text(yaml.safe_dump(conf))
    cmd += ["--config", str(folder / "train.yaml")]
    for part in ("train", "valid"):
        for file, name, kind in files:
            spec = f"{file},{name},{kind}"
            cmd += [f"--{part}_data_path_and_name_and_type", spec]
        cmd += [f"--{part}_shape_file", str(data / "utt2num_samples")]
    main(cmd)
    return torch.load(folder / "1epoch.pth", weights_only=True)


CONFIGS = {
    "unit_transformer": "train_taste_%s.yaml",
    "masked_parallel": "masked_parallel/train_taste_%s.yaml",
    "interleaved_lm": "train_taste_streaming_%s.yaml",
    "taste2": "taste2/train_taste_%s.yaml",
}


@pytest.mark.parametrize("decoder", CONFIGS)
@pytest.mark.parametrize("name", ["text_only", "no_vq", "rvq"])
def test_taste_trains(name, decoder, tiny_data, tmp_path):
    from espnet2_taste.bin.taste_train import main

    conf = read(CONFIGS[decoder] % name) | TINY_TASTE | ONCE
    conf["token_model"] = str(tiny_data / "char.txt")
    conf["encoder_conf"].pop("model")
    conf["encoder_conf"]["config"] = TINY_ENCODER | {"num_mel_bins": 128}
    conf["aggregator_conf"].pop("init_from")
    conf["aggregator_conf"] |= TINY_AGGREGATOR
    if decoder == "taste2":
        conf["vocab_size"] = None
        conf["aggregator_conf"]["projected_size"] = 16
        decoder = "interleaved_lm"
    assert conf["speech_decoder"] == decoder
    conf["speech_decoder_conf"] |= TINY_DECODERS[decoder]
    if "vocabularies" in conf:
        for vocabulary in ("llm", "letters"):
            conf["vocabularies"][vocabulary] = {
                "token_type": "char",
                "token_model": conf["token_model"],
            }
        conf["model_conf"]["ctc_conf"]["encoder_conf"] |= TINY_HEAD
    elif name == "rvq":
        conf["quantizer_conf"] |= TINY_QUANTIZER
    elif "codebook_dim" in conf.get("quantizer_conf", {}):
        conf["quantizer_conf"]["codebook_dim"] = TINY_QUANTIZER["codebook_dim"]
    files = [
        (tiny_data / "wav.scp", "speech", "sound"),
        (tiny_data / "text", "text", "text"),
        (tiny_data / "units.scp", "units", "kaldi_ark"),
        (tiny_data / "spk_emb.scp", "spk_emb", "kaldi_ark"),
    ]
    state = train(main, conf, tiny_data, files, tmp_path)
    assert all(value.isfinite().all() for value in state.values())
    if decoder != "interleaved_lm":
        assert any(key.endswith("_codebook.embed") for key in state) == (name == "rvq")


@pytest.mark.parametrize("stage", ["text_only", "no_vq", "rvq", "taslm"])
def test_recipes_go_on_with_what_their_trainings_select(stage):
    """By loss: accuracy stood still where text-only models went on learning."""
    model = "taslm" if stage == "taslm" else "taste"
    options = (CONF.parent / "local" / "options.sh").read_text()
    assert f"\n{model}_model=valid.loss.best.pth " in options
    recipes = CONF.parent / "egs2" / "taste"
    name = f"train_*{stage}*.yaml"
    paths = [*CONF.rglob(name), *recipes.glob(f"*/conf/**/{name}")]
    assert {"conf", "mini", "fsdd"} <= {part for p in paths for part in p.parts}
    for path in paths:
        criterion = read_training_config(path)["best_model_criterion"]
        assert criterion == [["valid", "loss", "min"]], path


@pytest.mark.parametrize("recipe", ["mini", "fsdd"])
def test_units_are_not_replaced_before_they_are_learnt(recipe):
    """With a threshold of what a batch has for each unit, mini's copy had WER .20
    instead of .13."""
    from espnet2_taste.units.world_vq import WorldVQ

    path = CONF.parent / "egs2/taste" / recipe / "conf/train_units.yaml"
    conf = read_training_config(path)
    threshold = WorldVQ(
        **conf["model_conf"]
    ).quantizer._codebook.threshold_ema_dead_code
    vectors = conf["batch_size"] * conf["crop_units"]
    assert 0 < threshold <= 0.2 * vectors / conf["model_conf"]["num_units"]


@pytest.mark.parametrize("name", [*TASLM, TASTE2])
def test_taslm_trains(name, tiny_data, tmp_path):
    import kaldiio

    from espnet2_taste.bin.taslm_train import main
    from espnet2_taste.taste.tokenizer.rvq import ResidualVQQuantizer

    quantizer = ResidualVQQuantizer(dim=16, kmeans_init=False, **TINY_QUANTIZER)
    state = {f"quantizer.{k}": v for k, v in quantizer.state_dict().items()}
    torch.save(state, tmp_path / "taste.pth")
    taste = {"quantizer": "rvq", "quantizer_conf": TINY_QUANTIZER}
    (tmp_path / "taste.yaml").write_text(yaml.safe_dump(taste))
    texts = dict(line.split(maxsplit=1) for line in (tiny_data / "text").open())
    with kaldiio.WriteHelper(f"ark,scp:{tmp_path}/t.ark,{tmp_path}/t.scp") as writer:
        for key, text in texts.items():
            codes = torch.randint(8, (2 * len(text.split()),))
            writer[key] = codes.numpy().astype("int32")
    conf = read(name) | ONCE | {"token_type": "char"}
    conf["token_model"] = str(tiny_data / "char.txt")
    conf["lm_conf"].pop("model")
    conf["lm_conf"]["config"] = {
        "model_type": "llama",
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    conf["taste_config"] = str(tmp_path / "taste.yaml")
    conf["taste_model"] = str(tmp_path / "taste.pth")
    files = [
        (tiny_data / "text", "text", "text"),
        (tmp_path / "t.scp", "taste", "kaldi_ark"),
    ]
    state = train(main, conf, tiny_data, files, tmp_path)
    moved = [v.abs().max() for k, v in state.items() if "lora_B" in k]
    assert len(moved) == 7 and all(value > 0 for value in moved)  # they start at zero


def test_decoding_options_exist():
    from espnet2_taste.taslm.sampler import SamplingOptions

    assert SamplingOptions(**read("decode_taslm.yaml")).extra_words == 8
    assert SamplingOptions(**read("taste2/decode_taslm.yaml")).max_tokens == 100
