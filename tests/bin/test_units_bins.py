import argparse
import shutil
import sys

import kaldiio
import numpy as np
import pytest
import soundfile
import torch
import yaml
from tiny_onnx import write_campplus, write_s3

from espnet2_taste.bin import (
    extract_speakers,
    extract_units,
    extract_world,
    fit_griffin_lim,
    speaker_train,
    synthesize,
    units_train,
)
from espnet2_taste.bin import run as bin_run
from espnet2_taste.io.rtf import read_rtf
from espnet2_taste.tasks.speaker import SpeakerPreprocessor
from espnet2_taste.tasks.units import UnitsPreprocessor, UnitsTask
from espnet2_taste.units.unit_spec import UnitSpec

COMMON = {
    "batch_type": "sorted",
    "batch_size": 3,
    "max_epoch": 2,
    "keep_nbest_models": 1,
    "best_model_criterion": [["valid", "loss", "min"]],
    "num_workers": 0,
    "use_tensorboard": False,
    "use_matplotlib": False,
    "num_att_plot": 0,
}
UNITS_CONFIG = COMMON | {
    "model_conf": {"num_units": 16, "num_ceps": 8, "hidden_size": 16, "code_dim": 8},
    "crop_units": 8,
}
SPEAKER_CONFIG = COMMON | {
    "model_conf": {"embed_dim": 6, "hidden_size": 8, "num_mels": 20},
    "crop_s": 0.3,
}


def write_data(folder, num=3, seed=0):
    """A data directory of two speakers with ``num`` short utterances each."""
    folder.mkdir()
    rng = np.random.default_rng(seed)
    rows = []
    for speaker, hertz in (("a", 110), ("b", 190)):
        for i in range(num):
            t = np.arange(4000 + 900 * i) / 16000
            wav = sum(np.sin(2 * np.pi * hertz * k * t) / k for k in range(1, 9))
            wav = 0.1 * wav + 0.01 * rng.normal(size=len(t))
            key = f"{speaker}{i}"
            soundfile.write(folder / f"{key}.wav", wav, 16000, "PCM_16")
            rows.append((key, speaker, len(t)))
    for name, line in (
        ("wav.scp", lambda k, s, n: f"{k} {folder / k}.wav"),
        ("utt2spk", lambda k, s, n: f"{k} {s}"),
        ("text", lambda k, s, n: f"{k} some words"),
        ("utt2num_samples", lambda k, s, n: f"{k} {n}"),
    ):
        (folder / name).write_text("".join(line(*row) + "\n" for row in rows))
    return {key: n for key, _, n in rows}


def run(module, **options):
    """Run a bin with ``--name value`` options."""
    module.main([w for k, v in options.items() for w in (f"--{k}", str(v))])


def load(path):
    return {k: np.array(v) for k, v in kaldiio.load_scp(str(path)).items()}


def train(module, config, output_dir, shapes, *more, **data):
    """Run a training on the same data for training and validation."""
    options = ["--config", str(config), "--output_dir", str(output_dir), *more]
    for name, (path, kind) in data.items():
        for split in ("train", "valid"):
            item = f"{path},{name},{kind}"
            options += [f"--{split}_data_path_and_name_and_type", item]
    for split in ("train", "valid"):
        options += [f"--{split}_shape_file", str(shapes)]
    module.main(options)


def train_units(root, output_dir, *more):
    feats, speakers = root / "world/feats.scp", root / "avg/spk_emb.scp"
    data = {"feats": (feats, "kaldi_ark"), "spk_emb": (speakers, "kaldi_ark")}
    shapes = root / "world/feats_shape"
    train(units_train, root / "units.yaml", output_dir, shapes, *more, **data)


