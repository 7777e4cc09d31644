"""What a user can mend is one line with the file, id or option, and the way out.

Cases are command lines, run in the folder of a small system, with the words that the
line must hold. Bugs of ours keep their traceback.
"""

import codecs
import importlib
import pickle
import re
import shlex
import shutil

import kaldiio
import numpy as np
import pytest
import soundfile
import torch
import yaml
from tiny_system import SPEAKER, UNITS, make_system

from espnet2_taste.bin import errors, run

BEST = "valid.acc.best.pth"


def config(**changes):
    """A change of config.yaml: sections are merged."""

    def change(folder):
        path = folder / "config.yaml"
        conf = yaml.safe_load(path.read_text())
        for key, value in changes.items():
            both = isinstance(value, dict) and isinstance(conf.get(key), dict)
            conf[key] = conf[key] | value if both else value
        path.write_text(yaml.safe_dump(conf))

    return change


def file(name, content):
    """A change of another file."""

    def change(folder):
        path = folder / name
        if callable(content):
            content(path)
        elif isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(content)

    return change


#: name of a folder -> what it is a copy of, and what is wrong with it
BROKEN = {
    "empty": ("exp/taste", file("config.yaml", "")),
    "list": ("exp/taste", file("config.yaml", "- a\n")),
    "yaml": ("exp/taste", file("config.yaml", "a: [")),
    "utf16": ("exp/taste", file("config.yaml", "a: 1\n".encode("utf-16"))),
    "key": ("exp/taste", config(encoder_conf={"value_lyer": 3})),
    "type": ("exp/taste", config(aggregator_conf={"num_heads": "two"})),
    "nan": ("exp/taste", config(quantizer_conf={"codebook_size": float("nan")})),
    "section": ("exp/taste", config(encoder_conf=5)),
    "model_conf": ("exp/taste", config(model_conf={"granulrity": "word"})),
    "class": ("exp/taste", config(encoder="wisper")),
    "path": ("exp/taste", config(encoder="not_there.Encoder")),
    "attribute": ("exp/taste", config(encoder="os.path.Join")),
    "heads": ("exp/taste", config(aggregator_conf={"num_heads": 3})),
    "tokens": ("exp/taste", config(token_model="gone.txt")),
    "bpe": ("exp/taste", config(token_type="bpe")),
    "spec": ("exp/taste", config(unit_spec={"rate": 25})),
    "sizes": ("exp/taste", config(aggregator_conf={"d_model": 32})),
    "other": ("exp/taste", file(BEST, lambda p: torch.save({"a": torch.ones(1)}, p))),
    "no_state": ("exp/taste", file(BEST, lambda p: torch.save([1], p))),
    "pickle": ("exp/taste", file(BEST, pickle.dumps({"a": 1}))),
    "cut": ("exp/taste", file(BEST, lambda p: p.write_bytes(p.read_bytes()[:-99]))),
    "nothing": ("exp/taste", file(BEST, lambda p: p.unlink())),
    "d_utf16": ("d", file("text", codecs.BOM_UTF16_LE + "u1 a\n".encode("utf-16-le"))),
    "d_latin": ("d", file("text", b"u1 caf\xe9\n")),
    "d_twice": ("d", file("text", "u1 a\nu1 b\n")),
    "d_missing": ("d", file("text", "u1 a\n")),
    "d_value": ("d", file("wav.scp", "u1\n")),
    "d_gone": ("d", file("wav.scp", "u1 gone.wav\nu2 gone.wav\n")),
    "d_segments": ("d", file("segments", "u1 rec 0\n")),
    "d_speakers": ("d", file("utt2spk", "u1 s\n")),
    "d_arks": ("d", file("spk_emb.scp", "u1 gone.ark:3\nu2 gone.ark:3\n")),
}
TOKENIZE = "tokenize --data_dir d --output_dir o --model_file "
MODEL = "tokenize --model_file exp/taste --output_dir o --data_dir "
SAY = "synthesize --data_dir d --output_dir o --model_file exp/taste --vocoder "
LM = "taslm_generate --data_dir d --output_dir o --taste d/taste.scp --model_file "
HEAR = "transcribe --overwrite --data_dir d --output_dir o --asr "
SCORE = "score --output_dir o "
TRAIN = "taste_train --output_dir o --token_type char --config "
CASES = {
    # a folder of another kind, or none
    TOKENIZE + "exp/units": "exp/units/config.yaml has no token_type: .* another kind",
    TOKENIZE + "exp/taslm": "exp/taslm/config.yaml has no frontend",
    TOKENIZE + "nowhere": "nowhere does not exist",
    TOKENIZE + "d": "d has no .pth file: name one checkpoint",
    TOKENIZE + "nowhere/x.pth": "no training configuration at nowhere/config.yaml",
    TOKENIZE + "exp/taste --train_config exp/taslm/config.yaml": "has no frontend",
    TOKENIZE + "exp/taste --train_config gone.yaml": "configuration at gone.yaml",
    LM + "exp/taste": "exp/taste/config.yaml has no quantizer_dim",
    SAY
    + "exp/taste": "exp/taste/model.pth does not exist: bin/units_train.py makes it",
    SAY + "nowhere": "nowhere/config.yaml does not exist",
    "extract_units --model exp/speaker --data_dir d --output_dir o": "exp/speaker/con.*"
    "model_conf: WorldVQ has no option embed_dim",
    "extract_speakers --model exp/units --data_dir d --output_dir o": "exp/units/con.*"
    "XVector has no option num_units, but embed_dim",
    "upload --packed exp/taste --repo a/b": "exp/taste is no packed model",
    "convert exp/taste o": "exp/taste is neither a TASTE folder",
    "convert nowhere o": "nowhere does not exist",
    f"convert exp/taste/{BEST} o": "is no STAGE1_TRAIN or CosyVoice LM checkpoint",
    "pack --taste exp/units --output p.zip": "has no token_type: .* another kind",
    HEAR + "whisper --asr_model d": "Whisper d .*Unrecognized model",
    HEAR + "espnet --asr_model gone": "ESPnet model gone",
    # configurations
    TOKENIZE + "empty": "empty/config.yaml has no token_type",
    TOKENIZE + "list": "list/config.yaml holds no options",
    TOKENIZE + "yaml": 'yaml/config.yaml is not YAML .*"yaml/config.yaml", line 1',
    TOKENIZE + "utf16": "utf16/config.yaml: not UTF-8 .*iconv -f UTF-16",
    TOKENIZE + "key": "key/config.yaml: --encoder_conf: WhisperEncoder has no option "
    r"value_lyer \(did you mean value_layer\?\), but model, config, value_layer",
    TOKENIZE + "type": "--aggregator_conf num_heads: 'two' is no int, which CrossAtt",
    TOKENIZE + "nan": "--quantizer_conf codebook_size: nan is no int",
    TOKENIZE + "section": "--encoder_conf: 5: expected options of WhisperEncoder",
    TOKENIZE + "model_conf": "granulrity .*granularity.*, but text_only, granularity",
    TOKENIZE + "class": "class/config.yaml: --encoder must be one of .*whisper.*wisper",
    TOKENIZE + "path": "--encoder not_there.Encoder: No module named 'not_there'",
    TOKENIZE + "attribute": "--encoder os.path.Join: .*no attribute 'Join'",
    TOKENIZE + "heads": "d_model 16 is not a multiple of num_heads 3",
    TOKENIZE + "tokens": "tokens/config.yaml: no character list at gone.txt",
    TOKENIZE + "bpe": "bpe/config.yaml: data/token_list/chars.txt is no sentencepiece",
    TOKENIZE
    + "spec": "unit_spec: UnitSpec has no option rate .*but num_units, unit_ra",
    "config list/config.yaml": "list/config.yaml holds no options",
    "config d/u1.wav": "d/u1.wav: not UTF-8",
    "config nowhere.yaml": "no file nowhere.yaml",
    # checkpoints
    TOKENIZE + "sizes": f"sizes/{BEST} does not fit sizes/config.yaml: .*aggregator.em",
    TOKENIZE + "other": f"other/{BEST} does not fit .*missing .*unexpected .1.: a",
    TOKENIZE + "no_state": f"no_state/{BEST} does not hold a state dict",
    TOKENIZE + "pickle": f"pickle/{BEST} is not a plain checkpoint .*source you trust",
    TOKENIZE + "cut": f"cut/{BEST} is damaged",
    TOKENIZE
    + "nothing": "nothing/checkpoint.pth does not fit .*unexpected .1.: optimizer",
    # tables and recordings
    MODEL + "nowhere": "no file nowhere/wav.scp",
    MODEL + "d_utf16": "d_utf16/text: not UTF-8 .*iconv",
    MODEL + "d_latin": "d_latin/text:1: not UTF-8",
    MODEL + "d_twice": "d_twice/text:2: id u1 appears twice",
    MODEL + "d_missing": "d_missing/text: u2 is missing",
    MODEL + "d_value": "d_value/wav.scp:1: u1 has no value",
    MODEL + "d_gone": "no utterance could be used .no audio file gone.wav",
    MODEL + "d --key_file nowhere": "no file nowhere",
    "format_wav d_segments o": "d_segments/segments:1: u1: expected 'recording start",
    "datadir validate d_speakers": "u2 is in text but not in utt2spk; run: ",
    SAY.replace(" d ", " d_arks ") + "exp/units": "d_arks/spk_emb.scp: u1: .*gone.ark",
    SAY + "exp/units --spk_emb d/units.scp": "u1: a speaker embedding of shape .20,.",
    SAY + "exp/units --condition codes --taste d/units.scp": "u1: .*TASTE codes",
    # options
    SAY + "exp/units --condition codes": "--taste and --condition codes belong tog",
    SAY + "exp/units --vocoder_type nope": "nope is no vocoder; choose from world_vq",
    SAY + "exp/units --vocoder_type os.path.join": "os.path.join is no vocoder",
    SAY + "exp/units --vocoder_type a.b.C": "a.b.C is no vocoder: No module named 'a'",
    SAY + "exp/units --vocoder_conf x=1": "vocoder world_vq: .* no option x, but dev",
    SAY + "exp/units --temperature nan": "argument --temperature: nan: expected a num",
    LM + "exp/taslm --config d/text": "d/text holds no options",
    LM + "exp/taslm --config d/odd.yaml": "unknown sampling option top; known: ",
    LM + "exp/taslm --prompt_seconds 1": "--prompt_seconds needs --ctm",
    LM + "exp/taslm --mode instruct --taste gone": "no file gone",
    MODEL + "d --device cuda:9": "argument --device: cuda:9: ",
    MODEL + "d --device cudda": "argument --device: cudda: ",
    MODEL + "d --batch_size 0": "argument --batch_size: 0: expected a whole number",
    "align --data_dir d --output_dir o": "give --asr_config and --asr_model",
    HEAR + "whisper": "--asr whisper: give --asr_model",
    HEAR + "none": "2 utterances have no text: give --asr",
    HEAR + "pocketsphinx --asr_conf x": "--asr_conf 'x': expected key=value",
    HEAR + "pocketsphinx --asr_conf wrong=1": "has no option wrong, but grammar",
    HEAR + "pocketsphinx --grammar gone.jsgf": "gone.jsgf",
    SCORE: "nothing to score: give --ref_dir",
    SCORE + "--ref_dir d --rows a=nowhere": "row a: no file nowhere/wav.scp",
    SCORE + "--ref_dir d --rows ../x=d": "row '../x': a name is letters",
    SCORE + "--ref_dir d --asr espnet": "--asr espnet: give --asr_model",
    SCORE + "--ref_dir d --meter_conf a=1": "--meter_conf 'a': expected meter.argumen",
    SCORE + "--qa a=nowhere": "--qa a: no folder nowhere",
    "report --score_dirs a=d --results r --html h": "no file d/results.json: run .*sco",
    "judge --data_dir d --output_dir o --endpoint http://x": "--model go together",
    "pack --taste exp/taste --output d": "d exists: remove it or choose another",
    "pack --taste exp/taste --results x --output p.zip": "--results 'x': expected name",
    # places that cannot be written
    "pack --taste exp/taste --output d/text/p.zip": "d/text/p.zip.*Not a directory",
    "config d/odd.yaml --output d/text/x": "d/text: File exists|Not a directory",
    MODEL + "d --output_dir /proc/1/x": "/proc/1/x.*choose another",
    # training
    TRAIN + "gone.yaml": "no file gone.yaml",
    TRAIN + "d/text": "d/text holds no options",
    TRAIN + "d/odd.yaml": r"unrecognized arguments: top \(from d/odd.yaml\)",
    TRAIN + "d/ok.yaml --max_epoch 0": "--max_epoch 0: expected a number above 0",
    TRAIN + "d/ok.yaml --grad_clip nan": "--grad_clip nan: expected a number from 0",
    TRAIN + "d/ok.yaml --optim_conf learning_rate=1": "--optim_conf: .*no option learn"
    "ing_rate.*, but lr",
    TRAIN + "d/ok.yaml --optim_conf lr=fast": "--optim_conf lr: 'fast' is no float",
    TRAIN + "d/ok.yaml --encoder_conf x=1": "--encoder_conf: WhisperEncoder has no opt",
    TRAIN + "d/ok.yaml --encoder nope": "argument --encoder: invalid choice: 'nope'",
}


