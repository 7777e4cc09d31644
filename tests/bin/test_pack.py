"""Pack on one path, open on another: the same codes and waveform, bit by bit."""

import os
import shutil
import socket
import zipfile
from pathlib import Path

import pytest
import torch
import yaml
from tiny_system import (
    EVERYTHING,
    TASTE,
    assert_same,
    experiment_outputs,
    make_system,
    packed_outputs,
    save_experiment,
)

from espnet2_taste.bin import pack as pack_command
from espnet2_taste.bin import run
from espnet2_taste.inference import (
    SpeechToTaste,
    TaslmGenerate,
    TasteToSpeech,
    load_part,
)
from espnet2_taste.io.models import read_parts


def test_opens_anywhere_and_computes_the_same(tiny_system, pack, tmp_path, monkeypatch):
    expected = experiment_outputs(tiny_system)
    moved = shutil.move(pack(), tmp_path / "by mail.zip")
    shutil.rmtree(tiny_system)
    (tmp_path / "another user").mkdir()
    monkeypatch.chdir(tmp_path / "another user")
    monkeypatch.setenv("HOME", str(tmp_path / "another user"))
    cache = tmp_path / "a cache with spaces"
    assert_same(packed_outputs(moved, cache_dir=str(cache)), expected)
    unpacked = [path for path in cache.iterdir() if path.is_dir()]
    assert len(unpacked) == 1
    assert_same(packed_outputs("../by mail.zip"), expected)  # of the home folder
    assert (tmp_path / "another user" / ".cache").is_dir()
    folder = shutil.copytree(unpacked[0], tmp_path / "folder")
    shutil.rmtree(cache)
    assert_same(packed_outputs(folder), expected)


def test_espnet_model_zoo_opens_it(tiny_system, pack, tmp_path):
    from espnet_model_zoo.downloader import ModelDownloader

    tokens = packed_outputs(pack())["codes"]
    for _ in range(2):  # the second time from its cache
        zoo = ModelDownloader(cachedir=tmp_path / "zoo")
        files = zoo.download_and_unpack("exp/tiny.zip")
        assert files.keys() == {"train_config", "model_file"}
        wav = torch.randn(8000, generator=torch.Generator().manual_seed(0)) * 0.1
        tokenizer = SpeechToTaste(**files)
        assert torch.equal(tokenizer(wav.numpy(), "set the red lamp").codes, tokens)
    # what it left there is a packed folder
    folder = Path(files["model_file"]).parents[1]
    assert torch.equal(packed_outputs(folder)["codes"], tokens)


def test_nothing_of_the_machine_is_inside(tiny_system, pack, tmp_path):
    file = pack("--language", "en")
    secrets = [str(tiny_system), str(tmp_path), os.environ["HOME"], "node17", "dump/"]
    secrets += [str(Path(__file__).parents[2])]
    secrets += [name for name in (socket.gethostname(),) if len(name) > 5]
    with zipfile.ZipFile(file) as archive:
        names = archive.namelist()
        for name in names:
            content = archive.read(name)
            for secret in secrets:
                assert secret.encode() not in content, (name, secret)
            if name.endswith((".yaml", ".md")):
                assert b"/home" not in content
        config = yaml.safe_load(archive.read("taste/config.yaml"))
        meta = yaml.safe_load(archive.read("meta.yaml"))
    assert {Path(name).name for name in names} == {
        "README.md",
        "meta.yaml",
        "parts.yaml",
        "config.yaml",
        "model.pth",
        "chars.txt",
    }
    assert config["token_model"] == "./chars.txt"
    assert config["optim_conf"] == {"lr": 0.01}
    assert "output_dir" not in config and "init_param" not in config
    assert meta["yaml_files"] == {"train_config": "taste/config.yaml"}


def test_same_input_same_bytes(tiny_system, pack):
    first = pack().read_bytes()
    (tiny_system / "exp" / "taste" / "config.yaml").touch()
    assert pack().read_bytes() == first


