"""What the stages of taste.sh run again, and what not; the programs are fakes."""

import importlib
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from espnet2_taste.tasks.train import parse

ROOT = Path(__file__).parents[2]
FAKE = Path(__file__).with_name("fake_python.py")
DATA = """#!/usr/bin/env bash
for set in train dev test test2; do
    mkdir -p data/${set}
    for file in wav.scp text utt2spk; do echo "${set}-1 x" > data/${set}/${file}; done
done
echo "data" >> calls
"""
OPTIONS = {
    "python": str(FAKE),
    "ngpu": "0",
    "unit_type": "world_vq",
    "speaker_type": "xvector",
    "vocoder_type": "world_vq",
    "asr_config": "conf/train_asr.yaml",
    "testsets": "",
    "units_conf": "a=1",
    "vocoder_conf": "b=2 c=3",
    "grammar": "run.sh",
    "score_asr_model": "whisper-tiny",
    "sampling_seeds": "0",
}


@pytest.fixture
def taste(recipe):
    """Runs taste.sh; returns the calls of programs."""
    (recipe / "local/data.sh").write_text(DATA)

    def run(folder=recipe, fails="", **options):
        (folder / "calls").write_text("")
        given = OPTIONS | {key: str(value) for key, value in options.items()}
        words = [word for key, value in given.items() for word in (f"--{key}", value)]
        done = subprocess.run(
            ["./taste.sh", *words],
            cwd=folder,
            env=dict(os.environ, PYTHONPATH=str(ROOT)),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert (done.returncode != 0) == bool(fails), done.stderr[-3000:] + done.stdout
        assert fails in done.stderr
        return (folder / "calls").read_text().splitlines()

    return run


def names(calls):
    return {call.split()[0] for call in calls}


def check_command_lines(recipe, monkeypatch):
    """The programs have the options that they were called with."""
    monkeypatch.chdir(recipe)
    lines = {}
    for line in (recipe / "command_lines").read_text().splitlines():
        words = json.loads(line)
        options = tuple(word for word in words if word.startswith("--"))
        lines[words[1], options] = words
    assert len({module for module, _ in lines}) > 12
    for (name, _), words in lines.items():
        module = importlib.import_module(name)
        tasks = [value for key, value in vars(module).items() if key.endswith("Task")]
        if tasks:
            parse(tasks[0].get_parser(), words[2:])
        else:
            module.get_parser().parse_args(words[2:])


def test_a_recogniser_that_made_texts_has_a_real_time_factor(taste, recipe):
    options = {"with_taslm": "false", "skip_packing": "true", "test_sets": "test dev"}
    taste(transcripts="test=asr", **options)
    lines = map(json.loads, (recipe / "command_lines").read_text().splitlines())
    score = {w[w.index("--ref_dir") + 1]: w for w in lines if w[1].endswith(".score")}
    for name, where in (("test", ["dump/transcripts/test"]), ("dev", [])):
        words = score[f"dump/raw/{name}"]
        rest = words[words.index("--rtf_dirs") + 3 :]
        assert rest[: rest.index("--train_dir")] == where


def test_from_data_to_pack_and_what_runs_again(taste, recipe, monkeypatch):
    first = taste()
    assert {"data", "asr_train", "taste_train", "taslm_train", "pack"} <= names(first)
    assert taste() == []
    check_command_lines(recipe, monkeypatch)

    copy = recipe.parent / "renamed"
    shutil.copytree(recipe, copy, symlinks=True, copy_function=shutil.copy)
    assert taste(copy) == ["report nowhere"]  # its title is the name

    # A test set that is added costs itself, and the report. No training.
    added = taste(test_sets="test test2")
    assert names(added) & names(first) - {"report", "pack"} <= {
        *("format_wav", "extract_speakers", "extract_units", "align", "durations"),
        *("tokenize", "synthesize", "taslm_generate", "judge", "measure", "score"),
    }
    others = [c for c in added if "test2" not in c and "scores" not in c]
    assert names(others) == {"report", "pack"}
    # The validation set may be among them, in any order.
    assert not names(taste(test_sets="dev test")) & {"format_wav", "taste_train"}
    # Not being one any more, it is tokenised without its maps of attention.
    assert names(taste()) == {"tokenize", "report", "pack"}

    # A comment: nothing. More epochs: the training goes on; the weights are the same.
    conf = recipe / "conf/train_taste_rvq.yaml"
    conf.write_text("# a comment\n" + conf.read_text())
    assert taste() == []
    conf.write_text(conf.read_text() + "max_epoch: 7\n")
    assert taste() == ["taste_train exp/taste_rvq"]
    # Other weights: what is made with them; but no model that knew the old is lost.
    (recipe / "weights").write_text("2")
    conf.write_text(conf.read_text().replace("max_epoch: 7", "max_epoch: 8"))
    stopped = taste(fails="exp/taslm was trained with other contents of exp/taste_rvq/")
    assert names(stopped) == {"taste_train", "tokenize", "synthesize"}
    assert not any("copy" in call for call in stopped)
    assert (recipe / "exp/taslm/checkpoint.pth").read_text() == "1"
    after = names(taste(overwrite="true"))
    assert after >= {"taslm_train", "taslm_generate", "report", "pack"}
    assert not after & {"extract_units", "align", "asr_train", "taste_train"}


def test_data_that_changed_stop_a_training(taste, recipe):
    taste(stop_stage=5)
    for name in ("text", "utt2spk"):
        with open(recipe / f"data/train/{name}", "a") as file:
            file.write("train-2 y\n")
    assert "data" not in taste(stop_stage=2)  # what a user edited stays
    taste(
        stop_stage=5, fails="exp/asr was trained with other contents of dump/raw/org/"
    )
    assert (recipe / "exp/taste_rvq/valid.loss.best.pth").exists()
    again = taste(stop_stage=5, overwrite="true")
    assert {"asr_train", "taste_train"} <= names(again)
    assert taste(stop_stage=5) == []
    # A deleted experiment is made again, and what depends on it if it is another.
    shutil.rmtree(recipe / "exp/taste_text_only")
    assert taste(stop_stage=5) == ["taste_train exp/taste_text_only"]


def test_stages_that_are_skipped(taste, recipe):
    taste(stop_stage=4)
    none = dict.fromkeys(("skip_data_prep", "skip_train", "skip_eval"), "true")
    assert taste(skip_packing="true", **none) == []
    calls = taste(skip_data_prep="true", skip_stages="8 9 10 11")
    made = {"taste_train", "tokenize", "synthesize", "count_tokens", "taslm_train"}
    assert names(calls) == made
    (recipe / "data/test/segments").write_text("test-1 x 0 1\n")
    assert taste(stop_stage=2) == ["format_wav data/test"]
    calls = taste(stage=6, stop_stage=6, synthesis_args="--top_k 5")
    assert names(calls) == {"synthesize"}  # its own folder
    assert (recipe / "exp/decode_top_k5").is_dir() and (recipe / "exp/decode").is_dir()


def test_tables_in_parts(taste, recipe):
    calls = taste(num_splits="2", stop_stage=7)
    assert calls.count("split_scps exp/splits2/taste") == 1
    assert calls.count("split_scps exp/splits2/taslm") == 1
    lines = (recipe / "command_lines").read_text().splitlines()
    lines = [line for line in lines if "taste_train" in line or "taslm_train" in line]
    assert len(lines) == 5 and all('"--multiple_iterator", "true"' in x for x in lines)
    assert all("exp/splits2/" in line and "raw/dev/" in line for line in lines)
    assert taste(num_splits="2", stop_stage=7) == []


def test_trained_models_that_are_given(taste, recipe):
    taste(stop_stage=7)
    given = {"taste_exp": "exp/taste_rvq", "no_vq_exp": "exp/taste_no_vq"}
    given |= {"text_only_exp": "exp/taste_text_only", "taslm_exp": "exp/taslm"}
    calls = taste(tag="other", stage=5, stop_stage=7, **given)
    assert "taste_train exp/taste_text_only_matched_other" in calls
    assert sum(call.startswith("ta") and "train" in call for call in calls) == 1
    assert (recipe / "dump/taste_other/test/taste.scp").exists()
    own = (recipe / "RESULTS.md").read_text()
    taste(tag="other", stage=6, stop_stage=9, **given)
    assert (recipe / "RESULTS_other.md").exists()
    assert (recipe / "RESULTS.md").read_text() == own


def test_downloaded_model(taste, recipe):
    (recipe / "some.zip").write_text("packed")
    calls = taste(download_model="./some.zip", test_sets="test test2")
    assert not any("train" in call for call in calls)
    assert {"extract_units dump/some/raw/org/test2", "tokenize dump/some/raw/test"} <= {
        *calls
    }
    assert {"taslm_generate", "score", "report"} <= names(calls)
    assert (recipe / "exp/some/RESULTS.md").exists() and not (
        recipe / "data/fast"
    ).exists()
    assert taste(download_model="./some.zip", test_sets="test test2") == []
    (recipe / "some.zip").write_text("another")
    assert "tokenize dump/some/raw/test" in taste(download_model="./some.zip")


def test_fast_takes_some_of_any_corpus(taste, recipe):
    data = DATA.replace("test test2", "test").replace(
        'echo "${set}-1 x" >', 'seq -f "${set}-%g x" 10 20 >'
    )
    (recipe / "local/data.sh").write_text(data)
    calls = taste(fast="true", stop_stage=2)
    assert calls == [
        "data",
        *(f"format_wav data/fast/{s}" for s in ("train", "dev", "test")),
    ]
    assert len((recipe / "data/test/text").read_text().splitlines()) == 11
    assert len((recipe / "data/fast/test/text").read_text().splitlines()) == 4


def test_what_a_corpus_brings_is_not_extracted(taste, recipe):
    """Units and speaker embeddings in data/<set>."""
    brings = """
for set in train dev; do
    for table in units spk_emb; do
        echo -e "${set}-1 ${table}.ark:5\\ngone x.ark:9" > data/${set}/${table}.scp
    done
    echo "num_units: 4096" > data/${set}/unit_spec.yaml
done
"""
    (recipe / "local/data.sh").write_text(DATA + brings)
    options = {"stop_stage": 3, "spk_average": "utterance"}
    calls = taste(**options)
    extracted = [c.rpartition("/")[2] for c in calls if c.startswith("extract_units")]
    assert extracted == ["test"]
    averaged = [line for line in lines_of(recipe) if "--average" in line]
    assert {line[line.index("--average") + 1] for line in averaged} == {"utterance"}
    assert len(averaged) == 3
    for name in ("units", "spk_emb"):
        table = recipe / f"dump/{name}/train/{name}.scp"
        assert table.read_text() == f"train-1 {name}.ark:5\n"
    assert (recipe / "dump/raw/train/unit_spec.yaml").read_text() == "num_units: 4096\n"
    assert taste(**options) == []


def lines_of(recipe):
    lines = (recipe / "command_lines").read_text().splitlines()
    return [json.loads(line) for line in lines]
