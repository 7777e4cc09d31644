"""From codes to accuracies and answers with a TASLM whose probabilities are known."""

import argparse
import json
import math
import shutil

import kaldiio
import numpy as np
import pytest
import torch
import yaml

from espnet2_taste.bin.taslm_generate import main as generate
from espnet2_taste.bin.taslm_likelihood import main as score
from espnet2_taste.evaluate.likelihood import score_likelihood
from espnet2_taste.evaluate.qa import score_qa
from espnet2_taste.io.tables import read_table

CHARACTERS = ["<unk>", "\u2581", *"abcdefgh"]
LM = {
    "model_type": "llama",
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "initializer_range": 0.5,
}
LOGITS = torch.tensor([[0.0, 1, 2, 3, 4, 5, 6, 7], [0.0, 0, 0, 0, 0, 0, 0, 9]])


@pytest.fixture(scope="module")
def random_model(tmp_path_factory):
    """A TASLM experiment folder with random weights, two books of eight codes."""
    from espnet2_taste.taslm.build import build_taslm_model

    out = tmp_path_factory.mktemp("taslm")
    (out / "chars").write_text("\n".join(CHARACTERS) + "\n", encoding="utf-8")
    quantizer = {"codebook_dim": 4, "num_codebooks": 2, "codebook_size": 8}
    config = {
        "token_type": "char",
        "token_model": str(out / "chars"),
        "lm": "hf_causal",
        "lm_conf": {"config": LM},
        "fusion": "weighted_sum",
        "fusion_conf": {"weights": [0.0, 0.0]},
        "speech_head": "token",
        "speech_head_conf": {},
        "model_conf": {},
        "quantizer": "rvq",
        "quantizer_conf": quantizer | {"kmeans_init": False},
        "quantizer_dim": 6,
    }
    (out / "config.yaml").write_text(yaml.safe_dump(config))
    torch.manual_seed(0)
    model = build_taslm_model(argparse.Namespace(**config))
    torch.save(model.state_dict(), out / "model.pth")
    return out / "model.pth"