def test_one_speaker(tmp_path, caplog):
    """As LJSpeech: the encoder stays untrained; a constant stands for the speaker."""
    data = tmp_path / "train"
    write_data(data)
    (data / "utt2spk").write_text((data / "utt2spk").read_text().replace(" b", " a"))
    (tmp_path / "spk.yaml").write_text(yaml.safe_dump(SPEAKER_CONFIG))
    spoken = {"speech": (data / "wav.scp", "sound")}
    spoken["speaker"] = (data / "utt2spk", "text")
    shapes = data / "utt2num_samples"
    train(speaker_train, tmp_path / "spk.yaml", tmp_path / "spk", shapes, **spoken)
    assert "has one speaker" in caplog.text
    utt, model = tmp_path / "utt", tmp_path / "spk"
    run(extract_speakers, model=model, data_dir=data, output_dir=utt)
    options = dict(average="speaker", spk_emb=utt / "spk_emb.scp", data_dir=data)
    run(extract_speakers, **options, output_dir=tmp_path / "avg")
    rows = list(load(tmp_path / "avg/spk_emb.scp").values())
    assert len(rows) == 6 and all(np.array_equal(row, rows[0]) for row in rows)
    assert np.isfinite(rows[0]).all()
    options["average"] = "utterance"
    run(extract_speakers, **options, output_dir=tmp_path / "own")
    own, given = load(tmp_path / "own/spk_emb.scp"), load(utt / "spk_emb.scp")
    assert all(np.array_equal(own[key], given[key]) for key in given)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Everything stage 3 makes for a training set: the root folder and lengths."""
    root = tmp_path_factory.mktemp("stage3")
    lengths = write_data(root / "train")
    for name, config in (("units", UNITS_CONFIG), ("spk", SPEAKER_CONFIG)):
        (root / f"{name}.yaml").write_text(yaml.safe_dump(config))
    data = root / "train"
    spoken = {"speech": (data / "wav.scp", "sound")}
    spoken["speaker"] = (data / "utt2spk", "text")
    shapes = data / "utt2num_samples"
    train(speaker_train, root / "spk.yaml", root / "spk", shapes, **spoken)
    run(extract_speakers, model=root / "spk", data_dir=data, output_dir=root / "utt")
    run(
        extract_speakers,
        average="speaker",
        spk_emb=root / "utt/spk_emb.scp",
        data_dir=data,
        output_dir=root / "avg",
    )
    world = root / "world"
    run(extract_world, config=root / "units.yaml", data_dir=data, output_dir=world)
    train_units(root, root / "units")
    options = dict(model=root / "units", data_dir=data, feats=world / "feats.scp")
    run(extract_units, **options, output_dir=root / "from_feats")
    shutil.copy(data / "wav.scp", root / "from_feats")
    options = dict(data_dir=root / "from_feats", output_dir=root / "units")
    run(fit_griffin_lim, **options, num_utterances=2)
    return root, lengths


def test_embeddings_of_utterances_and_speakers(trained):
    root, lengths = trained
    single, averaged = load(root / "utt/spk_emb.scp"), load(root / "avg/spk_emb.scp")
    assert list(averaged) == sorted(lengths)
    assert averaged["a0"].dtype == np.float32 and averaged["a0"].shape == (6,)
    np.testing.assert_array_equal(averaged["a0"], averaged["a2"])
    assert not np.array_equal(single["a0"], single["a2"])
    assert not np.array_equal(averaged["a0"], averaged["b0"])


def test_speakers_of_the_training_set_keep_their_embedding(trained, tmp_path):
    """In another set, with other utterances of one of them and a new speaker."""
    root, _ = trained
    means = load(root / "avg/speakers.scp")
    (tmp_path / "utt2spk").write_text("x1 a\nx2 new\n")
    vectors = {"x1": np.ones(6, "f"), "x2": np.ones(6, "f")}
    spk_emb = tmp_path / "spk_emb.scp"
    kaldiio.save_ark(f"{tmp_path}/spk_emb.ark", vectors, str(spk_emb))
    run(
        extract_speakers,
        average="speaker",
        spk_emb=spk_emb,
        data_dir=tmp_path,
        known=root / "avg/speakers.scp",
        output_dir=tmp_path / "avg",
    )
    averaged = load(tmp_path / "avg/spk_emb.scp")
    np.testing.assert_array_equal(averaged["x1"], means["a"])
    np.testing.assert_allclose(averaged["x2"], 6**-0.5, rtol=1e-6)


def test_resumed_training_equals_uninterrupted(trained):
    root, _ = trained
    train_units(root, root / "resumed", "--max_epoch", "1")
    train_units(root, root / "resumed", "--resume", "true")
    states = [
        torch.load(root / name / "2epoch.pth", weights_only=True)
        for name in ("units", "resumed")
    ]
    for name, value in states[0].items():
        assert torch.equal(value, states[1][name]), name
    rows = np.concatenate(list(load(root / "world/feats.scp").values()))
    mean = states[0]["mean"]
    np.testing.assert_allclose(mean[4:], rows.mean(0)[4:], rtol=1e-3)
    assert (mean[2:4] == 0.5).all()  # voicing


def test_features_of_another_width_are_refused(trained, tmp_path):
    root, _ = trained
    conf = {"model_conf": UNITS_CONFIG["model_conf"] | {"num_ceps": 9}}
    (tmp_path / "conf.yaml").write_text(yaml.safe_dump(UNITS_CONFIG | conf))
    args = argparse.Namespace(
        train_data_path_and_name_and_type=[(f"{root}/world/feats.scp", "feats", "x")],
        **conf,
    )
    with pytest.raises(ValueError, match="width 12, this model takes 13: run"):
        UnitsTask.build_model(args)


def test_crops_stay_inside_utterances():
    feats = np.arange(40, dtype=np.float32)[:, None]
    crop = UnitsPreprocessor(7)
    starts = set()
    for _ in range(60):
        found = crop("a", {"feats": feats})["feats"][:, 0]
        assert len(found) == 14 and (np.diff(found) == 1).all() and found[0] % 2 == 0
        starts.add(int(found[0]) // 2)
    assert starts == set(range(14))
    assert len(crop("a", {"feats": feats[:6]})["feats"]) == 6
    assert len(UnitsPreprocessor(None)("a", {"feats": feats})["feats"]) == 40
    assert len(UnitsPreprocessor(7, 1)("a", {"feats": feats})["feats"]) == 7
    with pytest.raises(ValueError, match="utterance a: feats holds values that"):
        crop("a", {"feats": feats * np.nan})


def test_speech_is_cropped_or_repeated_and_its_speaker_is_known():
    prepare = SpeakerPreprocessor(["a", "b"], 8000, 0.5, train=False)
    found = prepare("u", {"speech": np.arange(5000) / 1e4, "speaker": "b"})
    assert found["speech"].shape == (8000,) and found["speaker"].tolist() == [1]
    found = prepare("u", {"speech": np.ones(100), "speaker": "a"})
    assert found["speech"].shape == (8000,) and found["speech"][4000] > 0.9
    with pytest.raises(ValueError, match="utterance u: c is no training speaker"):
        prepare("u", {"speech": np.ones(9), "speaker": "c"})
    with pytest.raises(ValueError, match="utterance u: no mono audio"):
        prepare("u", {"speech": np.ones(0), "speaker": "a"})


def test_units_from_features_and_from_audio_agree(trained):
    root, lengths = trained
    options = dict(model=root / "units", data_dir=root / "train")
    cached = load(root / "from_feats/units.scp")
    run(extract_units, **options, output_dir=root / "fresh", batch_size=2)
    fresh = load(root / "fresh/units.scp")
    assert list(cached) == list(fresh) == sorted(lengths)
    for key, samples in lengths.items():
        assert fresh[key].dtype == np.int32
        assert len(fresh[key]) == -(-samples // 640)
        np.testing.assert_array_equal(cached[key], fresh[key])
    assert read_rtf(root / "fresh")["unit_extractor"].audio_s > 0


def test_key_file_and_bad_audio(trained, tmp_path, caplog):
    root, _ = trained
    data = tmp_path / "data"
    write_data(data, seed=1)
    (data / "a0.wav").write_bytes(b"not audio at all")
    (data / "a1.wav").write_bytes((data / "a1.wav").read_bytes()[:3000])
    (data / "b0.wav").unlink()
    keys = tmp_path / "keys"
    keys.write_text("a0\na1\na2\nb0\nb1\n")
    for module, model, name in (
        (extract_units, "units", "units"),
        (extract_speakers, "spk", "spk_emb"),
    ):
        caplog.clear()
        out = tmp_path / name
        with caplog.at_level("INFO"):
            run(
                module, model=root / model, data_dir=data, output_dir=out, key_file=keys
            )
        assert list(load(out / f"{name}.scp")) == ["a2", "b1"]
        assert "skipped a0" in caplog.text and "is not readable audio" in caplog.text
        assert "skipped a1" in caplog.text and "is truncated" in caplog.text
        assert "skipped b0: no audio file" in caplog.text
        assert "2 utterances done, 3 skipped" in caplog.text


def test_audio_of_another_rate_is_resampled(trained, tmp_path):
    root, _ = trained
    data, out = tmp_path / "data", tmp_path / "out"
    write_data(data)
    (data / "utt2num_samples").unlink()
    soundfile.write(data / "a1.wav", np.zeros((12000, 2)), 24000, "PCM_16")
    run(extract_units, model=root / "units", data_dir=data, output_dir=out)
    assert len(load(out / "units.scp")["a1"]) == 13  # of 8000 samples, 640 each


def test_nothing_readable_is_an_error(trained, tmp_path):
    root, _ = trained
    write_data(tmp_path / "data")
    for path in (tmp_path / "data").glob("*.wav"):
        path.unlink()
    options = dict(data_dir=tmp_path / "data", output_dir=tmp_path / "out")
    with pytest.raises(RuntimeError, match="no utterance could be used"):
        run(extract_speakers, model=root / "spk", **options)
    assert not (tmp_path / "out/spk_emb.scp").exists()
    (tmp_path / "keys").write_text("a0\n")
    shard = dict(options, output_dir=tmp_path / "shard", key_file=tmp_path / "keys")
    run(extract_speakers, model=root / "spk", **shard)
    assert (tmp_path / "shard/spk_emb.scp").read_text() == ""


@pytest.mark.parametrize("vocoder", ["world_vq", "griffin_lim"])
def test_resynthesis(trained, tmp_path, vocoder):
    root, lengths = trained
    out = tmp_path / "syn"
    units = load(root / "from_feats/units.scp")
    units["a0"] = np.zeros(0, np.int32)
    kaldiio.save_ark(str(tmp_path / "u.ark"), units, scp=str(tmp_path / "u.scp"))
    run(
        synthesize,
        condition="units",
        vocoder_type=vocoder,
        vocoder=root / "units",
        data_dir=root / "train",
        units=tmp_path / "u.scp",
        spk_emb=root / "avg/spk_emb.scp",
        output_dir=out,
        batch_size=4,
    )
    table = dict(line.split() for line in (out / "wav.scp").read_text().splitlines())
    assert list(table) == sorted(lengths)
    for key, path in table.items():
        info = soundfile.info(path)
        assert (info.samplerate, info.subtype) == (16000, "PCM_16")
        assert info.frames == 640 * len(units[key])
    assert (out / "text").read_text().startswith("a0 some words")
    assert read_rtf(out)["vocoder"].audio_s > 0


def test_mode_mistakes_are_refused(trained, tmp_path):
    root, _ = trained
    options = dict(data_dir=root / "train", output_dir=root / "utt")
    with pytest.raises(ValueError, match="--model is needed"):
        run(extract_speakers, **options)
    scp = root / "utt/spk_emb.scp"
    with pytest.raises(ValueError, match="write elsewhere"):
        run(extract_speakers, average="speaker", spk_emb=scp, **options)


def test_published_parts(trained, tmp_path):
    root, lengths = trained
    options = dict(data_dir=root / "train", output_dir=tmp_path / "out")
    units = write_s3(tmp_path / "speech_tokenizer_v1.onnx", num_units=30)
    run(extract_units, model_type="s3", model=units, **options)
    assert UnitSpec.beside(tmp_path / "out/units.scp") == UnitSpec(30, 50, 16000)
    for key, row in load(tmp_path / "out/units.scp").items():
        assert len(row) == -(-(lengths[key] // 160) // 2) and row.dtype == np.int32
    write_campplus(tmp_path / "campplus.onnx", size=10)
    run(extract_speakers, model_type="campplus", model=tmp_path, **options)
    options["output_dir"] = tmp_path / "averaged"
    scp = tmp_path / "out/spk_emb.scp"
    run(extract_speakers, average="speaker", spk_emb=scp, **options)
    averaged = load(tmp_path / "averaged/spk_emb.scp")
    np.testing.assert_allclose(np.linalg.norm(averaged["a0"]), 1, rtol=1e-5)
    assert (tmp_path / "averaged/spk_embed_dim").read_text() == "10\n"


@pytest.mark.parametrize(
    "module, model_type, package",
    [
        (extract_units, "s3", "s3tokenizer"),
        (extract_speakers, "campplus", "onnxruntime"),
    ],
)
def test_missing_extra_is_one_line(tmp_path, monkeypatch, module, model_type, package):
    monkeypatch.setitem(sys.modules, package, None)
    options = dict(model_type=model_type, model="x", data_dir=tmp_path)
    with pytest.raises(SystemExit) as stopped:
        bin_run(lambda: run(module, output_dir=tmp_path, **options))
    message = f"{package} is not installed: pip install 'espnet2_taste[onnx]'"
    assert stopped.value.code == f"error: {message}"
