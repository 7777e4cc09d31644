"""Networks and tokenizers that a configuration names: inside, or left on the hub."""

import shutil
from pathlib import Path

import pytest
import torch
import yaml
from tiny_system import TASLM, TASTE, assert_same, experiment_outputs, make_system
from tiny_system import packed_outputs as outputs_of

from espnet2_taste.hub.check import remote_names
from espnet2_taste.io.carrier import Carrier

SENTENCES = ["set the red lamp", "read a book"]


@pytest.fixture
def pretrained(tmp_path, monkeypatch):
    """Local folders ``whisper`` and ``llm`` (with its tokenizer), as a hub has them."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import (
        LlamaConfig,
        LlamaForCausalLM,
        PreTrainedTokenizerFast,
        WhisperConfig,
        WhisperModel,
    )

    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=270,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<s>", "</s>"],
        show_progress=False,
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    size = tokenizer.get_vocab_size()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>"
    ).save_pretrained(tmp_path / "llm")
    torch.manual_seed(0)
    llama = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    llama |= {"num_attention_heads": 2, "vocab_size": size, "initializer_range": 0.5}
    llama |= {"bos_token_id": 0, "eos_token_id": 1, "rope_theta": 500.0}
    LlamaForCausalLM(LlamaConfig(**llama)).save_pretrained(tmp_path / "llm")
    whisper = TASTE["encoder_conf"]["config"] | {"max_source_positions": 1500}
    whisper |= {"decoder_layers": 1, "decoder_ffn_dim": 16, "vocab_size": 60}
    whisper |= {"decoder_attention_heads": 2, "pad_token_id": 0, "init_std": 0.3}
    whisper = WhisperModel(WhisperConfig(**whisper))
    whisper.save_pretrained(tmp_path / "whisper")
    return tmp_path


def system(root, monkeypatch, encoder, lm, tokenizer, **lm_conf):
    (root / "recipe").mkdir()
    conf = {"model": encoder, "value_layer": 1}
    lm_conf = {"model": lm, "lora": {"r": 2, "init_lora_weights": False}} | lm_conf
    return make_system(
        root / "recipe",
        monkeypatch,
        taste=TASTE | {"encoder_conf": conf},
        taslm=TASLM
        | {"token_type": "hf", "token_model": tokenizer, "lm_conf": lm_conf},
    )


@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_networks_in_local_folders_go_inside(
    pretrained, monkeypatch, pack, tmp_path, relative, dtype
):
    where = ".." if relative else str(pretrained)
    whisper, llm = f"{where}/whisper", f"{where}/llm"
    root = system(pretrained, monkeypatch, whisper, llm, llm, dtype=dtype)
    expected = experiment_outputs(root)
    state = torch.load("exp/taslm/valid.loss.best.pth", weights_only=True)
    assert not any("embed_tokens" in name for name in state)  # built from the folder
    file = shutil.move(pack(), tmp_path / "tiny.zip")
    for folder in (root, pretrained / "whisper", pretrained / "llm"):
        monkeypatch.chdir(tmp_path)
        shutil.rmtree(folder)
    assert_same(outputs_of(file), expected)
    folder = next(Path("~/.cache/espnet_model_zoo").expanduser().glob("tiny-*/"))
    assert remote_names(folder) == []
    for path in folder.rglob("*.*"):
        assert str(tmp_path).encode() not in path.read_bytes(), path


def test_hub_ids_stay_unless_asked_for(pretrained, monkeypatch, pack, tmp_path):
    """The hub is played by names that transformers' loaders find in folders."""
    from transformers import AutoModelForCausalLM, AutoTokenizer, WhisperModel

    hub = {"hub/whisper": pretrained / "whisper", "hub/llm": pretrained / "llm"}
    for cls in (AutoModelForCausalLM, AutoTokenizer, WhisperModel):
        real = cls.from_pretrained

        def load(name, *args, real=real, **options):
            return real(hub.get(str(name), name), *args, **options)

        monkeypatch.setattr(cls, "from_pretrained", load)
    root = system(pretrained, monkeypatch, "hub/whisper", "hub/llm", "hub/llm")
    expected = experiment_outputs(root)
    outside = pack(output="outside")
    assert remote_names(outside) == ["hub/whisper", "hub/llm"]
    assert "the hub: `hub/whisper`, `hub/llm`." in (outside / "README.md").read_text()
    assert_same(outputs_of(outside), expected)
    inside = pack("--include_backbones", output="inside")
    assert remote_names(inside) == []
    assert "All weights are inside." in (inside / "README.md").read_text()
    hub.clear()
    for name in ("whisper", "llm"):
        shutil.rmtree(pretrained / name)
    assert_same(outputs_of(inside), expected)
    sizes = [
        (folder / part / "model.pth").stat().st_size
        for part in ("taste", "taslm")
        for folder in (outside, inside)
    ]
    assert sizes[0] < sizes[1] and sizes[2] < sizes[3]


def test_files_of_one_name_are_told_apart(tmp_path, monkeypatch):
    for folder in ("a", "b", "exp"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "stats.npz").write_text(folder)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out").mkdir()
    carrier = Carrier(tmp_path / "exp", tmp_path / "out")
    value = {"x": "a/stats.npz", "y": ["b/stats.npz", "a/stats.npz", "openai/whisper"]}
    carried = carrier.carry("conf", value)
    assert carried["x"] == "./stats.npz"
    assert carried["y"] == ["./stats_2.npz", "./stats.npz", "openai/whisper"]
    assert (tmp_path / "out" / "stats_2.npz").read_text() == "b"
    assert carrier.carry("conf", "exp") == "exp"  # a word that is also a folder
    assert carrier.carry("conf", None) is None
    for value in ("/no/such/file", "~/file", "../gone", "./a"):
        with pytest.raises(ValueError, match=f"conf: {value} is .* cannot be packed"):
            carrier.carry("conf", value)


def test_packing_from_another_folder_finds_the_recipes_files(
    tmp_path, monkeypatch, pack
):
    make_system(tmp_path, monkeypatch)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir("/")
    exp = tmp_path / "exp"
    folder = pack(parts=["--taste", str(exp / "taste")], output=tmp_path / "tok")
    config = yaml.safe_load((folder / "taste" / "config.yaml").read_text())
    assert config["token_model"] == "./chars.txt"