@pytest.fixture(scope="module")
def system(tmp_path_factory):
    """``exp/{taste,taslm,units,speaker}``, ``d`` (two utterances), ``BROKEN``."""
    with pytest.MonkeyPatch.context() as patch:
        root = make_system(tmp_path_factory.mktemp("system"), patch)
        data = root / "d"
        data.mkdir()
        wav = np.random.default_rng(0).standard_normal(16000) * 0.1
        tables = {"wav.scp": "d/{}.wav", "text": "set the red lamp"}
        tables |= {"utt2spk": "s", "utt2num_samples": "16000"}
        for name, value in tables.items():
            lines = [f"{utt} {value.format(utt)}\n" for utt in ("u1", "u2")]
            (data / name).write_text("".join(lines))
        arrays = {"spk_emb": np.ones(SPEAKER, "f"), "taste": np.zeros(8, "int32")}
        arrays["units"] = np.arange(UNITS, dtype="int32")
        for name, array in arrays.items():
            both, scp = dict.fromkeys(("u1", "u2"), array), f"d/{name}.scp"
            kaldiio.save_ark(f"d/{name}.ark", both, scp)
        for utt in ("u1", "u2"):
            soundfile.write(data / f"{utt}.wav", wav, 16000, "PCM_16")
        (data / "odd.yaml").write_text("top: 3\n")
        (data / "ok.yaml").write_text("max_epoch: 1\n")
        for name, (source, change) in BROKEN.items():
            shutil.copytree(root / source, root / name)
            change(root / name)
        yield root


