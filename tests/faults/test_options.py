"""Options that cannot work are refused before any work, by name.

Ruling places: ``local/check.py`` (values), ``local/parse_options.sh`` (names, types).
"""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "local"))
import check  # noqa: E402

DEFAULTS = dict(
    line.split("#")[0].strip().split("=", 1)
    for line in (ROOT / "local/options.sh")
    .read_text()
    .split("help_message")[0]
    .split("\n")
    if line[:1].islower()
)
DEFAULTS = {name: value.strip('"') for name, value in DEFAULTS.items()}
DEFAULTS |= {"speaker_type": "xvector", "unit_type": "world_vq", "score_asr": "none"}
DEFAULTS |= {"vocoder_type": "world_vq"}


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    """A folder with what the options below name."""
    (tmp_path / "conf").symlink_to(ROOT / "conf")
    mini = ROOT / "egs2/taste/mini/conf"
    DEFAULTS["speaker_config"] = str(mini / "train_speaker.yaml")
    DEFAULTS["units_config"] = str(mini / "train_units.yaml")
    (tmp_path / "empty").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full/x").touch()
    (tmp_path / "no.yaml").write_text("a: [")
    (tmp_path / "list.yaml").write_text("- a")
    (tmp_path / "orphan.yaml").write_text("base: absent.yaml")
    (tmp_path / "utf16.yaml").write_text("a: 1", encoding="utf-16")
    (tmp_path / "x.jsgf").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def problem(**options) -> str:
    """What is said of these options; "" if nothing."""
    values = DEFAULTS | {name: str(value) for name, value in options.items()}
    try:
        check.main(["all"] + [f"{name}={value}" for name, value in values.items()])
    except (ValueError, OSError) as error:
        return str(error)
    return ""


