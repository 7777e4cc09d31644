"""Stages 1 and 2 of every recipe on a miniature of its corpus; one to the end."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import fake_corpora
import pytest
from tiny_whisper import save_transformers

from espnet2_taste.io.audio import read_audio
from espnet2_taste.io.datadir_check import validate
from espnet2_taste.io.tables import read_table

ROOT = Path(__file__).parents[2]
EGS = ROOT / "egs2/taste"
pytestmark = pytest.mark.recipe
LIBRI = {"train-clean-100": "103", "dev-clean": "84", "test-clean": "1089"}
OTHER = LIBRI | {"test-other": "1688"}


def emilia(root):
    return {"EMILIA": fake_corpora.emilia_tars(root / "emilia")}


def librispeech(root):
    return {"LIBRISPEECH": fake_corpora.librispeech(root, OTHER)}


def libritts(root):
    return {"LIBRITTS": fake_corpora.libritts(root / "LibriTTS", OTHER)}


def paper(root):
    train = {
        f"train-{name}": str(i) for i, name in enumerate(["clean-100", "clean-360"])
    }
    train["train-other-500"] = "7"
    tts = fake_corpora.libritts(root / "LibriTTS", train)
    return emilia(root) | librispeech(root) | {"LIBRITTS": tts}


HALF = ("--layout_conf", "complete=false")  # miniatures are

#: Recipe -> what makes its corpora, options of data.sh, set -> utterances.
RECIPES = {
    "librispeech": (
        librispeech,
        ("--train_parts", "train-clean-100", *HALF),
        {"train": 2, "dev": 2, "test_clean": 2, "test_other": 2},
    ),
    "libritts": (
        libritts,
        ("--train_parts", "train-clean-100", *HALF),
        {"train": 2, "dev": 2, "test_clean": 2, "test_other": 2},
    ),
    "ljspeech": (
        lambda root: {"LJSPEECH": fake_corpora.ljspeech(root)},
        HALF,
        {"train": 2, "dev": 2, "eval1": 2},
    ),
    "vctk": (
        lambda root: {"VCTK": fake_corpora.vctk(root, count=27)},
        ("--layout_conf", "mic=2"),
        {"train": 25, "dev": 1, "eval": 1},
    ),
    "emilia": (emilia, ("--num_test", "1"), {"train": 2, "dev": 1, "test": 1}),
    "fsdd": (
        lambda root: {"FSDD": fake_corpora.fsdd(root, packed=True)},
        ("--num_train", "6", "--num_dev", "2", "--num_test", "4"),
        {"train": 6, "dev": 2, "test": 4, "unseen": 4},
    ),
    "paper": (paper, HALF, {"train": 8, "dev": 2, "test_clean": 2}),
    "taste_dump": (
        lambda root: {"TASTE_DUMP": fake_corpora.taste_dump(root / "dump")},
        (),
        {"train": 2, "dev": 2, "test": 2},
    ),
    "own": (
        lambda root: {"OWN": fake_corpora.own(root / "own")},
        ("--layout_conf", "split=utterance,test=.05"),
        {"train": 10, "dev": 1, "test": 1},
    ),
}


@pytest.fixture
def run(tmp_path):
    """Callable: a recipe's stages 1 and 2, its corpora where db.sh says."""

    def call(name: str, places: dict, *options: str) -> tuple[Path, str]:
        for folder in {"TEMPLATE", "mini", name}:
            if (tmp_path / "egs2/taste" / folder).exists():
                continue
            shutil.copytree(
                EGS / folder,
                tmp_path / "egs2/taste" / folder,
                symlinks=True,
                ignore=shutil.ignore_patterns("data", "dump", "exp", "downloads"),
            )
        for folder in ("local", "conf"):
            if not (tmp_path / folder).exists():
                (tmp_path / folder).symlink_to(ROOT / folder)
        recipe = tmp_path / "egs2/taste" / name
        (recipe / "db.sh").unlink()
        lines = "".join(f"{key}={path}\n" for key, path in places.items())
        (recipe / "db.sh").write_text(lines)
        done = subprocess.run(
            ["./run.sh", "--stage", "1", "--stop_stage", "2", "--nj", "1", *options],
            cwd=recipe,
            env=dict(os.environ, PYTHONPATH=str(ROOT)),
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
        return recipe, f"{done.returncode}: {done.stdout}{done.stderr}"

    return call


def test_every_recipe_is_tested():
    folders = {path.parent.name for path in EGS.glob("*/run.sh")}
    assert folders == {*RECIPES, "mini"}


@pytest.fixture(scope="module")
def whisper(tmp_path_factory):
    return save_transformers(tmp_path_factory.mktemp("asr") / "whisper")


@pytest.mark.parametrize("name", RECIPES)
def test_stages_1_and_2(name, run, tmp_path, request):
    make, words, sets = RECIPES[name]
    options = ["--local_data_opts", " ".join(words)] if words else []
    if name == "paper":  # tests on a recogniser's transcripts
        options += ["--score_asr_model", str(request.getfixturevalue("whisper"))]
    recipe, log = run(name, make(tmp_path / "corpora"), *options)
    assert log.startswith("0:"), log[-3000:]
    found = {}
    for folder in sorted((recipe / "dump/raw/org").iterdir()):
        found[folder.name] = validate(folder)
        for key, entry in read_table(folder / "wav.scp").items():
            assert len(read_audio(str(recipe / entry), key, 16000)) > 1000
    assert found == sets
    if name == "paper":
        test = recipe / "dump/raw/org/test_clean"
        assert read_table(test / "text_given") == read_table(
            recipe / "data/test_clean/text"
        )
        assert read_table(test / "text") != read_table(test / "text_given")
        assert "WER of 2 transcripts against the given text" in log
    if name == "taste_dump":
        tables = {path.name for path in (recipe / "data/train").iterdir()}
        assert tables >= {"units.scp", "unit_spec.yaml", "spk_emb.scp"}


@pytest.mark.nightly
def test_texts_of_a_recogniser(run, tmp_path, whisper):
    """A change of the option runs again what hangs on it, and nothing else; pieces of
    long utterances have a recogniser's text, too."""
    places = {"OWN": fake_corpora.own(tmp_path / "corpora/own")}
    given = ["--score_asr_model", str(whisper), "--inference_nj", "2"]
    given += ["--shard_size", "6", "--transcripts_args", "--asr_conf max_new_tokens=4"]
    anything = "--max_compression_ratio 1e6 --max_rate 1e6 --min_rate 0"
    given += ["--transcripts_filter", anything]
    recipe, log = run("own", places, *given, "--transcripts", "train=asr")
    assert log.startswith("0:"), log[-3000:]
    org = recipe / "dump/raw/org"
    train = [read_table(org / "train" / name) for name in ("text", "text_given")]
    assert train[1] == read_table(recipe / "data/train/text") != train[0]
    assert len(list((recipe / "dump/transcripts/train").glob("output.*"))) == 2
    assert not (org / "dev/text_given").exists()
    _, log = run("own", places, *given, "--transcripts", "train=asr dev=text")
    assert log.count("done before") == 1 + 3 + 2  # data, audio; transcripts, texts

    cut = ["--long_utts", "split", "--max_wav_duration", "0.3", "--valid_set", "train"]
    cut += ["--min_wav_duration", "0"]
    _, log = run("own", places, *given, *cut)
    assert log.startswith("0:"), log[-3000:]
    pieces = read_table(recipe / "dump/raw/split/train/pieces")
    assert len(pieces) > len(train[0]) and validate(org / "train") > 10
    assert read_table(org / "train/text").keys() <= pieces.keys()
    samples = read_table(recipe / "dump/raw/audio/train/utt2num_samples", parse=int)
    assert max(samples.values()) <= 0.3 * 16000
    assert read_table(org / "test/text") == read_table(recipe / "data/test/text")
    _, log = run("own", places, *given)  # the given text again
    assert read_table(org / "train/text") == train[1]
    assert not (org / "train/text_given").exists()


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_form(name):
    """Short, with the links, options that taste.sh has, and a README."""
    folder = EGS / name
    lines = (folder / "run.sh").read_text().splitlines()
    assert len(lines) <= 30
    readme = (folder / "README.md").read_text().lower()
    assert all(word in readme for word in ("licence", "hours", "disk"))
    for link in (
        "cmd.sh",
        "path.sh",
        "taste.sh",
        "score.sh",
        "pack.sh",
        "utils",
    ):
        assert (folder / link).is_symlink() and (folder / link).exists()
    assert (folder / "conf").exists()  # a link, or a folder of its own
    known = (ROOT / "local/options.sh").read_text()
    asked = [word for line in lines for word in line.split() if word.startswith("--")]
    inner = {
        "--cleaner",
        "--asr_conf",
        "--num_train",
        "--num_dev",
        "--num_test",
        "--prompt_words",
    }
    for word in asked:
        option = word.strip('"').removeprefix("--")
        assert f"--{option}" in inner or f"\n{option}=" in known, word
    for script in (folder / "run.sh", folder / "local/data.sh"):
        subprocess.run(["bash", "-n", script], check=True)
        assert os.access(script, os.X_OK)


def test_one_to_the_end(run, tmp_path, whisper):
    """From the published zip to tables and a packed model, in small steps."""
    places = {"FSDD": fake_corpora.fsdd(tmp_path / "corpora", packed=True)}
    options = [
        "--fast",
        "true",
        "--stop_stage",
        "10",
        "--score_asr_model",
        str(whisper),
    ]
    recipe, log = run("fsdd", places, *options)
    assert log.startswith("0:"), log[-3000:]
    for name in ("test", "unseen"):
        results = json.loads((recipe / f"exp/scores/{name}/results.json").read_text())
        rows = {"original", "copy", "text_only", "no_vq", "taste"}
        assert rows <= {row.split(":")[0] for row in results["folders"]}
    assert (recipe / "RESULTS.md").read_text().count("|") > 100
    assert (recipe / "exp/packed.zip").is_file()


def test_bad_places(run, tmp_path):
    """One line says what is wrong, and nothing is left in data/."""
    corpora = tmp_path / "corpora"
    places = librispeech(corpora)
    recipe, log = run("librispeech", places)
    assert "no train-clean-360 (found: dev-clean, test-clean, test-other, train" in log
    assert not log.startswith("0:") and "Traceback" not in log
    assert not (recipe / "data/train").exists()
    _, log = run("emilia", {"EMILIA": ""})
    assert "error: --root is empty: where is emilia? (see db.sh)" in log
    _, log = run("emilia", {})
    assert "error: --root is empty: where is emilia? (see db.sh)" in log


def test_test_set_that_was_trained_on(run, tmp_path):
    """LibriTTS's test-clean are the recordings of LibriSpeech's."""
    words = ("--train_parts", "train-clean-100,test-clean", *HALF)
    options = ("--local_data_opts", " ".join(words))
    _, log = run("libritts", libritts(tmp_path / "corpora"), *options)
    assert not log.startswith("0:") and "Traceback" not in log
    assert "utterance 1089_134686_000004_000000 is in data/train, too" in log
