"""What ESPnet's users do: corpora, options, links and folder names of theirs.

Ruling places: ``bin/train_tokenizer.py`` (number of pieces), ``bin/measure.py`` (the
options of ``bin.score``), ``local/cmd.py`` and ``sharded`` in ``local/steps.sh`` (JOB),
``egs2/taste/TEMPLATE/path.sh`` (ESPNET_ROOT).
"""

import importlib.util
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from espnet2_taste.bin import measure, score
from espnet2_taste.bin.train_tokenizer import main as train_tokenizer
from espnet2_taste.text.tokenizers import build_text_tokenizer

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "local"))
spec = importlib.util.spec_from_file_location("launcher", ROOT / "local/cmd.py")
launcher = importlib.util.module_from_spec(spec)
spec.loader.exec_module(launcher)

LATIN = ["the red lamp", "set the blue lamp"] * 20
CHINESE = [chr(0x4E00 + i) for i in range(900)]
CHINESE = ["".join(CHINESE[(i * 7 + j) % 900] for j in range(20)) for i in range(200)]
TEXTS = {
    "Latin": LATIN,
    "Chinese": CHINESE,
    "spaced Chinese": [" ".join(line) for line in CHINESE],
    "Hangul": ["".join(chr(0xAC00 + 13 * i + j) for j in range(9)) for i in range(80)],
    "kana and Latin": ["ﾊﾝｶｸ カタカナ ひらがな ＡＢＣ abc ｶﾞ が"] * 5,
    "Thai": ["สวัสดีครับ ผมชื่อ"] * 5,
    "Hindi": ["हिन्दी में बात क़ क़"] * 5,
    "decomposed": ["cafe\u0301 sen\u0303or café"] * 5,
    "emoji": ["ok 🙂 👍🏽 — … ½ ² ﬁ"] * 5,
    "one word": ["a"],
}


@pytest.mark.parametrize("size", [2, 500])
@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("segmenter", ["whitespace", "characters"])
def test_any_vocab_size_suits_any_script(tmp_path, caplog, size, name, segmenter):
    lines = [f"u{i} {text}" for i, text in enumerate(TEXTS[name])]
    (tmp_path / "text").write_text("\n".join(lines) + "\n", encoding="utf-8")
    words = ["--data_dir", str(tmp_path), "--vocab_size", str(size)]
    train_tokenizer([*words, "--segmenter", segmenter, "--output", f"{tmp_path}/m"])
    tokenizer = build_text_tokenizer("bpe", f"{tmp_path}/m")
    if tokenizer.vocab_size > size:
        assert f"--vocab_size {size} is raised to " in caplog.text
    if name == "Chinese":
        assert tokenizer.vocab_size > 900