NO_COUNT = ["0", "-1", "nan", "1e3", "2.5", "", " ", "08", "ten", "1" + "0" * 30, "1;x"]
COUNTS = ["nj", "inference_nj", "num_nodes", "num_splits", "shard_size", "vocab_size"]
WRONG = [(name, value) for name in COUNTS for value in NO_COUNT]
WRONG += [("seed", v) for v in ("-1", "x", "", "4294967296", "nan")]
WRONG += [("stage", v) for v in ("0", "12", "99", "-3", "x", "", "1.5")]
WRONG += [("stop_stage", v) for v in ("0", "99", "x")]
WRONG += [("skip_stages", v) for v in ("0", "3 12", "x", "1-3", "3,4")]
WRONG += [("ngpu", v) for v in ("-1", "all", "", "1.5", "9999")]
WRONG += [("gpu_inference", v) for v in ("1", "yes", "True")]
WRONG += [("sampling_seeds", v) for v in ("", "0 0", "-1", "a", "0,1")]
WRONG += [("max_wav_duration", v) for v in ("nan", "-1", "0", "x", "", "0.05")]
WRONG += [("min_wav_duration", v) for v in ("nan", "-1", "inf", "40")]
WRONG += [("fs", v) for v in ("0", "-16k", "nan", "inf", "16kk", "", "1", "16000000")]
WRONG += [("audio_format", v) for v in ("mp3", "", "WAV", "flac,ark")]
WRONG += [("segmenter", v) for v in ("", "words", "Whitespace")]
WRONG += [("spk_average", v) for v in ("", "mean", "speakers")]
WRONG += [("feats_type", v) for v in ("", "fbank", "extract")]
WRONG += [("score_asr", v) for v in ("", "Whisper", "google")]
WRONG += [("speaker_type", v) for v in ("", "xvectors", "campplus", "a b")]
WRONG += [("unit_type", v) for v in ("s3", "hubert")]
WRONG += [("vocoder_type", v) for v in ("cosyvoice", "hifigan", "")]
WRONG += [("rows", v) for v in ("copy other", "taste,copy", "text-only")]
WRONG += [("rows", v) for v in ("x=exp/none", "taste=./full", "a.b=full", "copy copy")]
WRONG += [("meters", v) for v in ("utmoss", "utmos,dnsmos", "wer")]
WRONG += [
    ("train_set", v) for v in ("", "a b", "../x", "/x", ".x", "a/b", "-x", "$(x)")
]
WRONG += [("test_sets", v) for v in ("", "a/b", "x ../y", "*", "a;b")]
WRONG += [("tag", v) for v in ("a b", "a/b", "../x", "$x", "a:b", "*")]
WRONG += [("dumpdir", v) for v in ("", ".", "/", "a b", "a,b", "a:b", "d/*", "$(x)")]
WRONG += [("expdir", v) for v in ("", "./", "a b", "~x", "a'b")]
WRONG += [("taste_model", v) for v in ("", "../x.pth", "valid.loss.best", "a b.pth")]
WRONG += [("vocoder_conf", v) for v in ("a", "a b=1", "=1", "--a=1")]
WRONG += [("hf_repo", v) for v in ("x", "a/b/c", "a b/c", "/x", "x/", "a/b--c", "-a/b")]
WRONG += [("hf_repo", v) for v in ("https://huggingface.co/a/b", "a/..", "a/b.")]
WRONG += [("testsets", v) for v in ("x", "x=full", "x:salmon", "x:nolayout=full")]
WRONG += [("testsets", v) for v in ("x:salmon=/no/folder", "x:salmon=./x.jsgf")]
WRONG += [
    ("testsets", "x:salmon=./full x:salmon=./full"),
    ("testsets", "../x:salmon=y"),
]
WRONG += [("grammar", v) for v in ("./absent.jsgf", "absent.jsgf", "/absent")]
WRONG += [("speaker_model", v) for v in ("./absent", "absent.onnx", "./empty")]
WRONG += [("score_asr_model", "/absent/whisper"), ("download_model", "./absent.zip")]
WRONG += [("taste_exp", "exp/absent"), ("taslm_exp", "x.jsgf"), ("baseline_exp", "no")]
WRONG += [
    ("taste_config", v) for v in ("conf/train_taste.yaml", "conf/%d.yaml", "%s/%s")
]
WRONG += [("taste_config", "conf/absent_%s.yaml"), ("taslm_config", "absent.yaml")]
WRONG += [("taslm_config", f"{v}.yaml") for v in ("no", "list", "orphan", "utf16")]
WRONG += [("taslm_inference_config", v) for v in ("absent.yaml", "empty")]
WRONG += [("asr_config", "conf/absent.yaml"), ("speaker_config", "absent.yaml")]
WRONG += [("meter_speaker_config", "absent.yaml")]
WRONG += [("synthesis_args", v) for v in ("--top_q 5", "--top_k many", "5", "--seed")]
WRONG += [("taslm_inference_args", v) for v in ("--oops 1", "--seed x")]
WRONG += [("judge_args", f"--model m --endpoint {v}") for v in ("localhost", "ftp://x")]
WRONG += [
    ("judge_args", f"--model m --endpoint {v}") for v in ("http://", "http://x:a")
]
WRONG += [("judge_args", v) for v in ("--endpoint http://x", "--model m", "--no 1")]
WRONG += [("pretrained", "papers")]
WRONG += [("pack_args", "--licence x"), ("upload_args", "--privates")]

RIGHT = [{}, {"nj": 64}, {"fs": "16k"}, {"fs": "22050"}, {"ngpu": 8}, {"ngpu": "auto"}]
RIGHT += [{"stage": 3, "stop_stage": 3}, {"skip_stages": "3 10"}, {"tag": "a-b_c.1"}]
RIGHT += [{"max_wav_duration": "20.5", "min_wav_duration": "0"}, {"dumpdir": "/d/dump"}]
RIGHT += [{"test_sets": "dev test-clean test_other"}, {"hf_repo": "some-one/taste.v1"}]
RIGHT += [{"taslm_config": "no.yaml", "stop_stage": 5}]  # nobody reads it
RIGHT += [{"grammar": "./absent", "stop_stage": 8}, {"grammar": "data/x.jsgf"}]
RIGHT += [{"testsets": "a:salmon=./full b:sblimp=full"}, {"grammar": "x.jsgf"}]
RIGHT += [{"speaker_type": "my.own.Encoder", "speaker_model": "user/name"}]
RIGHT += [{"unit_type": "s3", "units_model": "speech_tokenizer_v1"} | {
    "vocoder_type": "cosyvoice", "vocoder_model": "./full"}]  # fmt: skip