@pytest.fixture(scope="module")
def known(random_model, tmp_path_factory):
    """A TASLM to which all texts are alike, and a code as likely as ``LOGITS`` say."""
    target = tmp_path_factory.mktemp("known")
    shutil.copy(random_model.with_name("config.yaml"), target)
    state = torch.load(random_model, weights_only=True)
    for name, value in state.items():
        if name.endswith("lm_head.weight") or name == "speech_head.linear.weight":
            value.zero_()
    state["speech_head.linear.bias"] = LOGITS.flatten()
    torch.save(state, target / "model.pth")
    return target / "model.pth"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A data directory: twelve utterances of 3 to 6 words and their codes."""
    out = tmp_path_factory.mktemp("utterances")
    random = np.random.default_rng(0)
    text, codes, speakers = {}, {}, {}
    for i in range(12):
        words = ["".join(random.choice([*"abcdefgh"], 2)) for _ in range(3 + i % 4)]
        text[f"utt{i:02d}"] = " ".join(words)
        codes[f"utt{i:02d}"] = random.integers(8, size=2 * len(words), dtype=np.int32)
        speakers[f"utt{i:02d}"] = random.random(3).astype(np.float32)
    kaldiio.save_ark(str(out / "taste.ark"), codes, str(out / "taste.scp"))
    kaldiio.save_ark(str(out / "spk.ark"), speakers, str(out / "spk_emb.scp"))
    for name, values in (("text", text), ("utt2spk", dict.fromkeys(text, "s"))):
        lines = [f"{k} {v}\n" for k, v in values.items()]
        (out / name).write_text("".join(lines))
    return out


# pair -> (text, codes) of its sides; by hand: book 1's higher codes are likelier
PAIRS = {
    "p1": (("ab", [[7, 0]]), ("ab", [[6, 0]])),  # 7 > 6
    "p2": (("ab c", [[0, 0], [1, 0]]), ("ab c", [[5, 1], [1, 0]])),  # 0 < 5
    "p3": (("ab c", [[2, 3], [4, 4]]), ("cc d", [[4, 1], [2, 2]])),  # the same sum
    "p4": (("a b", [[6, 0], [6, 0]]), ("b", [[6, 0]])),  # longer: as likely per word
    "p5": (("h", [[0, 7]]), ("h", [[7, 6]])),  # book 2: 9 against 7 of book 1
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    out = tmp_path_factory.mktemp("pairs")
    text, codes = {}, {}
    for pair, sides in PAIRS.items():
        for side, (words, rows) in zip("+-", sides, strict=True):
            text[pair + side] = words
            codes[pair + side] = np.array(rows, np.int32).reshape(-1)
    kaldiio.save_ark(str(out / "taste.ark"), codes, str(out / "taste.scp"))
    lines = [f"{k} {v}\n" for k, v in sorted(text.items())]
    (out / "text").write_text("".join(lines))
    lines = [f"{k} task{(int(k[1]) + 1) // 2} {k}+ {k}- {k}\n" for k in PAIRS]
    (out / "pairs").write_text("".join(lines))
    return out


def run_score(model, data, out, batch_size):
    command = ["--model_file", str(model), "--data_dir", str(data), "--batch_size"]
    command += [str(batch_size), "--taste", str(data / "taste.scp")]
    score([*command, "--output_dir", str(out)])
    shutil.copy(data / "pairs", out)
    return score_likelihood("set", out)


@pytest.mark.parametrize("batch_size", [1, 3, 32])
def test_accuracies_by_hand(known, data, tmp_path, batch_size):
    rows = run_score(known, data, tmp_path, batch_size)
    scores = [json.loads(line) for line in open(tmp_path / "likelihoods.jsonl")]
    scores = {row["key"]: row for row in scores}
    log_probs = LOGITS.log_softmax(-1)
    state = torch.load(known, weights_only=True)
    (tokens,) = (len(v) for k, v in state.items() if k.endswith("lm_head.weight"))
    for pair, sides in PAIRS.items():
        for side, (_, codes) in zip("+-", sides, strict=True):
            row = scores[pair + side]
            expected = [
                -log_probs[book, [c[book] for c in codes]].mean().item()
                for book in (0, 1)
            ]
            assert row["code_ce"] == pytest.approx(expected, rel=1e-5)
            assert row["text_ce"] == pytest.approx(math.log(tokens), rel=1e-5)
    whole = rows[0].statistics
    assert whole["accuracy_codes"].values().tolist() == [1, 0, 0.5, 0.5, 1]
    assert whole["accuracy"].values().tolist() == [1, 0, 0.5, 0.5, 1]
    assert whole["accuracy_text"].values().tolist() == [0.5] * 5
    # summed, the longer side of p4 is less likely
    assert whole["accuracy_sum"].values().tolist() == [1, 0, 0.5, 0, 1]
    found = {row.key: row.statistics["accuracy"].value() for row in rows}
    assert found == {"set": 0.6, "set/task1": 0.5, "set/task2": 0.5, "set/task3": 1.0}


def test_batch_size_does_not_matter(random_model, data, tmp_path):
    found = []
    for batch_size in (1, 32):
        out = tmp_path / str(batch_size)
        rows = run_score(random_model, data, out, batch_size)
        found.append({k: s.values().tolist() for k, s in rows[0].statistics.items()})
    assert found[0] == found[1]


def test_questions_are_whole_prompts(folder, known, tmp_path):
    """Without speaker embeddings: the answer is text."""
    questions = tmp_path / "questions"
    questions.mkdir()
    for name in ("text", "utt2spk"):
        shutil.copy(folder / name, questions)
    command = ["--model_file", str(known), "--data_dir", str(questions)]
    command += ["--taste", str(folder / "taste.scp"), "--whole_prompts"]
    (tmp_path / "decode.yaml").write_text("{text_top_p: 0.0, min_words: 2}")
    command += ["--config", str(tmp_path / "decode.yaml"), "--max_new_words", "3"]
    generate([*command, "--output_dir", str(tmp_path / "all")])
    generate([*command, "--output_dir", str(tmp_path / "one"), "--batch_size", "1"])
    generate([*command, "--output_dir", str(tmp_path / "slots"), "--slots", "2"])
    text = read_table(tmp_path / "all" / "text")
    assert text == read_table(tmp_path / "one" / "text")
    assert text == read_table(tmp_path / "slots" / "text")
    assert read_table(tmp_path / "all" / "prompt_text") == read_table(folder / "text")
    assert not (tmp_path / "all" / "spk_emb.scp").exists()
    codes = kaldiio.load_scp(str(tmp_path / "all" / "taste.scp"))
    assert all((codes[utt] == 7).all() for utt in text)  # the likeliest of both books
    answers = [{"key": utt, "answers": [words, "x"]} for utt, words in text.items()]
    answers[0]["answers"] = ["not this"]
    lines = "".join(json.dumps(row) + "\n" for row in answers)
    (tmp_path / "all" / "answers.jsonl").write_text(lines)
    (row,) = score_qa("qa", tmp_path / "all")
    assert row.statistics["accuracy"].value() == pytest.approx(11 / 12)


@pytest.fixture
def ctm(folder, tmp_path):
    """Words of .5 s each; those of utt03 of 1.25 s, of utt01 of 4 s."""
    lengths = {"utt03": 1.25, "utt01": 4.0}
    lines = []
    for utt, text in read_table(folder / "text").items():
        step = lengths.get(utt, 0.5)
        for i, word in enumerate(text.split()):
            lines.append(f"{utt} 1 {i * step:.3f} {step:.3f} {word}\n")
    (tmp_path / "words.ctm").write_text("".join(lines))
    return tmp_path / "words.ctm"


def test_prompts_of_some_seconds(folder, known, ctm, tmp_path):
    command = ["--model_file", str(known), "--data_dir", str(folder)]
    command += ["--taste", str(folder / "taste.scp"), "--max_new_words", "1"]
    seconds = [*command, "--prompt_seconds", "2"]
    with pytest.raises(ValueError, match="--prompt_seconds needs --ctm"):
        generate([*seconds, "--output_dir", str(tmp_path / "out")])
    seconds += ["--ctm", str(ctm)]
    generate([*seconds, "--output_dir", str(tmp_path / "out")])
    generate([*seconds, "--output_dir", str(tmp_path / "one"), "--batch_size", "1"])
    prompts = read_table(tmp_path / "out" / "prompt_text")
    original = read_table(folder / "text")
    for utt, text in original.items():
        words = text.split()
        wanted = {"utt03": 1, "utt01": 1}.get(utt, 4)  # one at least; 4 x .5 s
        if len(words) <= wanted:
            assert utt not in prompts  # nothing is left to say
        else:
            assert prompts[utt].split() == words[:wanted]
    for name in ("text", "prompt_text", "utt2spk"):
        assert read_table(tmp_path / "out" / name) == read_table(
            tmp_path / "one" / name
        )
    long = [*command, "--prompt_seconds", "100", "--ctm", str(ctm)]
    with pytest.raises(ValueError, match="no utterance is longer than 100 s"):
        generate([*long, "--output_dir", str(tmp_path / "none")])
    with pytest.raises(ValueError, match="no utterance is longer than 6 words"):
        generate(
            [*command, "--prompt_words", "6", "--output_dir", str(tmp_path / "none")]
        )
    ctm.write_text(ctm.read_text().replace("utt02 1 0.000", "utt02x 1 0.000"))
    with pytest.raises(ValueError, match="words.ctm: utt02 has the words '"):
        generate([*seconds, "--output_dir", str(tmp_path / "none")])
    assert not (tmp_path / "none").exists()
