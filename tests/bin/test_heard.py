"""Speech that comes without text: the tokenizer's own CTC head hears it."""

import json

import kaldiio
import pytest
import torch
import yaml
from toy_vocoder import ToyVocoder

from espnet2_taste.bin.synthesize import main as synthesize
from espnet2_taste.bin.tokenize import main as tokenize
from espnet2_taste.evaluate.rows import Row
from espnet2_taste.evaluate.scorers.beside import BuiltInTranscript
from espnet2_taste.inference.speech_to_taste import SpeechToTaste
from espnet2_taste.io.checkpoint import load_state
from espnet2_taste.io.tables import read_table
from espnet2_taste.units.unit_spec import UnitSpec


@pytest.fixture(scope="module")
def hearing(tiny_taste, tmp_path_factory):
    """The tiny model with a CTC head that hears something in all but ``utt0``."""
    folder = tmp_path_factory.mktemp("hearing")
    config = yaml.safe_load((tiny_taste / "config.yaml").read_text())
    config["model_conf"]["ctc_weight"] = 1.0
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    state = load_state(tiny_taste / "valid.acc.best.pth")
    size = state["aggregator.embed_tokens.weight"].size(0)
    torch.manual_seed(0)
    state["ctc.head.weight"] = torch.randn(size + 1, 16)
    state["ctc.head.bias"] = torch.zeros(size + 1)
    torch.save(state, folder / "valid.acc.best.pth")
    return folder / "valid.acc.best.pth"


def test_codes_of_speech_alone(hearing, tiny_data, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    for name in ("wav.scp", "utt2num_samples"):
        lines = (tiny_data / name).read_text().splitlines()[:3]
        (data / name).write_text("\n".join(lines) + "\n")
    for beam in ("1", "3"):
        tokenize(
            ["--model_file", str(hearing), "--data_dir", str(data), "--heard"]
            + ["--output_dir", str(tmp_path / beam), "--beam", beam]
        )
        texts = read_table(tmp_path / beam / "text")
        codes = kaldiio.load_scp(str(tmp_path / beam / "taste.scp"))
        assert texts.keys() == codes.keys() and len(texts) == 3
        for key, text in texts.items():
            assert len(codes[key]) == 2 * len(text.split())
        with open(tmp_path / beam / "confidence.jsonl") as file:
            sure = {row["key"]: row["confidence"] for row in map(json.loads, file)}
        assert all(0 < one <= 1 for row in sure.values() for one in row)


def test_codes_depend_on_what_is_near_their_words(hearing, tiny_data, tmp_path):
    options = ["--model_file", str(hearing), "--data_dir", str(tiny_data)]
    codes = {}
    for ahead in ("0", "9"):
        out = ["--output_dir", str(tmp_path / ahead), "--look_ahead_s", ahead]
        with pytest.raises(ValueError, match="--look_ahead_s is for --heard"):
            tokenize(options + out)
        tokenize([*options, *out, "--heard"])
        found = kaldiio.load_scp(str(tmp_path / ahead / "taste.scp"))
        codes[ahead] = {key: found[key].tolist() for key in found}
    assert codes["0"].keys() == codes["9"].keys() and codes["0"] != codes["9"]


def test_said_again_as_it_was_heard(hearing, tiny_data, tmp_path, monkeypatch):
    """Nothing was heard in one: it is left out, and all its words are errors."""
    made = ToyVocoder(UnitSpec(20), None)
    monkeypatch.setattr("espnet2_taste.vocoder.load_vocoder", lambda *_, **__: made)
    transcribe = SpeechToTaste.__mro__[1].transcribe

    def deaf(self, speech, names=None, beam=1):
        found = transcribe(self, speech, names, beam)
        return [
            ("", []) if name == "utt0" else one
            for name, one in zip(names, found, strict=True)
        ]

    monkeypatch.setattr(SpeechToTaste.__mro__[1], "transcribe", deaf)
    options = ["--model_file", str(hearing), "--data_dir", str(tiny_data), "--heard"]
    options += ["--vocoder", "x", "--output_dir", str(tmp_path / "out")]
    with pytest.raises(ValueError, match="--heard is for --condition speech"):
        synthesize(options)
    synthesize([*options, "--condition", "speech", "--batch_size", "2"])
    given = read_table(tiny_data / "text")
    del given["utt0"]
    heard = read_table(tmp_path / "out" / "heard")
    assert heard.keys() == given.keys() and heard != given
    assert read_table(tmp_path / "out" / "text") == given  # what it should say

    row = Row("taste_ctc", folder=tmp_path / "out")
    row.texts = dict(given, utt0="the red lamp")
    scorer = BuiltInTranscript()
    sums = scorer.score(row, row)["heard_wer"]
    assert dict(zip(sums.ids, sums.sums.tolist(), strict=True))["utt0"] == [3, 3]
    (tmp_path / "out" / "heard").write_text("utt1 set the blue lamps\n")
    row.texts = {"utt1": "set the blue lamp"}
    assert scorer.score(row, row)["heard_wer"].sums.tolist() == [[1, 4]]
    row.table = "continuation"
    assert scorer.score(row, row) == {}
