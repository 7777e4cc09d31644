import pytest
import torch

from espnet2_taste.io.checkpoint import (
    build_model_from_file,
    describe_mismatch,
    load_state,
)


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
