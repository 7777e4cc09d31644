"""From two corpora to dialogues, a spoken LM tuned on them, and its spoken answers."""

import json
from pathlib import Path

import kaldiio
import numpy as np
import pytest
import torch
import yaml
from on_device import TRAINING
from test_taste_bins import ToneVocoder
from tiny_chat import LM, chat_tokenizer
from tiny_system import TASTE, save_experiment

from espnet2_taste.bin.dialogue import main as dialogue
from espnet2_taste.bin.format_wav import main as format_wav
from espnet2_taste.bin.pack import main as pack
from espnet2_taste.bin.prepare_corpus import main as prepare_corpus
from espnet2_taste.bin.synthesize import main as synthesize
from espnet2_taste.bin.taslm_generate import main as generate
from espnet2_taste.bin.taslm_train import main as train
from espnet2_taste.bin.tokenize import main as tokenize
from espnet2_taste.inference import TaslmGenerate
from espnet2_taste.io.arks import read_codes
from espnet2_taste.io.config import read_training_config
from espnet2_taste.io.tables import read_table
from espnet2_taste.tasks.dialogue import Turn

SFT = Path(__file__).parents[2] / "conf" / "taste2" / "train_taslm_sft.yaml"


@pytest.fixture(scope="module")
def root(tiny_data, tmp_path_factory):
    """Dialogues of the six utterances with themselves, and their codes per token."""
    from espnet2_taste.taste.build import build_taste_model

    root = tmp_path_factory.mktemp("dialogues")
    tokenizer = chat_tokenizer(root / "tokenizer")
    config = TASTE | {"token_type": "hf", "token_model": tokenizer}
    config |= {"segmenter": "plain", "model_conf": {"granularity": "token"}}
    save_experiment(root / "taste", config, build_taste_model, "valid.acc.best.pth")
    data, file = str(tiny_data), str(root / "dialogues.jsonl")
    dialogue(["pair", data, data, "--output", file, "--interrupted", "1"])
    layout = ["--layout", "dialogues", "--root", file]
    prepare_corpus([*layout, "--output_dir", str(root / "turns")])
    format_wav([str(root / "turns"), str(root / "wavs"), "--fs", "16000"])
    tokenize(
        ["--model_file", str(root / "taste"), "--data_dir", str(root / "wavs")]
        + ["--output_dir", str(root / "codes")]
    )
    taste = str(root / "codes" / "taste.scp")
    dialogue(["join", file, str(root / "wavs"), taste, str(root / "joined")])
    return root


@pytest.fixture(scope="module")
def taslm(root):
    """One epoch with the published configuration and a small LM."""
    conf = read_training_config(SFT)
    conf |= {"token_model": str(root / "tokenizer"), "num_workers": 0, "max_epoch": 1}
    conf["lm_conf"].pop("model")
    conf["lm_conf"] |= {"config": LM, "dtype": "float32"}
    (root / "train.yaml").write_text(yaml.safe_dump(conf))
    cmd = ["--config", str(root / "train.yaml"), "--output_dir", str(root / "taslm")]
    cmd += ["--taste_config", str(root / "taste" / "config.yaml")]
    cmd += ["--taste_model", str(root / "taste" / "valid.acc.best.pth")]
    joined = root / "joined"
    for split in ("train", "valid"):
        for spec in ("text,text,text", "taste.scp,taste,kaldi_ark"):
            cmd += [f"--{split}_data_path_and_name_and_type", f"{joined}/{spec}"]
        cmd += [f"--{split}_shape_file", str(joined / "words_shape")]
    train([*cmd, "--use_tensorboard", "false", *TRAINING])
    return root / "taslm"


def test_the_published_tuning_learns(taslm):
    """Every adapter moves, that of the table of tokens too."""
    state = torch.load(taslm / "1epoch.pth", weights_only=True)
    moved = {k: v.abs().max() for k, v in state.items() if "lora_" in k}
    last = [v for k, v in moved.items() if "lora_B" in k or "embedding_B" in k]
    assert len(last) == 8 and all(value > 0 for value in last)
    config = yaml.safe_load((taslm / "config.yaml").read_text())
    assert config["chat_template"] == "taste2" and config["granularity"] == "token"