def test_a_vocabulary_is_whole_or_none(tmp_path):
    """sentencepiece's own files ended where the disk did, with exit status 0."""
    (tmp_path / "text").write_text("".join(f"u{i} {x}\n" for i, x in enumerate(LATIN)))
    words = ["--data_dir", str(tmp_path), "--vocab_size", "40", "--output"]
    train_tokenizer([*words, f"{tmp_path}/whole"])
    whole = (tmp_path / "whole").stat().st_size
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (whole // 2, before[1]))
    try:
        with pytest.raises(OSError):
            train_tokenizer([*words, f"{tmp_path}/m.model"])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not (tmp_path / "m.model").exists()


def test_no_text(tmp_path):
    (tmp_path / "text").write_text("u1\nu2 \n")
    with pytest.raises(ValueError, match="no text"):
        train_tokenizer(["--data_dir", str(tmp_path), "--output", f"{tmp_path}/m"])


@pytest.mark.parametrize(
    "words",
    [
        "--cleaner whisper_en",
        "--cleaner words --aligner none",
        "--asr_conf ctc_weight=1.0 --nj 2",
        "--bitrate_of taste=codes",
        "--batch_size 4 --aligner_conf a=1",
    ],
)
def test_score_args_suit_both_programs(words):
    common = ["--ref_dir", "a", "--output_dir", "b", *words.split()]
    wanted = vars(score.get_parser().parse_args(common))
    given = vars(measure.get_parser().parse_args(common))
    assert {key: given[key] for key in wanted} == wanted
    for parser in (score.get_parser(), measure.get_parser()):
        with pytest.raises(SystemExit):
            parser.parse_args([*common, "--cleaners", "words"])


@pytest.mark.parametrize(
    "word, filled",
    [
        ("keys.JOB", "keys.7"),
        ("log/j.JOB.log", "log/j.7.log"),
        ("JOB", "7"),
        ("dir/JOB/x", "dir/7/x"),
        ("$((JOB + 1))", "$((7 + 1))"),
        ("wav_JOB.scp", "wav_7.scp"),
        ("split4JOB", "split47"),
        ("JOB.JOB", "7.7"),
        ("/home/JOBS/x", "/home/JOBS/x"),
        ("/JOBim/keys.JOB", "/JOBim/keys.7"),
        ("MYJOB", "MYJOB"),
        ("job", "job"),
    ],
)
def test_job_is_a_word(word, filled):
    args = launcher.parse("run", ["JOB=1:9", "l.JOB", word])
    assert launcher.fill(args, 7)[1] == [filled]
    args = launcher.parse("run", ["l", word])  # without JOB=1:n it is nothing
    assert launcher.fill(args, 1)[1] == [word]


@pytest.mark.parametrize(
    "folder", ["JOB", "a.JOB.b", "JOBB", "my_JOB", "JOB/JOBB/x.JOBBB", "plain", "SET"]
)
def test_folders_may_have_any_name(tmp_path, folder):
    """The command gets its words as they are, but for the number of the part."""
    (tmp_path / "utils").symlink_to(ROOT / "local")
    (tmp_path / "t").write_text("a 1\nb 2\nc 3\n")
    (tmp_path / "s.sh").write_text(
        "set -e -u\nshard_size=1 inference_nj=3 infer_cmd=utils/run.pl\n"
        ". utils/steps.sh\n"
        f"sharded {folder}/out t bash -c 'mkdir -p $7; cp $5 $7/; echo $0 $1 > $7/w' "
        f"JOB {folder}/x -- a\n"
        'item="speech:$1:wav.scp:sound" train_set=tr valid_set=dev num_splits=1\n'
        'both_sets "$item"; files_of "$item"\n'
    )
    done = subprocess.run(
        ["bash", "s.sh", folder],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for number, key in enumerate("abc", 1):
        out = tmp_path / folder / f"out/output.{number}"
        assert (out / f"keys.{number}").read_text().split()[0] == key
        assert (out / "w").read_text() == f"JOB {folder}/x\n"
    assert f"path_and_name_and_type {folder}/tr/wav.scp,speech,sound" in done.stdout
    assert f"{folder}/tr/wav.scp {folder}/dev/wav.scp" in done.stdout


def source_path_sh(folder, **environment):
    folder.mkdir(exist_ok=True)
    done = subprocess.run(
        ["bash", "-c", "set -e -u; . ./path.sh; scripts/hello.sh; command -v util.py"],
        cwd=folder,
        env={**os.environ, "VIRTUAL_ENV": "x", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout, done.stderr


def test_links_to_an_espnet_clone(tmp_path):
    asr1 = tmp_path / "espnet/egs2/TEMPLATE/asr1"
    for name in ("scripts", "pyscripts/utils", "steps"):
        (asr1 / name).mkdir(parents=True)
    (asr1 / "scripts/hello.sh").write_text("#!/bin/sh\nls -d steps pyscripts\n")
    (asr1 / "scripts/hello.sh").chmod(0o755)
    (asr1 / "pyscripts/utils/util.py").write_text("")
    (asr1 / "pyscripts/utils/util.py").chmod(0o755)
    recipe = tmp_path / "recipe"
    recipe.mkdir()
    (recipe / "path.sh").symlink_to(ROOT / "egs2/taste/TEMPLATE/path.sh")
    out, err = source_path_sh(recipe)
    assert not err.startswith("path.sh") and not (recipe / "scripts").exists()
    out, err = source_path_sh(recipe, ESPNET_ROOT="/no/espnet")
    assert "path.sh: ESPNET_ROOT=/no/espnet is no clone of ESPnet" in err
    for root in (tmp_path / "espnet", "../espnet", tmp_path / "espnet"):
        out, err = source_path_sh(recipe, ESPNET_ROOT=str(root))
        assert not err and "pyscripts\nsteps\n" in out and "util.py" in out
    (recipe / "steps").unlink()
    (recipe / "steps").mkdir()  # the recipe's own
    (tmp_path / "espnet").rename(tmp_path / "moved")
    out, err = source_path_sh(recipe, ESPNET_ROOT=str(tmp_path / "moved"))
    assert not err and (recipe / "scripts").resolve() == (
        tmp_path / "moved/egs2/TEMPLATE/asr1/scripts"
    )
    assert not (recipe / "steps").is_symlink()
