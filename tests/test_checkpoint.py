import pytest
import torch
import yaml

from espnet2_taste.checkpoint import describe_mismatch, load_state, read_arguments


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
