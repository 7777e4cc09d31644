import json
import shutil
from time import sleep
from types import SimpleNamespace

import kaldiio
import numpy as np
import pytest
import soundfile
import torch
import yaml
from tiny_asr import save_ctc
from toy_vocoder import ToyVocoder

from espnet2_taste.bin.align import main as align
from espnet2_taste.bin.durations import main as durations
from espnet2_taste.bin.edit import main as edit
from espnet2_taste.bin.extract_feats import main as extract_feats
from espnet2_taste.bin.synthesize import main as synthesize
from espnet2_taste.bin.tokenize import main as tokenize
from espnet2_taste.inference.speech_to_taste import SpeechToTaste
from espnet2_taste.inference.taste_to_speech import TasteToSpeech
from espnet2_taste.io.rtf import read_rtf
from espnet2_taste.io.tables import read_table
from espnet2_taste.taste.taste_spec import TasteSpec
from espnet2_taste.units.unit_spec import UnitSpec


@pytest.fixture(scope="module")
def data(tiny_data, tmp_path_factory):
    """A copy of the tiny data directory that tests may change."""
    folder = tmp_path_factory.mktemp("bins") / "data"
    shutil.copytree(tiny_data, folder)
    return folder


@pytest.fixture(scope="module")
def asr(tmp_path_factory):
    """A random ESPnet CTC model on characters: config.yaml and weights."""
    return save_ctc(tmp_path_factory.mktemp("asr"))


def run_align(asr, data, out):
    model = ["--asr_config", f"{asr}/config.yaml", "--asr_model", f"{asr}/model.pth"]
    align(["--data_dir", str(data), "--output_dir", str(out), *model])


def test_align_covers_all_units_and_words(asr, data, tmp_path, caplog):
    run_align(asr, data, tmp_path)
    units, texts = kaldiio.load_scp(f"{data}/units.scp"), read_table(data / "text")
    few, short = dict(units) | {"utt2": units["utt2"][:1]}, f"{tmp_path}/short.scp"
    kaldiio.save_ark(f"{tmp_path}/short.ark", few, short)
    for table, missing in ((f"{data}/units.scp", set()), (short, {"utt2"})):
        durations(
            ["--borders", f"{tmp_path}/borders.scp", "--units", table]
            + ["--output_dir", str(tmp_path)]
        )
        found = kaldiio.load_scp(f"{tmp_path}/durations.scp")
        assert set(texts) - set(found) == missing
        for key, words in found.items():
            assert len(words) == len(texts[key].split())
            assert words.sum() == len(units[key])
    assert "skipped utt2: 1 units cannot cover" in caplog.text
    assert "skipped 1 utterances" in caplog.text
    words = [line.split()[4] for line in open(tmp_path / "words.ctm")]
    assert words == " ".join(texts[key] for key in sorted(texts)).split()


def test_align_speaker_mean_is_zero_per_speaker_and_repeatable(asr, data, tmp_path):
    run_align(asr, data, tmp_path)
    sums = {"utt0": [10.0, 2], "utt2": [18.0, 4], "utt4": [0.0, 0]}  # mean 28/6
    sums.update({f"utt{i}": [0.0, 0] for i in (1, 3, 5)})
    kaldiio.save_ark(
        f"{tmp_path}/f0_sum.ark",
        {k: np.array(v) for k, v in sums.items()},
        f"{tmp_path}/f0_sum.scp",
    )
    raw = {
        k: np.array(v) for k, v in kaldiio.load_scp(f"{tmp_path}/prosody.scp").items()
    }
    for _ in range(2):  # a killed and repeated step does not subtract twice
        align(
            ["--data_dir", str(data), "--output_dir", str(tmp_path), "--speaker_mean"]
        )
        relative = kaldiio.load_scp(f"{tmp_path}/relative/prosody.scp")
        shift = raw["utt2"][:, 0] - relative["utt2"][:, 0]
        assert shift == pytest.approx(28 / 6, abs=1e-5)
        assert np.array_equal(raw["utt4"], relative["utt4"])  # nothing voiced
    # Speakers of the training set keep its mean; but one who has none is a new one.
    speakers = read_table(data / "utt2spk")
    known = {speakers["utt2"]: np.array([9.0, 3]), "unvoiced": np.zeros(2)}
    kaldiio.save_ark(f"{tmp_path}/known.ark", known, f"{tmp_path}/known.scp")
    align(
        ["--data_dir", str(data), "--output_dir", str(tmp_path), "--speaker_mean"]
        + ["--known", f"{tmp_path}/known.scp"]
    )
    relative = kaldiio.load_scp(f"{tmp_path}/relative/prosody.scp")
    assert raw["utt2"][:, 0] - relative["utt2"][:, 0] == pytest.approx(3, abs=1e-5)


