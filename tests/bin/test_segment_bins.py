"""Stages 4 to 9 on a few utterances: codes per token, and two vocabularies."""

import json

import kaldiio
import numpy as np
import pytest
import soundfile
import yaml
from on_device import TRAINING
from test_taste_bins import ToneVocoder

from espnet2_taste.bin.edit import main as edit
from espnet2_taste.bin.pack import main as pack
from espnet2_taste.bin.report import main as report
from espnet2_taste.bin.score import main as score
from espnet2_taste.bin.synthesize import main as synthesize
from espnet2_taste.bin.taslm_generate import main as generate
from espnet2_taste.bin.taslm_likelihood import main as likelihood
from espnet2_taste.bin.tokenize import main as tokenize
from espnet2_taste.bin.train_tokenizer import main as train_tokenizer
from espnet2_taste.inference import (
    SpeechToTaste,
    TaslmGenerate,
    TaslmLikelihood,
    TasteToSpeech,
)
from espnet2_taste.io.arks import read_codes
from espnet2_taste.io.tables import read_table
from espnet2_taste.taste.taste_spec import TasteSpec
from espnet2_taste.text.tokenizers import build_text_tokenizer

LM = {"model_type": "llama", "hidden_size": 16, "intermediate_size": 16}
LM |= {"num_hidden_layers": 1, "num_attention_heads": 2}
VARIANTS = {
    "token": {
        "model_conf": {
            "granularity": "token",
            "prosody_weight": 0.5,
            "guidance_weight": 0.1,
        }
    },
    "two_vocabularies": {
        "text_views": {"speech_decoder": "pieces", "ctc": "pieces"},
        "model_conf": {"ctc_weight": 0.1},
    },
}


def train_taslm(data, taste, codes, output, token_model):
    from espnet2_taste.bin.taslm_train import main

    cmd = ["--output_dir", str(output), "--max_epoch", "1"]
    cmd += ["--token_type", "char", "--token_model", str(token_model)]
    cmd += ["--taste_config", str(taste / "config.yaml")]
    cmd += ["--taste_model", str(taste / "valid.acc.best.pth")]
    for split in ("train", "valid"):
        for spec in (f"{data}/text,text,text", f"{codes}/taste.scp,taste,kaldi_ark"):
            cmd += [f"--{split}_data_path_and_name_and_type", spec]
        cmd += [f"--{split}_shape_file", str(data / "utt2num_samples")]
    cmd += ["--batch_type", "unsorted", "--batch_size", "3", "--num_workers", "0"]
    cmd += ["--lm_conf", f"config={json.dumps(LM)}", "--speech_head", "token"]
    cmd += ["--num_att_plot", "0", "--use_tensorboard", "false", "--optim", "adamw"]
    cmd += ["--best_model_criterion", "valid,loss,min", *TRAINING]
    main(cmd)


@pytest.fixture(scope="module", params=list(VARIANTS))
def system(request, train_taste, tiny_data, tmp_path_factory):
    """Folder of taste, codes and taslm; the data; how many rows of codes a text has."""
    root = tmp_path_factory.mktemp(request.param)
    overrides = VARIANTS[request.param] | {"max_epoch": 1}
    if "text_views" in overrides:
        train_tokenizer(
            ["--data_dir", str(tiny_data), "--vocab_size", "30"]
            + ["--output", str(root / "bpe.model")]
        )
        pieces = {"token_type": "bpe", "token_model": str(root / "bpe.model")}
        overrides["vocabularies"] = {"pieces": pieces}
    train_taste(root / "taste", overrides)
    tokenize(
        ["--model_file", str(root / "taste"), "--data_dir", str(tiny_data)]
        + ["--output_dir", str(root / "codes")]
        + ["--attention_keys", str(tiny_data / "text")]
    )
    train_taslm(
        tiny_data,
        root / "taste",
        root / "codes",
        root / "taslm",
        tiny_data / "char.txt",
    )
    each = request.param == "token"
    tokenizer = build_text_tokenizer("char", str(tiny_data / "char.txt"))

    def rows(text):
        words = text.split()
        return len(tokenizer.encode_words(words)[0]) if each else len(words)

    return root, tiny_data, rows


@pytest.fixture(autouse=True)
def vocoder(monkeypatch):
    load = "espnet2_taste.vocoder.load_vocoder"
    monkeypatch.setattr(load, lambda *_, **__: ToneVocoder())


