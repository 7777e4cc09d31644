"""How a training is started: what may change when it is resumed, what recipes give."""

from argparse import Namespace

import pytest
import yaml

from espnet2_taste.tasks.taste import TasteTask
from espnet2_taste.tasks.train import parse, refuse_another, train

CONF = {"quantizer": "rvq", "quantizer_conf": {"num_codebooks": 2}, "max_epoch": 1}


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Starts a training whose work is to leave a checkpoint; returns its options."""

    def main(args):
        (tmp_path / "exp/checkpoint.pth").touch()
        started.append(args)

    started: list[Namespace] = []
    monkeypatch.setattr(TasteTask, "main", lambda args: main(args))

    def start(conf=CONF, *options):
        path = tmp_path / "train.yaml"
        path.write_text("# a comment\n" + yaml.safe_dump(conf))
        words = ["--config", str(path), "--output_dir", str(tmp_path / "exp")]
        train(TasteTask, [*words, "--resume", "true", *options])
        return started[-1]

    return start


@pytest.mark.parametrize(
    "conf, options",
    [
        (CONF | {"max_epoch": 5}, []),
        (CONF | {"num_workers": 7, "keep_nbest_models": 3, "compile": True}, []),
        (CONF, ["--log_interval", "10", "--ngpu", "1", "--dist_world_size", "2"]),
        (CONF | {"quantizer_conf": {"num_codebooks": 2}}, ["--use_wandb", "true"]),
    ],
)
def test_resumed_with_what_means_no_other_model(start, conf, options):
    start()
    start(conf, *options)


@pytest.mark.parametrize(
    "conf, options, message",
    [
        (
            CONF | {"quantizer_conf": {"num_codebooks": 3}},
            [],
            r"trained with quantizer_conf.num_codebooks 2, not with 3: .*--tag new.*"
            "--overwrite true",
        ),
        (CONF, ["--seed", "7"], "trained with seed 0, not with 7"),
        (
            CONF | {"quantizer": "none"},
            ["--train_data_path_and_name_and_type", "a,text,text"],
            r"trained with quantizer rvq, not with None \(and 1 more\)",
        ),
        (CONF | {"batch_size": 3}, [], "batch_size 20, not with 3"),
    ],
)
def test_another_model_is_not_trained_over_this_one(start, conf, options, message):
    start()
    with pytest.raises(ValueError, match=message):
        start(conf, *options)
    start()  # as before


def test_killed_before_its_first_epoch_ended(start, tmp_path):
    start()
    (tmp_path / "exp/checkpoint.pth").unlink()
    start(CONF | {"quantizer": "none"})


def test_what_recipes_give_is_used_where_it_belongs(start):
    given = [
        "--bpe_model",
        "bpe.model",
        "--asr_config",
        "a.yaml",
        "--asr_model",
        "a.pth",
    ]
    args = start({"token_type": "bpe", "encoder": "espnet"}, *given)
    assert args.token_model == "bpe.model"
    assert args.encoder_conf == {"asr_config": "a.yaml", "asr_model": "a.pth"}
    assert "bpe_model" not in args and "asr_config" not in args


@pytest.mark.parametrize("kind, model", [("whisper", None), ("bpe", "own.model")])
def test_what_recipes_give_is_ignored_elsewhere(start, kind, model):
    conf = {"token_type": kind, "token_model": model, "encoder": "whisper"}
    given = [
        "--bpe_model",
        "bpe.model",
        "--asr_config",
        "a.yaml",
        "--asr_model",
        "a.pth",
    ]
    args = start(conf, *given)
    assert (args.token_model, args.encoder_conf) == (model, {})


def test_configuration_with_a_base(tmp_path):
    (tmp_path / "base.yaml").write_text("max_epoch: 3\nquantizer: none\n")
    path = tmp_path / "train.yaml"
    path.write_text("base: base.yaml\nquantizer: rvq\n")
    args = parse(TasteTask.get_parser(), ["--config", str(path), "--max_epoch", "4"])
    assert (args.max_epoch, args.quantizer, args.config) == (4, "rvq", str(path))
    path.write_text("base: base.yaml\nquantiser: rvq\n")
    with pytest.raises(SystemExit):
        parse(TasteTask.get_parser(), ["--config", str(path)])


def test_refused_before_anything_is_written(tmp_path):
    refuse_another(tmp_path / "exp", Namespace(a=1))
    (tmp_path / "exp/checkpoint.pth").touch()
    with pytest.raises(ValueError, match="trained with a 1, not with 2"):
        refuse_another(tmp_path / "exp", Namespace(a=2))
    refuse_another(tmp_path / "exp", Namespace(a=1))