def test_align_drops_and_names_what_cannot_be_aligned(asr, data, tmp_path, caplog):
    folder = tmp_path / "data"
    shutil.copytree(data, folder)
    text = (folder / "text").read_text().replace("a lamp", "a lamp" + " the" * 500)
    (folder / "text").write_text(text)
    run_align(asr, folder, tmp_path / "out")
    assert "skipped utt3: not aligned: " in caplog.text
    assert "utt3" not in read_table(tmp_path / "out" / "borders.scp")


def test_align_without_ctc_head(asr, data, tmp_path):
    shutil.copy(asr / "config.yaml", tmp_path)
    state = torch.load(asr / "model.pth", weights_only=True)
    torch.save(
        {k: v for k, v in state.items() if "ctc" not in k}, tmp_path / "model.pth"
    )
    with pytest.raises(ValueError, match="no CTC head"):
        run_align(tmp_path, data, tmp_path / "out")


def test_extracted_feats_train_as_speech_does(tiny_taste, data, tmp_path):
    extract_feats(
        ["--config", str(tiny_taste / "config.yaml"), "--data_dir", str(data)]
        + ["--output_dir", str(tmp_path), "--batch_size", "4"]
    )
    model = SpeechToTaste.from_pretrained(str(tiny_taste)).model
    feats = kaldiio.load_scp(str(tmp_path / "feats.scp"))
    for key, path in read_table(data / "wav.scp").items():
        wav = torch.from_numpy(soundfile.read(path, dtype="float32")[0])[None]
        want, lengths = model.extract_feats(wav, torch.tensor([wav.size(1)]))
        assert lengths.tolist() == [len(feats[key])]
        np.testing.assert_allclose(feats[key], want[0].numpy(), atol=1e-5)


def test_stored_features_would_miss_the_padding(tiny_taste, data, tmp_path):
    """pad_to_30s: the encoder attends to 3000 frames, whatever their length is."""
    config = yaml.safe_load((tiny_taste / "config.yaml").read_text())
    config["frontend_conf"]["pad_to_30s"] = True
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(ValueError, match="its frontend pads .*use feats_type raw"):
        extract_feats(
            ["--config", str(tmp_path / "config.yaml"), "--data_dir", str(data)]
            + ["--output_dir", str(tmp_path / "out")]
        )
    assert not (tmp_path / "out" / "feats.scp").exists()


class ToneVocoder:
    """Each unit is 40 ms of a tone."""

    sample_rate = 16000
    unit_spec = UnitSpec(20)
    spk_embed_dim = None

    def __call__(self, units, spk_emb):
        time = torch.arange(640) / 16000
        return [
            (0.3 * torch.sin(6.28 * 50 * (u[:, None] + 2) * time)).flatten()
            for u in units
        ]


