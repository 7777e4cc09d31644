"""Configurations: read, and with a base."""

import pytest
import yaml

from espnet2_taste.bin import config as command
from espnet2_taste.io.config import (
    read_arguments,
    read_training_config,
    read_yaml,
)


def test_paths_beside_the_configuration(tmp_path, monkeypatch):
    (tmp_path / "exp" / "tokenizer").mkdir(parents=True)
    config = tmp_path / "exp" / "config.yaml"
    values = {
        "token_model": "./tokenizer",
        "lm_conf": {"model": "./absent", "config": {"name": "tokenizer"}},
        "files": ["./config.yaml", "data/bpe.model"],
    }
    config.write_text(yaml.safe_dump(values))
    monkeypatch.chdir(tmp_path)
    args = read_arguments("exp/config.yaml")
    monkeypatch.chdir("/")
    assert args.token_model == str(tmp_path / "exp" / "tokenizer")
    assert args.lm_conf == values["lm_conf"]
    assert args.files == [str(config), "data/bpe.model"]
    with pytest.raises(FileNotFoundError, match="no training configuration at"):
        read_arguments(tmp_path / "config.yaml")


@pytest.mark.parametrize(
    "content,message",
    [
        ("a: [", r"x.yaml is not YAML \(while parsing .*x.yaml\", line 1"),
        ("- a", "x.yaml holds no options"),
    ],
)
def test_files_that_hold_no_options(tmp_path, content, message):
    (tmp_path / "x.yaml").write_text(content)
    with pytest.raises(ValueError, match=message):
        read_yaml(tmp_path / "x.yaml")
    (tmp_path / "x.yaml").write_text("# all commented out")
    assert read_yaml(tmp_path / "x.yaml") == {}


@pytest.fixture
def write(tmp_path):
    def write(name, **conf):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(yaml.safe_dump(conf))
        return path

    return write


def test_entries_are_merged_and_other_parts_replaced(write):
    write("a.yaml", lr=1, optim="adam", optim_conf={"lr": 1, "eps": 2}, sizes=[1, 2])
    write("sub/b.yaml", base="../a.yaml", optim_conf={"lr": 3}, sizes=[4])
    last = write("c.yaml", base="sub/b.yaml", optim="sgd", optim_conf={"lr": 5})
    assert read_training_config(last) == {
        "lr": 1,
        "optim": "sgd",
        "optim_conf": {"lr": 5},  # another optimiser: nothing of the other's is left
        "sizes": [4],
    }
    middle = read_training_config(last.parent / "sub/b.yaml")
    assert middle["optim_conf"] == {"lr": 3, "eps": 2}


def test_of_two_bases_the_later_one_wins(write):
    write("a.yaml", decoder="slow", decoder_conf={"size": 1}, optim_conf={"lr": 1})
    write("b.yaml", decoder="fast", decoder_conf={"steps": 2}, optim_conf={"eps": 3})
    assert read_training_config(write("c.yaml", base=["a.yaml", "b.yaml"])) == {
        "decoder": "fast",
        "decoder_conf": {"steps": 2},
        "optim_conf": {"lr": 1, "eps": 3},
    }


@pytest.mark.parametrize(
    "base, error, message",
    [
        ("b.yaml", ValueError, "a.yaml is its own base, by way of .*b.yaml"),
        ("no.yaml", FileNotFoundError, "no file .*no.yaml, the base of .*a.yaml"),
        ("list.yaml", ValueError, "list.yaml holds no options"),
        (["b.yaml"], ValueError, "a.yaml is its own base, by way of .*b.yaml"),
        (3, ValueError, "a.yaml: base takes a file or a list of files"),
    ],
)
def test_bad_bases(write, base, error, message):
    path = write("a.yaml", base=base)
    write("b.yaml", base="a.yaml")
    (path.parent / "list.yaml").write_text("- 1\n")
    with pytest.raises(error, match=message):
        read_training_config(path)


def test_command(write, capsys):
    write("a.yaml", frontend="mel", max_epoch=1)
    path = write("b.yaml", base="a.yaml", max_epoch=2)
    command.main([str(path)])
    assert yaml.safe_load(capsys.readouterr().out) == {
        "frontend": "mel",
        "max_epoch": 2,
    }
    digests = []
    for options in ({}, {"max_epoch": 3}, {"frontend": "other"}):
        path = write("b.yaml", base="a.yaml", **options)
        command.main([str(path), "--digest", "frontend", "frontend_conf"])
        digests.append(capsys.readouterr().out)
    assert digests[0] == digests[1] != digests[2]
