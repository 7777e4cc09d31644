"""Parts of one file each, chosen by dotted path: 24 kHz speech, 25 Hz units."""

import json

import kaldiio
import numpy as np
import pytest
import soundfile
import yaml
from toy_units import ToyUnits
from toy_vocoder import ToyVocoder

from espnet2_taste.bin.extract_units import main as extract_units
from espnet2_taste.bin.format_wav import main as format_wav
from espnet2_taste.bin.pack import main as pack
from espnet2_taste.bin.synthesize import main as synthesize
from espnet2_taste.inference import SpeechToTaste, TasteToSpeech
from espnet2_taste.units import load_unit_extractor
from espnet2_taste.units.unit_spec import UnitSpec
from espnet2_taste.vocoder import load_vocoder

SPEC = UnitSpec(20, 25.0, 24000)
UNITS = ["--model_type", "toy_units.ToyUnits"]
VOCODER = ["--vocoder_type", "toy_vocoder.ToyVocoder"]
#: a vocoder's file that the model does not fit, and what is said of it
OTHERS = {
    "num_units": ({"num_units": 21}, 8, "20 units instead of 21"),
    "unit_rate": ({"unit_rate": 50.0}, 8, "25 units a second instead of 50"),
    "sample_rate": (
        {"sample_rate": 22050},
        8,
        "units of 24000 Hz speech instead of 22050 Hz",
    ),
    "spk_embed_dim": ({}, 9, "embeddings of 8 dimensions instead of 9"),
}


def write_vocoder(path, spk_embed_dim=8, **other):
    conf = {"unit_spec": vars(SPEC) | other, "spk_embed_dim": spk_embed_dim}
    path.write_text(json.dumps(conf))
    return str(path)


@pytest.fixture(scope="module")
def toy(tiny_data, tiny_taste_conf, tmp_path_factory):
    """24 kHz recordings through stages 2, 3 and 5."""
    from espnet2_taste.bin.taste_train import main as train

    root = tmp_path_factory.mktemp("toy")
    rng = np.random.default_rng(0)
    (root / "data").mkdir()
    texts = {f"{speaker}/{i}": "a lamp" for speaker in "ab" for i in range(2)}
    tables = {"text": texts, "utt2spk": {key: key[0] for key in texts}, "wav.scp": {}}
    for i, key in enumerate(texts):
        tables["wav.scp"][key] = root / f"{i}.wav"
        wav = rng.uniform(-1, 1, 24000) * np.repeat(rng.uniform(0, 1, 25), 960)
        soundfile.write(root / f"{i}.wav", wav, 24000)
    for name, table in tables.items():
        lines = "".join(f"{key} {value}\n" for key, value in table.items())
        (root / "data" / name).write_text(lines)
    dump = root / "dump"
    format_wav([f"{root}/data", f"{dump}", "--audio_format", "flac"])
    (root / "toy.json").write_text('{"num_units": 18}')
    options = ["--model", f"{root}/toy.json", "--units_conf", "louder=2"]
    extract_units(
        [*UNITS, *options, "--data_dir", f"{dump}", "--output_dir", f"{dump}"]
    )
    speakers = {key: rng.standard_normal(8).astype(np.float32) for key in texts}
    durations = {key: np.array([12, 13], np.int32) for key in texts}
    for name, arks in (("spk_emb", speakers), ("durations", durations)):
        kaldiio.save_ark(f"{dump}/{name}.ark", arks, scp=f"{dump}/{name}.scp")
    conf = {k: v for k, v in tiny_taste_conf.items() if k != "num_units"}
    conf |= {"model_conf": {}, "max_epoch": 1}
    (root / "train.yaml").write_text(yaml.safe_dump(conf))
    cmd = ["--config", f"{root}/train.yaml", "--output_dir", f"{root}/exp"]
    for part in ("train", "valid"):
        for spec in (
            "wav.scp,speech,sound",
            "text,text,text",
            "units.scp,units,kaldi_ark",
            "spk_emb.scp,spk_emb,kaldi_ark",
            "durations.scp,durations,kaldi_ark",
        ):
            cmd += [f"--{part}_data_path_and_name_and_type", f"{dump}/{spec}"]
        cmd += [f"--{part}_shape_file", f"{dump}/utt2num_samples"]
    train(cmd)
    write_vocoder(root / "vocoder.json")
    return root