def test_tokenise_then_synthesise(tiny_taste, data, tmp_path, monkeypatch):
    model = ["--model_file", str(tiny_taste / "valid.acc.best.pth")]
    (tmp_path / "keys").write_text("utt0 a\nother b\n")
    tokenize(
        [*model, "--data_dir", str(data), "--output_dir", str(tmp_path / "codes")]
        + ["--attention_keys", str(tmp_path / "keys")]
    )
    texts = read_table(data / "text")
    codes = kaldiio.load_scp(str(tmp_path / "codes" / "taste.scp"))
    assert {k: len(v) for k, v in codes.items()} == {
        k: 2 * len(t.split()) for k, t in texts.items()
    }
    spec = TasteSpec.beside(tmp_path / "codes" / "taste.scp")
    assert spec == TasteSpec(num_codebooks=2, codebook_size=8, granularity="word")
    (path,) = (tmp_path / "codes" / "attention").iterdir()  # the named one only
    plot = np.load(path)
    assert path.stem == "utt0" and plot["words"].tolist() == texts["utt0"].split()
    assert np.allclose(plot["attention"].sum(1), 1, atol=1e-2)

    vocoder = "espnet2_taste.vocoder.load_vocoder"
    monkeypatch.setattr(vocoder, lambda *_, **__: ToneVocoder())
    for number, batch_size in enumerate(("2", "6")):
        synthesize(
            [*model, "--data_dir", str(data), "--condition", "codes", "--vocoder", "x"]
            + ["--taste", str(tmp_path / "codes" / "taste.scp"), "--seed", "1"]
            + ["--output_dir", str(tmp_path / f"{number}"), "--batch_size", batch_size]
        )
    units = [kaldiio.load_scp(str(tmp_path / n / "units.scp")) for n in "01"]
    for key, path in read_table(tmp_path / "0" / "wav.scp").items():
        assert np.array_equal(units[0][key], units[1][key])
        assert soundfile.info(path).frames == 640 * len(units[0][key])
    found = [
        [json.loads(line) for line in open(tmp_path / n / "unit_accuracy.jsonl")]
        for n in "01"
    ]
    assert [row.pop("key") for row in found[0]] == [f"utt{i}" for i in range(6)]
    for accuracy, other in zip(*found, strict=True):  # of each, whatever the batch
        other.pop("key")
        assert accuracy == pytest.approx(other)
        assert 0 <= accuracy["top1"] <= accuracy["top5"] <= 1
        assert accuracy["count"] > 0
    assert list(read_rtf(tmp_path / "0")) == ["speech_decoder", "vocoder"]
    assert read_rtf(tmp_path / "codes")["tokenizer"].audio_s > 0


def test_time_of_the_decoder_holds_what_a_gpu_still_has_to_do(
    tiny_taste, data, tmp_path, monkeypatch
):
    class OnGpu:
        """Units that are there 0.3 s after they were asked for."""

        def __init__(self, units):
            self.units = units

        def cpu(self):
            sleep(0.3)
            return self.units

        def __iter__(self):
            sleep(0.3)
            return iter(self.units)

    generate = TasteToSpeech.generate_units

    def generate_later(*args):
        found = generate(*args)
        return SimpleNamespace(units=OnGpu(found.units), lengths=found.lengths)

    monkeypatch.setattr(TasteToSpeech, "generate_units", generate_later)
    vocoder = "espnet2_taste.vocoder.load_vocoder"
    monkeypatch.setattr(vocoder, lambda *_, **__: ToneVocoder())
    model = ["--model_file", str(tiny_taste / "valid.acc.best.pth"), "--vocoder", "x"]
    synthesize([*model, "--data_dir", str(data), "--output_dir", str(tmp_path)])
    work = read_rtf(tmp_path)
    assert work["vocoder"].work_s < 0.3 < work["speech_decoder"].work_s


def test_word_by_word_is_what_whole_texts_are(tiny_taste, data, tmp_path, monkeypatch):
    vocoder = "espnet2_taste.vocoder.load_vocoder"
    monkeypatch.setattr(vocoder, lambda *_, **__: ToyVocoder(UnitSpec(20), None))
    model = ["--model_file", str(tiny_taste / "valid.acc.best.pth"), "--vocoder", "x"]
    ways = {"whole": [], "stream": ["--stream"], "slots": ["--slots", "2"]}
    for name, more in ways.items():
        place = ["--data_dir", str(data), "--output_dir", str(tmp_path / name)]
        synthesize([*model, *place, *more])
    whole, stream, slots = (
        kaldiio.load_scp(str(tmp_path / name / "units.scp")) for name in ways
    )
    assert set(whole) == set(stream) == set(slots)
    for name in whole:
        assert np.array_equal(whole[name], stream[name])
        assert np.array_equal(whole[name], slots[name])
        files = (tmp_path / way / "wav" / f"{name}.wav" for way in ways)
        assert len({file.read_bytes() for file in files}) == 1
    with pytest.raises(ValueError, match="running batch: give --slots"):
        synthesize([*model, "--cuda_graph", *place])
    with pytest.raises(ValueError, match="--stream is of a speech decoder"):
        synthesize(["--vocoder", "x", "--condition", "units", "--stream", *place])


