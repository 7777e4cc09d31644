"""TaslmTask end to end on fake data: train, resume, reload, generate."""

import argparse
import json
import shutil
from functools import partial

import numpy as np
import pytest
import torch
import yaml
from on_device import TRAINING

from espnet2_taste.io.rtf import read_rtf
from espnet2_taste.io.tables import read_table

CHARACTERS = ["<unk>", "\u2581", *"abcdefgh"]
QUANTIZER = {
    "codebook_dim": 4,
    "num_codebooks": 2,
    "codebook_size": 8,
    "kmeans_init": False,
}
LM = {
    "model_type": "llama",
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A data directory with codes, a TASTE experiment's files, a training YAML."""
    import kaldiio

    from espnet2_taste.taste.tokenizer.rvq import ResidualVQQuantizer

    folder = tmp_path_factory.mktemp("taslm")
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    (folder / "chars").write_text("\n".join(CHARACTERS) + "\n", encoding="utf-8")
    state = ResidualVQQuantizer(dim=6, **QUANTIZER).state_dict()
    state = {f"quantizer.{k}": v for k, v in state.items()}
    torch.save(state | {"aggregator.x": torch.zeros(2)}, folder / "taste.pth")
    config = {"quantizer": "rvq", "quantizer_conf": QUANTIZER}
    (folder / "taste.yaml").write_text(yaml.safe_dump(config))
    texts = {}
    taste = kaldiio.WriteHelper(f"ark,scp:{folder}/taste.ark,{folder}/taste.scp")
    speakers = kaldiio.WriteHelper(f"ark,scp:{folder}/spk.ark,{folder}/spk_emb.scp")
    with taste, speakers:
        for i in range(12):
            words = ["".join(random.choice([*"abcdefgh"], 2)) for _ in range(3 + i % 4)]
            texts[f"utt{i:02d}"] = " ".join(words)
            codes = random.integers(8, size=2 * len(words))
            taste[f"utt{i:02d}"] = codes.astype(np.int32)
            speakers[f"utt{i:02d}"] = random.random(3).astype(np.float32)
    for name, values in (("text", texts), ("utt2spk", dict.fromkeys(texts, "s"))):
        lines = [f"{k} {v}\n" for k, v in values.items()]
        (folder / name).write_text("".join(lines))
    return folder


def train(folder, output, *options, epochs=1):
    from espnet2_taste.bin.taslm_train import main

    cmd = ["--output_dir", str(output), "--max_epoch", str(epochs)]
    cmd += ["--token_type", "char", "--token_model", str(folder / "chars")]
    cmd += ["--taste_config", str(folder / "taste.yaml")]
    cmd += ["--taste_model", str(folder / "taste.pth")]
    for split in ("train", "valid"):
        for name, kind in (("text", "text"), ("taste.scp", "kaldi_ark")):
            data = f"{folder / name},{name.split('.')[0]},{kind}"
            cmd += [f"--{split}_data_path_and_name_and_type", data]
        cmd += [f"--{split}_shape_file", str(folder / "text")]
    cmd += ["--batch_type", "unsorted", "--batch_size", "4", "--num_workers", "0"]
    cmd += ["--lm_conf", f"config={json.dumps(LM)}", "--speech_head", "token"]
    cmd += ["--num_att_plot", "0", "--use_tensorboard", "false", "--optim", "adamw"]
    cmd += ["--use_matplotlib", "false"]
    cmd += ["--optim_conf", "lr=0.01", "--keep_nbest_models", "1"]
    cmd += ["--best_model_criterion", "valid,loss,min", *TRAINING, *options]
    main(cmd)


@pytest.fixture(scope="module")
def experiment(folder):
    train(folder, folder / "exp")
    return folder / "exp"


def test_building_twice_gives_the_same_codebooks(folder):
    """Nothing remembers that it was called before."""
    from tiny_system import TASLM

    from espnet2_taste.taslm.build import build_new_taslm, taste_spec

    options = TASLM | {"taste_config": f"{folder}/taste.yaml"}
    options |= {"taste_model": f"{folder}/taste.pth", "token_model": f"{folder}/chars"}
    args = argparse.Namespace(**options)
    spec = taste_spec(args)
    assert (spec.num_codebooks, spec.codebook_size, spec.granularity) == (2, 8, "word")
    assert args.quantizer is None  # nothing is written by asking
    books = [build_new_taslm(args).quantizer.state_dict() for _ in range(2)]
    assert taste_spec(args) == spec and args.quantizer_dim == 6
    trained = torch.load(folder / "taste.pth", weights_only=True)
    for name, value in books[0].items():
        assert torch.equal(value, books[1][name])
        assert torch.equal(value, trained[f"quantizer.{name}"])


def test_resumed_training_equals_uninterrupted(folder, experiment):
    train(folder, folder / "whole", epochs=2)
    train(folder, folder / "exp2")
    train(folder, folder / "exp2", "--resume", "true", epochs=2)
    states = [
        torch.load(folder / name / "2epoch.pth", weights_only=True)
        for name in ("whole", "exp2")
    ]
    assert states[0].keys() == states[1].keys()
    for name, value in states[0].items():
        assert torch.equal(value, states[1][name]), name


def test_checkpoint_is_self_contained(folder, experiment):
    config = yaml.safe_load((experiment / "config.yaml").read_text())
    assert config["quantizer"] == "rvq" and config["quantizer_dim"] == 6
    from espnet2_taste.io.checkpoint import build_model_from_file
    from espnet2_taste.taslm.build import build_taslm_model

    config["taste_config"] = config["taste_model"] = "gone"
    (experiment / "moved.yaml").write_text(yaml.safe_dump(config))
    model, _ = build_model_from_file(
        build_taslm_model, experiment / "moved.yaml", experiment / "1epoch.pth"
    )
    taste = torch.load(folder / "taste.pth", weights_only=True)
    for name, value in model.quantizer.state_dict().items():
        assert torch.equal(value, taste[f"quantizer.{name}"])


@pytest.mark.parametrize("prompt_codes", ["own", "shuffled"])
def test_generate_command(folder, experiment, tmp_path, prompt_codes):
    import kaldiio

    from espnet2_taste.bin.taslm_generate import main

    common = ["--model_file", str(experiment / "1epoch.pth")]
    common += ["--data_dir", str(folder), "--taste", str(folder / "taste.scp")]
    common += ["--prompt_words", "3", "--max_new_words", "5", "--seed", "2"]
    common += ["--prompt_codes", prompt_codes]
    (tmp_path / "decode.yaml").write_text("{text_top_p: 0.9, min_words: 1}")
    common += ["--config", str(tmp_path / "decode.yaml")]
    keys = tmp_path / "keys"
    keys.write_text("utt01\nutt02\nutt00\n")
    main([*common, "--output_dir", str(tmp_path / "all"), "--batch_size", "5"])
    main([*common, "--output_dir", str(tmp_path / "some"), "--key_file", str(keys)])
    texts = dict(line.split(maxsplit=1) for line in (tmp_path / "all/text").open())
    assert len(texts) == 9  # every fourth has but the three words of the prompt
    codes = kaldiio.load_scp(str(tmp_path / "all/taste.scp"))
    for name, text in texts.items():
        assert 1 <= len(text.split()) <= 5
        assert codes[name].shape == (2 * len(text.split()),)
    original = dict(line.split(maxsplit=1) for line in (folder / "text").open())
    for line in (tmp_path / "all/prompt_text").open():
        name, prompt = line.split(maxsplit=1)
        assert original[name].split()[:3] == prompt.split()
    part = dict(line.split(maxsplit=1) for line in (tmp_path / "some/text").open())
    assert part == {name: texts[name] for name in ("utt01", "utt02")}
    work = read_rtf(tmp_path / "all")["taslm"]
    assert work.work_s > 0 and work.audio_s is None and work.batch_size == 5


def test_generate_command_names_what_does_not_fit(folder, experiment, tmp_path):
    from espnet2_taste.bin.taslm_generate import main

    data = tmp_path / "data"
    data.mkdir()
    for name in ("text", "utt2spk", "spk_emb.scp"):
        (data / name).write_text((folder / name).read_text())
    command = ["--model_file", str(experiment / "1epoch.pth"), "--data_dir", str(data)]
    command += ["--output_dir", str(tmp_path / "out"), "--prompt_words", "1"]
    command += ["--taste", str(folder / "taste.scp")]
    (tmp_path / "decode.yaml").write_text("text_topp: 0.9")
    with pytest.raises(ValueError, match="unknown sampling option text_topp; known: t"):
        main([*command, "--config", str(tmp_path / "decode.yaml")])
    speakers = (data / "spk_emb.scp").read_text().splitlines(keepends=True)
    (data / "spk_emb.scp").write_text("".join(speakers[1:]))
    with pytest.raises(ValueError, match=r"spk_emb.scp: utt00 is missing \(1 of"):
        main(command)
    (data / "spk_emb.scp").write_text("".join(speakers))
    (data / "text").write_text((data / "text").read_text().replace("\n", " more\n"))
    with pytest.raises(ValueError, match=r"taste.scp: utt\d+ has codes of \d+ words"):
        main(command)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("mode", ["text", "instruct", "zero"])
def test_generate_command_in_other_modes(folder, experiment, tmp_path, mode):
    from espnet2_taste.bin.taslm_generate import main

    command = ["--model_file", str(experiment / "1epoch.pth"), "--mode", mode]
    command += ["--data_dir", str(folder), "--prompt_words", "3"]
    (tmp_path / "decode.yaml").write_text(
        "{extra_words: 1, min_words: 1, max_tokens_per_word: 2}"
    )
    command += ["--config", str(tmp_path / "decode.yaml")]
    if mode == "instruct":
        with pytest.raises(ValueError, match="--mode instruct needs --taste"):
            main([*command, "--output_dir", str(tmp_path)])
        command += ["--taste", str(folder / "taste.scp"), "--instruction", "ab", "c"]
    main([*command, "--output_dir", str(tmp_path / "out")])
    texts = read_table(tmp_path / "out" / "text")
    assert len(texts) <= {"text": 9}.get(mode, 12)
    assert all(len(text.split()) <= 4 for text in texts.values())  # 3 * extra_words + 1
    if mode == "zero":
        assert not (tmp_path / "out" / "prompt_text").exists()
    else:
        prompts = read_table(tmp_path / "out" / "prompt_text")
        original = read_table(folder / "text")
        for name, prompt in prompts.items():
            limit = 3 if mode == "text" else None
            assert prompt.split() == original[name].split()[:limit]


def test_score_command(folder, experiment, tmp_path):
    from espnet2_taste.bin.datadir import main as datadir
    from espnet2_taste.bin.taslm_likelihood import main

    command = ["--model_file", str(experiment / "1epoch.pth")]
    command += ["--data_dir", str(folder), "--taste", str(folder / "taste.scp")]
    main([*command, "--output_dir", str(tmp_path / "all"), "--batch_size", "5"])
    names = sorted(read_table(folder / "text"))
    for shard, keys in enumerate((names[:7], names[7:])):
        (tmp_path / f"keys.{shard}").write_text("\n".join(keys))
        main(
            [*command, "--output_dir", str(tmp_path / "log" / f"output.{shard}")]
            + ["--key_file", str(tmp_path / f"keys.{shard}"), "--batch_size", "1"]
        )
    files = ["score", "score_sum", "likelihoods.jsonl"]
    datadir(["merge", str(tmp_path / "log"), str(tmp_path / "merged"), *files])
    whole, merged = (
        [json.loads(line) for line in (tmp_path / part / "likelihoods.jsonl").open()]
        for part in ("all", "merged")
    )
    assert [row["key"] for row in whole] == names
    table = read_table(tmp_path / "all" / "score")
    for row, other in zip(whole, merged, strict=True):
        assert row.keys() == other.keys()
        for name in ("text_nll", "code_nll", "code_ce", "loss"):
            assert row[name] == pytest.approx(other[name], rel=1e-5)
        assert row["latent_nll"] is None  # of the latent head only
        assert float(table[row["key"]]) == pytest.approx(row["score"], abs=1e-5)
        assert row["score_sum"] == pytest.approx(-row["text_nll"] - row["taste_nll"])


def test_what_does_not_fit_is_named_when_scoring(folder, experiment, tmp_path):
    from espnet2_taste.inference import TaslmLikelihood

    taslm = TaslmLikelihood.from_pretrained(experiment)
    codes = np.zeros((2, 2), dtype=np.int64)
    with pytest.raises(ValueError, match="utterance a: 4 TASTE codes for 1 words x 2"):
        taslm(["ab"], [codes], ["a"])
    with pytest.raises(ValueError, match="utterance 0: empty text"):
        taslm([""], [codes[:0]])
    assert taslm([], []) == []
    # A checkpoint of another size.
    config = yaml.safe_load((experiment / "config.yaml").read_text())
    config["lm_conf"]["config"]["hidden_size"] = 32
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(RuntimeError, match="does not fit .*other shape"):
        TaslmLikelihood(tmp_path / "config.yaml", experiment / "1epoch.pth")


def test_python_interface(folder, experiment):
    from espnet2_taste.inference.taslm_generate import TaslmGenerate

    taslm = TaslmGenerate(model_file=experiment / "1epoch.pth", max_words=2)
    codes = [np.zeros((2, 2), dtype=np.int64), np.ones((1, 2), dtype=np.int64)]
    prompts = ["ab c", "h"]
    for mode in ("zero", "text", "audio"):
        results = taslm(prompts, codes, mode=mode, min_words=2)
        assert [len(r.words) for r in results] == [2, 2]
        assert all(r.codes.shape == (2, 2) for r in results)
    results = taslm(
        prompts, codes, mode="instruct", instruction=("bad cab", ""), min_words=1
    )
    assert len(results) == 2
    again = TaslmGenerate(model_file=experiment / "1epoch.pth")
    assert again.vocabulary.banned is taslm.vocabulary.banned  # built once
    with pytest.raises(ValueError, match="utterance u1"):
        taslm(["ab"], [codes[0]], names=["u1"])
    with pytest.raises(ValueError, match="needs the codes"):
        taslm(["ab"])
    assert taslm([], []) == []
    make = partial(TaslmGenerate, model_file=experiment / "1epoch.pth")
    for call in (partial(taslm, prompts, codes), make):
        with pytest.raises(ValueError, match="unknown sampling option top_p; known"):
            call(top_p=0.9)


@pytest.mark.parametrize(
    "options,error,message",
    [
        (["--taste_config", "none"], ValueError, "give --taste_config"),
        (["--taste_model", "nowhere.pth"], FileNotFoundError, "nowhere.pth"),
        (["--freeze_param", "lmm"], ValueError, "lmm matches no parameter"),
    ],
)
def test_bad_options(folder, tmp_path, options, error, message):
    with pytest.raises(error, match=message):
        train(folder, tmp_path, *options)


def test_training_begins_from_a_merged_adapter(folder, tmp_path):
    """There: nothing is lost. Back: what is trained opens without where it began."""
    from espnet2_taste.inference import TaslmLikelihood
    from espnet2_taste.io.checkpoint import load_state

    lora = ("--lm_conf", "lora.r=2", "--lm_conf", "lora.lora_alpha=16")
    first, second = tmp_path / "first", tmp_path / "second"
    train(folder, first, *lora)
    given = ["abc de", "fg"], [np.zeros((2, 2), int), np.ones((1, 2), int)]

    def scores(exp):
        found = TaslmLikelihood.from_pretrained(exp)(*given)
        return torch.tensor([one["score_sum"] for one in found])

    begin = ("--merge_lora", str(first), "--lm_conf", "lora.r=3")
    with pytest.raises(ValueError, match="sets all weights: leave out --init_param"):
        train(folder, second, *begin, "--init_param", f"{first}/1epoch.pth")
    train(folder, second, *begin, "--optim_conf", "lr=0.0")
    want = scores(first)
    shutil.rmtree(first)
    torch.testing.assert_close(scores(second), want, atol=1e-4, rtol=1e-4)
    config = yaml.safe_load((second / "config.yaml").read_text())
    assert config["lm_conf"]["save_base"] and config["lm_conf"]["lora"] == {"r": 3}
    state = load_state(second / "1epoch.pth")
    assert any(".base_layer.weight" in name for name in state)
    with pytest.raises(FileNotFoundError, match="first"):
        train(folder, tmp_path / "third", *begin)
    other = json.dumps(LM | {"hidden_size": 8})
    begin = "--merge_lora", str(second), "--lm_conf", f"config={other}"
    with pytest.raises(ValueError, match="its LM is of lm_conf config: .* this one's"):
        train(folder, tmp_path / "third", *begin)