def test_from_24_khz_speech_to_24_khz_speech(toy):
    dump, out = toy / "dump", toy / "said"
    assert UnitSpec.beside(dump / "units.scp") == SPEC
    units = kaldiio.load_scp(str(dump / "units.scp"))
    assert {len(row) for row in units.values()} == {25}
    config = yaml.safe_load((toy / "exp" / "config.yaml").read_text())
    assert config["unit_spec"] == vars(SPEC) and config["num_units"] == 20
    tokens = SpeechToTaste.from_pretrained(toy / "exp")
    assert tokens.sample_rate == 16000 and tokens.unit_spec == SPEC
    common = ["--data_dir", f"{dump}", "--vocoder", f"{toy}/vocoder.json", *VOCODER]
    common += ["--vocoder_conf", "gain=0.25"]
    model = ["--model_file", f"{toy}/exp", "--condition", "speech"]
    synthesize([*common, *model, "--output_dir", f"{out}"])
    assert UnitSpec.beside(out / "units.scp") == SPEC
    synthesize([*common, "--condition", "units", "--output_dir", f"{out}/copy"])
    for folder, made in (
        (out, kaldiio.load_scp(f"{out}/units.scp")),
        (out / "copy", units),
    ):
        for line in (folder / "wav.scp").read_text().splitlines():
            key, path = line.split()
            wav, rate = soundfile.read(path)
            assert rate == 24000 and len(wav) == 960 * len(made[key])
            assert np.abs(wav).max() <= 0.26
    assert (out / "wav" / "a%2F0.wav").is_file()


def test_the_frontend_gets_16_khz(toy):
    """What the model is trained on is what inference reads, at the frontend's rate."""
    from argparse import Namespace

    from espnet2_taste.io.audio import read_audio
    from espnet2_taste.io.tables import read_table
    from espnet2_taste.tasks.speech_rate import at_rate

    scp = toy / "dump" / "wav.scp"
    args = Namespace(valid_data_path_and_name_and_type=[(str(scp), "speech", "sound")])
    seen = at_rate(lambda uid, data: data, 16000, args, train=False)
    for key, entry in read_table(scp).items():
        stored, _ = soundfile.read(entry, dtype="float32")
        speech = seen(key, {"speech": stored})["speech"]
        assert np.array_equal(speech, read_audio(entry, key, 16000))
    untouched = at_rate(len, 24000, args, train=False)
    assert untouched is len  # nothing changes where the rates are equal


@pytest.mark.parametrize("condition", ["speech", "units"])
@pytest.mark.parametrize("other", OTHERS)
def test_synthesis_refuses(toy, tmp_path, other, condition):
    spec, width, words = OTHERS[other]
    vocoder = write_vocoder(tmp_path / "toy.json", width, **spec)
    cmd = ["--data_dir", f"{toy}/dump", "--output_dir", f"{tmp_path}/out", *VOCODER]
    cmd += ["--vocoder", vocoder, "--condition", condition]
    cmd += ["--model_file", f"{toy}/exp"] if condition == "speech" else []
    with pytest.raises(ValueError, match=f"does not fit the vocoder: .*{words}"):
        synthesize(cmd)
    assert not (tmp_path / "out" / "wav").exists()


@pytest.mark.parametrize("other", OTHERS)
def test_packing_refuses(toy, tmp_path, other):
    spec, width, words = OTHERS[other]
    vocoder = write_vocoder(tmp_path / "toy.json", width, **spec)
    cmd = ["--taste", f"{toy}/exp", "--output", f"{tmp_path}/packed.zip", *VOCODER]
    with pytest.raises(ValueError, match=f"--taste does not fit --vocoder: .*{words}"):
        pack([*cmd, "--vocoder", vocoder])


def test_python_refuses(toy, tmp_path):
    vocoder = load_vocoder(
        "toy_vocoder.ToyVocoder", write_vocoder(tmp_path / "v", unit_rate=50.0)
    )
    with pytest.raises(ValueError, match="25 units a second instead of 50"):
        TasteToSpeech.from_pretrained(toy / "exp", vocoder=vocoder)


def test_dotted_paths(toy):
    extractor = load_unit_extractor("toy_units.ToyUnits", toy / "toy.json", louder=2)
    assert isinstance(extractor, ToyUnits) and extractor.spec == SPEC
    vocoder = load_vocoder("toy_vocoder.ToyVocoder", toy / "vocoder.json")
    assert isinstance(vocoder, ToyVocoder)
    with pytest.raises(ValueError, match="toy_units.Gone is no unit extractor"):
        load_unit_extractor("toy_units.Gone", "x")
    with pytest.raises(ValueError, match="gone is no vocoder; choose from world_vq"):
        load_vocoder("gone", "x")
    with pytest.raises(ValueError, match="ToyUnits has no option quiet, but device, l"):
        load_unit_extractor("toy_units.ToyUnits", toy / "toy.json", quiet=1)