RIGHT += [
    {"speaker_type": "campplus", "stop_stage": 2},
    {"synthesis_args": "--top_k 5"},
]
RIGHT += [{"judge_args": "--endpoint http://host:8000/v1 --model name --nj 2"}]
RIGHT += [{"score_asr": "whisper", "score_asr_model": "openai/whisper-large-v3"}]
RIGHT += [{"pretrained": "paper", "unit_type": "world_vq"}]
RIGHT += [{"rows": "copy taste x=exp/none", "stop_stage": 5}]
RIGHT += [{"upload_args": "--private --revision main"}, {"sampling_seeds": "0 1 2"}]


def test_wrong_values_are_refused_by_name(recipe):
    accepted = [item for item in WRONG if not problem(**dict([item]))]
    assert not accepted
    for name, value in WRONG:
        said = problem(**{name: value})
        assert f"--{name}" in said, (name, value, said)
        assert "\n" not in said and len(said) < 300


@pytest.mark.parametrize("options", RIGHT, ids=str)
def test_right_values_are_not(recipe, options):
    assert problem(**options) == ""


def test_what_belongs_together(recipe):
    said = problem(stage=5, stop_stage=3)
    assert said == "--stop_stage 3: is before --stage 5"
    said = problem(min_wav_duration="5", max_wav_duration="2")
    assert "--min_wav_duration" in said
    assert "--score_asr_model" in problem(score_asr="whisper")
    for kind in ("whisper", "espnet"):
        said = problem(score_asr=kind, score_asr_model="./full")
        assert said.startswith("--score_asr_model ./full: has no config.")
    assert "--vocoder_model" in problem(units_model="./full", vocoder_type="world_vq")


@pytest.mark.parametrize(
    "words, said",
    [
        ("--nj 0", "--nj 0: takes a whole number from 1"),
        ("--stage 5 --stop_stage 3", "--stop_stage 3: is before --stage 5"),
        ("--stage 99", "--stage 99: the last stage is 11"),
        ("--fast yes", "--fast takes true or false, not 'yes'"),
        ("--fast tru", "--fast takes true or false, not 'tru'"),
        ("--inference_nj nan", "--inference_nj takes an integer, not 'nan'"),
        ("--max_wav_duration nan", "--max_wav_duration takes a number, not 'nan'"),
        ("--njobs 3", "unknown option --njobs"),
        ("--nj", "option --nj needs a value"),
        ("--python no-such-python", "--python: no no-such-python"),
    ],
)
def test_the_scripts_refuse(words, said):
    done = subprocess.run(
        ["./run.sh", *words.split()],
        cwd=ROOT / "egs2/taste/mini",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0 and said in done.stderr
    assert len(done.stderr.splitlines()) == 1 and "finished" not in done.stdout


@pytest.mark.parametrize(
    "transcripts, more, said",
    [
        ("speech", {}, "'speech': text, asr, <set>=text or <set>=asr"),
        ("tests=asr", {}, "no set 'tests', but train, dev, test"),
        ("test=asr test=text", {}, "says of one set twice"),
        ("text asr", {}, "says of one set twice"),
        ("asr", {}, "by which recogniser?"),
        ("test=asr", {"score_asr": "whisper"}, "give --score_asr_model"),
        ("asr", {"score_asr": "whisper", "score_asr_model": "/gone"}, "no /gone"),
        ("asr", {"transcripts_args": "--asr pocketsphinx"}, ""),
        ("dev=text test=asr", {"score_asr": "pocketsphinx"}, ""),
        ("text", {"long_utts": "cut"}, "--long_utts takes drop, split or keep"),
        ("text", {"transcripts_filter": "--max_wer x"}, "take_transcripts: argument"),
    ],
)
def test_transcripts(recipe, transcripts, more, said):
    found = problem(transcripts=transcripts, stop_stage=2, **more)
    assert said in found and bool(said) == bool(found)
