import pytest
import torch
import yaml

from espnet2_taste.io.checkpoint import (
    build_model_from_file,
    describe_mismatch,
    load_state,
    read_arguments,
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


def test_configuration_of_another_kind_of_model(tmp_path):
    torch.save({}, tmp_path / "model.pth")
    (tmp_path / "config.yaml").write_text("lm: hf_causal")
    with pytest.raises(ValueError, match="config.yaml has no frontend: it is of anot"):
        build_model_from_file(lambda args: args.frontend, None, tmp_path / "model.pth")
    with pytest.raises(AttributeError, match="'int' object"):  # a fault of ours
        build_model_from_file(lambda _: (1).frontend, None, tmp_path / "model.pth")


def test_all_kinds_of_mismatch_at_once():
    wanted = {name: torch.Size([2]) for name in "abcdef"}
    given = {"a": torch.Size([2]), "b": torch.Size([3]), "z": torch.Size([1])}
    assert describe_mismatch(wanted, wanted) == ""
    assert describe_mismatch(wanted, given, limit=3) == (
        "missing (4): c, d, e, ...; unexpected (1): z; "
        "other shape (1): b [3] instead of [2]"
    )


def test_old_and_new_files_are_read(tmp_path):
    state = {"weight": torch.arange(4.0)}
    for new in (True, False):
        torch.save(state, tmp_path / "x.pth", _use_new_zipfile_serialization=new)
        assert torch.equal(load_state(tmp_path / "x.pth")["weight"], state["weight"])


def test_files_that_would_run_code(tmp_path):
    torch.save({"weight": pytest.raises}, tmp_path / "x.pth")
    with pytest.raises(RuntimeError, match="x.pth is not a plain checkpoint"):
        load_state(tmp_path / "x.pth")