def test_tokenise_says_what_is_missing(tiny_taste, data, tmp_path):
    folder = tmp_path / "data"
    shutil.copytree(data, folder)
    command = ["--model_file", str(tiny_taste), "--data_dir", str(folder)]
    command += ["--output_dir", str(tmp_path / "out")]
    for name in ("utt2num_samples", "text"):
        lines = (folder / name).read_text().splitlines(keepends=True)
        (folder / name).write_text("".join(lines[:-1]))
        with pytest.raises(ValueError, match=rf"{name}: utt5 is missing \(1 of 6\)"):
            tokenize(command)
    assert not (tmp_path / "out").exists()


def test_edit_exchanges_words(tiny_taste, data, tmp_path, monkeypatch):
    folder = tmp_path / "data"
    shutil.copytree(data, folder)
    texts = read_table(folder / "text") | {"utt5": "read a red book"}
    (folder / "text").write_text("".join(f"{k} {v}\n" for k, v in texts.items()))
    vocoder = "espnet2_taste.vocoder.load_vocoder"
    monkeypatch.setattr(vocoder, lambda *_, **__: ToneVocoder())
    command = ["--model_file", str(tiny_taste / "valid.acc.best.pth"), "--vocoder", "x"]
    command += ["--data_dir", str(folder), "--output_dir", str(tmp_path / "out")]
    edit([*command, "--first", "utt2", "--second", "utt5", "--words", "1", "3"])
    codes = kaldiio.load_scp(str(tmp_path / "out" / "taste.scp"))
    codes = {name: rows.reshape(-1, 2) for name, rows in codes.items()}
    assert np.array_equal(codes["utt2_edited"][[1, 3]], codes["utt5"][[1, 3]])
    assert np.array_equal(codes["utt2_edited"][[0, 2]], codes["utt2"][[0, 2]])
    wavs = read_table(tmp_path / "out" / "wav.scp")
    assert sorted(wavs) == ["utt2", "utt2_edited", "utt5", "utt5_edited"]
    assert all(soundfile.info(path).frames > 0 for path in wavs.values())
    with pytest.raises(ValueError, match="utt9 is not in"):
        edit([*command, "--first", "utt9", "--second", "utt5", "--words", "1"])
    with pytest.raises(ValueError, match="the texts differ at word 0"):
        edit([*command, "--first", "utt2", "--second", "utt4", "--words", "0"])


def test_synthesise_says_what_is_missing(tiny_taste, data, tmp_path):
    model = ["--model_file", str(tiny_taste / "valid.acc.best.pth"), "--vocoder", "x"]
    place = ["--data_dir", str(data), "--output_dir", str(tmp_path)]
    with pytest.raises(ValueError, match="--taste and --condition codes belong"):
        synthesize([*model, *place, "--condition", "codes"])
    with pytest.raises(ValueError, match="--condition text: give --model_file"):
        synthesize(["--vocoder", "x", *place])
    with pytest.raises(ValueError, match="--units is for --condition units"):
        synthesize([*model, *place, "--units", "x"])
    scp = (data / "units.scp").read_text().splitlines(keepends=True)
    (tmp_path / "taste.scp").write_text("".join(scp[1:]))
    with pytest.raises(ValueError, match=r"taste.scp: utt0 is missing \(1 of 6\)"):
        synthesize(
            [*model, *place, "--condition", "codes", "--taste", f"{tmp_path}/taste.scp"]
        )