def test_answers_are_said(root, taslm, tmp_path, monkeypatch):
    load = "espnet2_taste.vocoder.load_vocoder"
    monkeypatch.setattr(load, lambda *_, **__: ToneVocoder())
    joined = root / "joined"
    dialogues = {k: json.loads(v) for k, v in read_table(joined / "text").items()}
    cut = [t for turns in dialogues.values() for t in turns if "said" in t]
    assert len(dialogues) == len(cut) == 3
    command = ["--model_file", str(taslm), "--data_dir", str(joined), "--mode", "chat"]
    (tmp_path / "decode.yaml").write_text(
        "{max_words: 4, min_words: 2, text_top_p: 0.9, taste_top_p: 0.9}"
    )
    command += ["--config", str(tmp_path / "decode.yaml")]
    with pytest.raises(ValueError, match="--mode chat needs --taste"):
        generate([*command, "--output_dir", str(tmp_path / "none")])
    command += ["--taste", str(joined / "taste.scp")]
    found = []
    for size in ("1", "3"):
        out = tmp_path / size
        generate([*command, "--output_dir", str(out), "--batch_size", size])
        texts = read_table(out / "text")
        codes = read_codes(out / "taste.scp", 2, texts)
        found.append((texts, {key: rows.tolist() for key, rows in codes.items()}))
    assert found[0] == found[1] and texts.keys() == dialogues.keys()
    asked = read_table(out / "prompt_text")
    assert asked == {key: turns[-2]["text"] for key, turns in dialogues.items()}
    model = TaslmGenerate.from_pretrained(taslm)
    for key, text in texts.items():
        assert len(codes[key]) == len(model.preprocess.segments(text))
    synthesize(
        ["--model_file", str(root / "taste"), "--data_dir", str(out), "--vocoder", "x"]
        + ["--condition", "codes", "--taste", str(out / "taste.scp")]
        + ["--spk_emb", str(speakers(tmp_path, texts))]
        + ["--output_dir", str(tmp_path / "said")]
    )
    assert read_table(tmp_path / "said" / "wav.scp").keys() == texts.keys()


def speakers(folder, keys):
    table = {key: np.ones(8, dtype=np.float32) for key in keys}
    kaldiio.save_ark(str(folder / "spk.ark"), table, str(folder / "spk_emb.scp"))
    return folder / "spk_emb.scp"


def test_dialogues_of_other_codes_are_named(root, taslm, tmp_path):
    """Codes of another segmentation: one line, and nothing is written."""
    joined = tmp_path / "joined"
    joined.mkdir()
    for name in ("text", "utt2spk"):
        (joined / name).write_text((root / "joined" / name).read_text())
    taste = kaldiio.load_scp(str(root / "joined" / "taste.scp"))
    table = {key: taste[key][:-2] for key in taste}
    kaldiio.save_ark(str(joined / "t.ark"), table, str(joined / "taste.scp"))
    with pytest.raises(
        ValueError, match=r"taste.scp: dialogue \w+: \d+ TASTE codes for"
    ):
        generate(
            ["--model_file", str(taslm), "--data_dir", str(joined), "--mode", "chat"]
            + ["--taste", str(joined / "taste.scp")]
            + ["--output_dir", str(tmp_path / "out")]
        )
    assert not (tmp_path / "out").exists()


def test_a_packed_model_answers_the_same(root, taslm, tmp_path):
    parts = ["--taste", str(root / "taste"), "--taslm", str(taslm)]
    pack([*parts, "--output", str(tmp_path / "packed.zip")])
    for template in (None, "own"):
        answers = []
        for source in (taslm, tmp_path / "packed.zip"):
            options = {"max_words": 3, "min_words": 2, "chat_template": template}
            model = TaslmGenerate.from_pretrained(source, **options)
            rows = len(model.preprocess.segments("set the lamp"))
            turn = Turn("user", "set the lamp", np.ones((rows, 2), int))
            [answer] = model.chat([[turn]])
            answers.append((answer.text, answer.codes.tolist()))
        assert answers[0] == answers[1]