def test_tokenizer_on_its_own_and_folders(tiny_system, pack, tmp_path):
    from espnet2_taste.io.models import find_part

    file = pack(parts=["--taste", "exp/taste/valid.acc.best.pth"], output="tok.zip")
    folder = pack(parts=["--taste", "exp/taste"], output="tok")
    assert read_parts(folder) == {"taste": "model"}
    wav = torch.randn(8000) * 0.1
    codes = [
        SpeechToTaste.from_pretrained(p)(wav.numpy(), "a lamp").codes
        for p in (file, folder, "exp/taste")
    ]
    assert torch.equal(codes[0], codes[2]) and torch.equal(codes[1], codes[2])
    assert TasteToSpeech.from_pretrained(file).vocoder is None
    with pytest.raises(ValueError, match=r"tok.zip has no vocoder, only taste"):
        find_part(file, "vocoder")
    with pytest.raises(FileNotFoundError, match="has no taslm, only taste"):
        TaslmGenerate.from_pretrained(file)
    with pytest.raises(FileExistsError, match="tok exists: remove it"):
        pack(parts=["--taste", "exp/taste"], output="tok")


def test_packed_parts_pack_again(tiny_system, pack, tmp_path, monkeypatch):
    whole = pack()
    monkeypatch.chdir(tmp_path)
    parts = [o if o.startswith("--") else str(whole) for o in EVERYTHING]
    again = pack(parts=parts, output="again/tiny.zip")
    with zipfile.ZipFile(whole) as a, zipfile.ZipFile(again) as b:
        for name in a.namelist():
            assert a.read(name) == b.read(name), name


def test_encoder_of_a_recogniser_is_inside(tmp_path, monkeypatch, pack):
    """``asr_model`` may be there or gone: the checkpoint has its weights."""
    encoder = {"output_size": 16, "attention_heads": 2, "linear_units": 16}
    encoder |= {"num_blocks": 1, "input_layer": "conv2d"}
    conf = {"encoder": "transformer", "encoder_conf": encoder, "value_size": 8}
    taste = TASTE | {"encoder": "espnet", "encoder_conf": conf}
    make_system(tmp_path, monkeypatch, taste=taste)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    config = tmp_path / "exp" / "taste" / "config.yaml"
    content = yaml.safe_load(config.read_text())
    content["encoder_conf"]["asr_model"] = "exp/asr/model.pth"
    config.write_text(yaml.safe_dump(content))
    expected = experiment_outputs(tmp_path)
    assert_same(packed_outputs(pack()), expected)


def test_parts_of_different_systems(tiny_system, pack):
    from espnet2_taste.io.model_folder import save_model
    from espnet2_taste.speaker.xvector import XVector
    from espnet2_taste.taste.build import build_taste_model
    from espnet2_taste.units.world_vq import WorldVQ

    best = tiny_system / "exp" / "taste" / "valid.acc.best.pth"
    state = torch.load(best, weights_only=True)
    entry = next(name for name in state if name.endswith("0._codebook.embed"))
    torch.save(state | {entry: state[entry] + 0.1}, best)
    with pytest.raises(ValueError, match="--taslm .* codes of another tokenizer"):
        pack()
    torch.save(state, best)
    conf = {"num_units": 21, "num_ceps": 8, "hidden_size": 16, "code_dim": 8}
    save_model(Path("exp/units21"), WorldVQ(**conf), {"model_conf": conf})
    taste = ["--taste", "exp/taste"]
    with pytest.raises(
        ValueError, match="--units does not fit --taste: 21 units instead of"
    ):
        pack(parts=[*taste, "--units", "exp/units21"])
    conf = {"embed_dim": 9, "hidden_size": 16, "num_mels": 20}
    save_model(Path("exp/speaker9"), XVector(**conf), {"model_conf": conf})
    with pytest.raises(ValueError, match="--speaker does .* 9 dimensions instead of 8"):
        pack(parts=[*taste, "--speaker", "exp/speaker9"])
    more = TASTE | {"num_units": 30}
    save_experiment(Path("exp/more"), more, build_taste_model, "valid.acc.best.pth")
    with pytest.raises(
        ValueError, match="--taste .* --vocoder: 30 units instead of 20"
    ):
        pack(parts=["--taste", "exp/more", "--vocoder", "exp/units"])
    assert not list(Path("exp").glob("tiny.zip*"))


