import json
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from voices import RATE, voice

from espnet2_taste.asr.recording import Recording, Unavailable
from espnet2_taste.evaluate.scorers import meter_choices
from espnet2_taste.evaluate.scorers.versa import (
    DEFAULT_CONFIG,
    VersaScorer,
    read_scores,
)

# A scorer with VERSA's options that writes what a recording's peak is, as VERSA writes
# its scores, and beside itself how it was called.
SCORER = """
import argparse, json, os, pathlib, sys
import soundfile, yaml

parser = argparse.ArgumentParser()
for name in ("pred", "gt", "score_config", "output_file", "cache_folder", "use_gpu"):
    parser.add_argument("--" + name)
parser.add_argument("--io", choices=["kaldi", "soundfile", "dir"], default="kaldi")
args = parser.parse_args()
if os.environ.get("VERSA_STUB") == "fail":
    sys.exit("no such metric")
if os.environ.get("VERSA_STUB") == "nothing":
    raise ValueError("No scoring function is provided")
with open(pathlib.Path(__file__).parent / "calls.jsonl", "a") as log:
    log.write(json.dumps(vars(args)) + "\\n")
assert args.io == "soundfile"
names = {entry["name"] for entry in yaml.safe_load(open(args.score_config))}
read = lambda scp: dict(line.split() for line in open(scp)) if scp else {}
references = read(args.gt)
with open(args.output_file, "w") as out:
    for key, path in read(args.pred).items():
        wav, rate = soundfile.read(path)
        assert rate == 16000
        scores = {"key": key, "utmos": float(abs(wav).max()), "language": "en"}
        if "visqol" in names and args.gt:
            reference, _ = soundfile.read(references[key])
            scores["visqol"] = float(abs(reference).max())
        if scores["utmos"] > 0.9:
            continue
        if scores["utmos"] > 0.8:
            scores["utmos"] = float("nan")
        out.write(json.dumps(scores) + "\\n")
"""
CONFIG = [
    {"name": "visqol", "model": "speech"},
    {"name": "pseudo_mos", "predictor_types": ["utmos"]},
]


@pytest.fixture
def package(tmp_path, monkeypatch):
    """The stub, importable here and in processes; returns how it was called."""
    folder = tmp_path / "site" / "versa" / "bin"
    folder.mkdir(parents=True)
    for path in (folder, folder.parent):
        (path / "__init__.py").touch()
    (folder / "scorer.py").write_text(SCORER)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    yield lambda: [
        json.loads(line) for line in (folder / "calls.jsonl").read_text().splitlines()
    ]
    for name in [n for n in sys.modules if n.split(".")[0] == "versa"]:
        del sys.modules[name]


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(CONFIG))
    return str(path)


def peak(value):
    return np.full(RATE, value)


def test_scores_become_ours(package, config, record):
    reference = record(peak(0.5), "reference")
    recordings = [
        Recording("utt one/1", record(peak(0.25), "a"), (), reference),
        Recording("utt two", record(peak(0.125), "b"), (), reference, same_words=False),
        Recording("utt three", record(peak(0.375), "c")),
    ]
    found = VersaScorer(config)(recordings)
    assert found == [
        {"utmos": [0.25, 1.0], "visqol": [0.5, 1.0]},
        {"utmos": [0.125, 1.0]},  # other words: nothing to compare with
        {"utmos": [0.375, 1.0]},
    ]
    first, second = package()
    assert first["gt"] and second["gt"] is None and first["use_gpu"] is None
    assert first["score_config"] == config
    assert not Path(first["output_file"]).parent.exists()  # nothing is left


def test_what_it_does_not_score_is_said(package, config, record, caplog):
    entries = {
        name: record(peak(p), name)
        for name, p in zip("abc", (0.95, 0.85, 0.5), strict=True)
    }
    recordings = [Recording(k, e, (), entries["c"]) for k, e in entries.items()]
    visqol = {"visqol": [0.5, 1.0]}
    found = VersaScorer(config)(recordings)
    assert found == [{}, visqol, {"utmos": [0.5, 1.0], **visqol}]
    assert caplog.messages == [
        "a: VERSA gives no utmos, visqol",
        "b: VERSA gives no utmos",
    ]


def test_a_failed_run_is_unavailable(package, config, record, monkeypatch):
    monkeypatch.setenv("VERSA_STUB", "fail")
    with pytest.raises(Unavailable, match="VERSA failed: no such metric"):
        VersaScorer(config)([Recording("u", record(voice(200.0)))])


def test_our_configuration(package):
    """``conf/versa.yaml`` gives what the class says it may."""
    assert yaml.safe_load(DEFAULT_CONFIG.read_text())
    assert VersaScorer().columns == VersaScorer.columns
    assert [column.key for column in VersaScorer.columns] == [
        *("utmos", "dnsmos", "dnsmos_p808", "speaker_similarity", "visqol")
    ]


def test_dictionaries_of_older_versions():
    text = (
        "{'key': '0', 'utmos': np.float64(3.5), 'dns_overall': 2.5, 'pesq': nan}\n\n"
        '{"key": "1", "utmos": NaN, "whisper_hyp_text": "it\'s an inf"}\n'
    )
    scores = read_scores(text)
    assert scores["0"] == {"key": "0", "utmos": 3.5, "dns_overall": 2.5, "pesq": None}
    assert np.isnan(scores["1"]["utmos"])


def test_unavailable(package, config, tmp_path, monkeypatch):
    with pytest.raises(Unavailable, match="nowhere.yaml: --meter_conf versa.config="):
        VersaScorer(str(tmp_path / "nowhere.yaml"))
    with pytest.raises(Unavailable, match="versa.python="):
        VersaScorer(config, python=str(tmp_path / "bin" / "python"))
    mapping = tmp_path / "mapping.yaml"
    mapping.write_text("visqol: true\n")
    with pytest.raises(ValueError, match="expected a list"):
        VersaScorer(str(mapping))
    monkeypatch.setattr(
        "espnet2_taste.evaluate.scorers.versa.find_spec", lambda name: None
    )
    with pytest.raises(Unavailable, match="pip install git"):
        VersaScorer(config)
    assert VersaScorer(config, python=sys.executable).columns  # it may be another one's


def test_bad_recordings(package, config, refuses):
    refuses(meter_choices.get_class("versa")(config=config))