def test_codes_and_their_numbers(system, tmp_path):
    root, data, rows = system
    texts = read_table(data / "text")
    codes = read_codes(root / "codes" / "taste.scp", 2, texts)
    assert {u: len(c) for u, c in codes.items()} == {
        u: rows(t) for u, t in texts.items()
    }
    spec = TasteSpec.beside(root / "codes" / "taste.scp")
    each = rows("the lamp") > 2
    assert spec == TasteSpec(2, 8, "token" if each else "word")
    taslm = yaml.safe_load((root / "taslm" / "config.yaml").read_text())
    assert taslm["granularity"] == spec.granularity
    score(
        ["--ref_dir", str(data), "--taste", str(root / "codes" / "taste.scp")]
        + ["--asr", "none", "--meters", "--output_dir", str(tmp_path)]
    )
    found = json.loads((tmp_path / "results.json").read_text())["codes"]
    seconds = sum(int(n) for n in read_table(data / "utt2num_samples").values()) / 16000
    count = sum(map(len, codes.values()))
    assert found["vectors_per_second"] == pytest.approx(count / seconds)


def test_codes_are_said(system, tmp_path):
    root, data, _ = system
    made = []
    for batch_size in ("1", "6"):
        synthesize(
            ["--model_file", str(root / "taste"), "--data_dir", str(data)]
            + ["--condition", "codes", "--taste", str(root / "codes" / "taste.scp")]
            + ["--vocoder", "x", "--batch_size", batch_size]
            + ["--output_dir", str(tmp_path / batch_size)]
        )
        made.append(kaldiio.load_scp(str(tmp_path / batch_size / "units.scp")))
    assert len(made[0]) == 6
    for key in made[0]:
        assert np.array_equal(made[0][key], made[1][key])


@pytest.mark.parametrize("prompt_codes", ["own", "shuffled"])
def test_continuations_are_said_and_have_likelihoods(system, tmp_path, prompt_codes):
    root, data, rows = system
    command = ["--model_file", str(root / "taslm"), "--data_dir", str(data)]
    command += ["--taste", str(root / "codes" / "taste.scp"), "--prompt_words", "2"]
    command += ["--max_new_words", "3", "--prompt_codes", prompt_codes]
    (tmp_path / "decode.yaml").write_text("{text_top_p: 0.9, min_words: 2}")
    command += ["--config", str(tmp_path / "decode.yaml")]
    found = []
    for batch_size in ("1", "6"):
        out = tmp_path / batch_size
        generate([*command, "--output_dir", str(out), "--batch_size", batch_size])
        texts = read_table(out / "text")
        codes = read_codes(out / "taste.scp", 2, texts)
        found.append((texts, {u: c.tolist() for u, c in codes.items()}))
    assert found[0] == found[1]
    spec = TasteSpec.beside(root / "codes" / "taste.scp")
    assert len(texts) == 4 and TasteSpec.beside(out / "taste.scp") == spec
    assert all(2 <= len(text.split()) <= 3 for text in texts.values())
    assert {u: len(c) for u, c in codes.items()} == {
        u: rows(t) for u, t in texts.items()
    }
    likelihood(
        ["--model_file", str(root / "taslm"), "--data_dir", str(out)]
        + ["--taste", str(out / "taste.scp"), "--output_dir", str(tmp_path / "likely")]
    )
    for line in (tmp_path / "likely" / "likelihoods.jsonl").open():
        row = json.loads(line)
        assert row["segments"] == rows(texts[row["key"]]) and row["score"] < 0
    synthesize(
        ["--model_file", str(root / "taste"), "--data_dir", str(out), "--vocoder", "x"]
        + ["--condition", "codes", "--taste", str(out / "taste.scp")]
        + ["--output_dir", str(tmp_path / "said")]
    )
    assert read_table(tmp_path / "said" / "wav.scp").keys() == texts.keys()


def test_words_are_exchanged_with_all_their_codes(system, tmp_path):
    root, data, rows = system
    folder = tmp_path / "data"
    folder.mkdir()
    text = "read a red book"
    for name in ("wav.scp", "spk_emb.scp"):
        (folder / name).write_text((data / name).read_text())
    (folder / "text").write_text(f"utt2 {text}\nutt5 {text}\n")
    edit(
        ["--model_file", str(root / "taste"), "--data_dir", str(folder)]
        + ["--vocoder", "x", "--output_dir", str(tmp_path / "out")]
        + ["--first", "utt2", "--second", "utt5", "--words", "2"]
    )
    codes = read_codes(tmp_path / "out" / "taste.scp", 2)
    first, last = rows("read a"), rows("read a red")
    expected = codes["utt2"].copy()
    expected[first:last] = codes["utt5"][first:last]
    assert np.array_equal(codes["utt2_edited"], expected)