def said(work, caplog, capsys) -> str:
    """What is said in the end; no traceback."""
    with pytest.raises(SystemExit) as error:
        run(work)
    assert not [r for r in caplog.records if r.exc_info], "a traceback was logged"
    if isinstance(error.value.code, str):
        return error.value.code
    assert error.value.code == 2
    return capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("line", CASES)
def test_one_line(system, line, caplog, capsys, monkeypatch):
    monkeypatch.chdir(system)
    command, *words = shlex.split(line)
    main = importlib.import_module(f"espnet2_taste.bin.{command}").main
    text = said(lambda: main(words), caplog, capsys)
    assert "\n" not in text and "error: " in text
    assert re.search(CASES[line], text), text


def raised(error, name="path", value="/etc/hostname"):
    """An error from a frame that has a file at hand."""
    scope = {name: value, "error": error}
    try:
        exec("raise error", scope, scope)
    except Exception as caught:
        return caught


def library(error):
    """An error that torch raises."""
    code = compile("raise error", "/x/site-packages/torch/nn/y.py", "exec")
    try:
        exec(code, {"error": error})
    except Exception as caught:
        return caught


@pytest.mark.parametrize(
    "error, line",
    [
        (
            OSError(28, "No space left on device"),
            "/etc/hostname: No space left on .*fr",
        ),
        (OSError(28, "No space left on device", "a/b"), "a/b: No space.*: free space"),
        (PermissionError(13, "Permission denied", "a/b"), "a/b: Permission .*: choose"),
        (
            OSError(24, "Too many open files", "a"),
            "a: Too many open files: raise the l",
        ),
        (MemoryError(), "out of memory: lower --batch_size"),
        (
            RuntimeError("CUDA out of memory. Tried"),
            "out of memory: lower --batch_size",
        ),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "out of memory"),
        (RuntimeError("Found no NVIDIA driver on"), "no usable GPU: --device cpu"),
        (AssertionError("Torch not compiled with CUDA enabled"), "no usable GPU"),
        (
            RuntimeError("PytorchStreamWriter failed writing"),
            "/etc/hostname cannot be w",
        ),
        (ModuleNotFoundError("No module named 'x.y'", name="x.y"), "pip install x"),
        (EOFError("ran out"), "/etc/hostname is damaged or of another kind .ran out"),
        (
            UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
            "/etc/hostname is not UTF-8",
        ),
        (yaml.YAMLError("a\nb"), "/etc/hostname is damaged or of another kind .a b"),
        (
            ValueError(
                "Caught ValueError in DataLoader worker process 0.\nTraceback\n"
                f'  File "{errors.__file__}", line 1, in f\n'
                "ValueError: utterance u1: is odd\n"
            ),
            "^utterance u1: is odd$",
        ),
    ],
)
def test_what_machines_and_libraries_say(error, line):
    assert re.search(line, errors.explain(raised(error)))


@pytest.mark.parametrize(
    "error",
    [
        *(KeyError("x"), TypeError("x"), AttributeError("x"), IndexError("x")),
        *(ZeroDivisionError("x"), AssertionError("x"), RuntimeError("shapes differ")),
        *(ValueError("operands could not be broadcast"), RecursionError("depth")),
        ModuleNotFoundError("No module", name="espnet2_taste.gone"),
    ],
)
def test_faults_of_the_program_keep_their_traceback(error, caplog):
    assert errors.explain(library(error)) is None

    def main():
        raise library(error)

    with pytest.raises((type(error), SystemExit)) as found:
        run(main)
    logged = any(record.exc_info for record in caplog.records)
    assert logged or found.type is type(error)


def test_an_interrupted_command_is_no_fault():
    def interrupted():
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as error:
        run(interrupted)
    assert error.value.code == 130