def test_what_is_not_there(tiny_system, pack):
    with pytest.raises(FileNotFoundError, match="exp/nothing does not exist"):
        pack(parts=["--taste", "exp/nothing"])
    with pytest.raises(FileNotFoundError, match="has no .pth file"):
        pack(parts=["--taste", "exp"])
    with pytest.raises(FileNotFoundError, match="gone/config.yaml does not exist"):
        pack("--vocoder", "exp/gone")
    with pytest.raises(FileNotFoundError, match="results.json: run .*score first"):
        pack("--results", "test=exp")
    Path("data/token_list/chars.txt").unlink()
    with pytest.raises(FileNotFoundError, match="list at data/token_list/chars.txt"):
        pack()
    assert not list(Path("exp").glob("tiny.zip*"))


@pytest.mark.parametrize("error", [OSError(28, "No space left"), KeyboardInterrupt()])
def test_interrupted_packing_keeps_the_old_zip(tiny_system, pack, monkeypatch, error):
    file = pack()
    before = file.read_bytes()
    copied = []

    def copy(*args):
        if len(copied) == 3:
            raise error
        copied.append(args)

    monkeypatch.setattr("espnet2_taste.hub.pack.shutil.copyfileobj", copy)
    with pytest.raises(type(error)):
        pack()
    assert file.read_bytes() == before
    assert [p.name for p in file.parent.glob("*tiny*")] == ["tiny.zip"]


def test_what_a_killed_run_left_does_not_matter(tiny_system, pack):
    for name in ("tiny.zip.files", "tiny.zip.files.tmp"):
        (tiny_system / "exp" / name).mkdir()
        (tiny_system / "exp" / name / "half").touch()
    (tiny_system / "exp" / ".tiny.zip.tmp").touch()
    with zipfile.ZipFile(pack()) as archive:
        assert "half" not in archive.namelist()
    assert [p.name for p in Path("exp").glob("*tiny*")] == ["tiny.zip"]


def test_command_ends_in_one_line(tiny_system):
    options = ["--taste", "exp/nothing", "--output", "x.zip"]
    with pytest.raises(SystemExit) as error:
        run(lambda: pack_command.main(options))
    assert str(error.value) == "error: exp/nothing does not exist"


def test_commands_take_the_zip(tiny_system, pack, tmp_path):
    import numpy as np
    import soundfile

    from espnet2_taste.bin import (
        extract_speakers,
        extract_units,
        synthesize,
        taslm_likelihood,
        tokenize,
    )
    from espnet2_taste.io.tables import read_table

    file = str(pack())
    data = tmp_path / "data"
    data.mkdir()
    wav = np.random.default_rng(0).standard_normal(8000) * 0.1
    soundfile.write(data / "a.wav", wav, 16000)
    rows = {"wav.scp": f"{data}/a.wav", "text": "set the red lamp", "utt2spk": "s"}
    for name, row in (rows | {"utt2num_samples": "8000"}).items():
        (data / name).write_text(f"a {row}\n")
    place = ["--data_dir", str(data), "--output_dir"]
    extract_speakers.main([*place, str(data), "--model", file])
    extract_units.main([*place, str(tmp_path / "units"), "--model", file])
    place = ["--model_file", file, *place]
    tokenize.main([*place, str(tmp_path / "codes")])
    taste = ["--taste", str(tmp_path / "codes" / "taste.scp")]
    said = str(tmp_path / "said")
    synthesize.main([*place, said, "--condition", "codes", *taste])
    taslm_likelihood.main([*place, str(tmp_path / "score"), *taste])
    assert set(read_table(tmp_path / "said" / "wav.scp")) == {"a"}
    assert set(read_table(tmp_path / "score" / "score")) == {"a"}
    with pytest.raises(ValueError, match="is no packed model with a taste to load"):
        load_part(file, "taste")