def test_a_taslm_with_other_tokens_is_refused(system, tmp_path):
    root, data, rows = system
    if rows("lamp") == 1:  # codes per word go with any vocabulary
        return
    (tmp_path / "chars").write_text((data / "char.txt").read_text() + "%\n")
    with pytest.raises(
        ValueError, match="codes belong to the tokens of char .* give it"
    ):
        train_taslm(
            data, root / "taste", root / "codes", tmp_path / "out", tmp_path / "chars"
        )


def test_prompts_in_python(system):
    root, data, rows = system
    codes = kaldiio.load_scp(str(root / "codes" / "taste.scp"))["utt1"].reshape(-1, 2)
    taslm = TaslmGenerate.from_pretrained(root / "taslm", max_words=2, min_words=2)
    made = taslm(["set the"], [codes[: rows("set the")]])[0]
    assert made.text == " ".join(made.words) and len(made.codes) == rows(made.text)


def test_questions_are_answered(system, tmp_path):
    """Whole utterances as prompts; an answer is looked for in what follows."""
    root, data, rows = system
    command = ["--model_file", str(root / "taslm"), "--data_dir", str(data)]
    command += ["--taste", str(root / "codes" / "taste.scp"), "--whole_prompts"]
    (tmp_path / "decode.yaml").write_text("{text_top_p: 0.9, min_words: 1}")
    command += ["--config", str(tmp_path / "decode.yaml"), "--max_new_words", "2"]
    generate([*command, "--output_dir", str(tmp_path / "qa")])
    texts = read_table(tmp_path / "qa" / "text")
    assert read_table(tmp_path / "qa" / "prompt_text") == read_table(data / "text")
    codes = read_codes(tmp_path / "qa" / "taste.scp", 2, texts)
    assert all(len(codes[utt]) == rows(text) for utt, text in texts.items())
    lines = [{"key": utt, "answers": [text]} for utt, text in texts.items()]
    lines[0]["answers"] = ["not this"]
    answers = "".join(json.dumps(line) + "\n" for line in lines)
    (tmp_path / "qa" / "answers.jsonl").write_text(answers)
    score(
        ["--ref_dir", str(data), "--qa", f"set={tmp_path / 'qa'}", "--asr", "none"]
        + ["--taste", str(root / "codes" / "taste.scp"), "--meters"]
        + ["--output_dir", str(tmp_path / "scores")]
    )
    report(
        ["--score_dirs", f"test={tmp_path / 'scores'}", "--num_utterances", "2"]
        + ["--attention_dir", str(root / "codes")]
        + [
            "--results",
            str(tmp_path / "RESULTS.md"),
            "--html",
            str(tmp_path / "r.html"),
        ]
    )
    found = json.loads((tmp_path / "scores" / "results.json").read_text())
    rate = f"{found['codes']['vectors_per_second']:.2f}"
    for page in ("RESULTS.md", "r.html"):
        text = (tmp_path / page).read_text()
        assert rate in text and "0.83" in text  # 5 of 6 answers


def test_a_packed_model_does_the_same(system, tmp_path):
    root, data, rows = system
    parts = ["--taste", str(root / "taste"), "--taslm", str(root / "taslm")]
    pack([*parts, "--output", str(tmp_path / "packed.zip")])
    text = read_table(data / "text")["utt1"]
    wav, _ = soundfile.read(read_table(data / "wav.scp")["utt1"], dtype="float32")
    speaker = kaldiio.load_scp(str(data / "spk_emb.scp"))["utt1"]
    found = []
    for source in ((root / "taste", root / "taslm"), (tmp_path / "packed.zip",) * 2):
        tokens = SpeechToTaste.from_pretrained(source[0])(wav, text)
        assert len(tokens.codes) == rows(text)
        said = TasteToSpeech.from_pretrained(source[0])(text, speaker, tokens.codes)
        taslm = TaslmGenerate.from_pretrained(source[1], max_words=2, min_words=2)
        more = taslm([text], [tokens.codes])[0]
        likely = TaslmLikelihood.from_pretrained(source[1])([text], [tokens.codes])[0]
        numbers = [*said.units.tolist(), likely["score"], more.text]
        found.append((tokens.codes.tolist(), more.codes.tolist(), numbers))
    assert found[0] == found[1]
