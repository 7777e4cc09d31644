import os
import pickle

import pytest
import torch
import yaml

from espnet2_taste.bin.taste_train import main
from espnet2_taste.io.checkpoint import build_model_from_file, load_state
from espnet2_taste.taste.build import build_taste_model
from espnet2_taste.units.unit_spec import UnitSpec


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def test_training_writes_a_model_that_loads_strictly(tiny_taste):
    model, args = build_model_from_file(
        build_taste_model, None, tiny_taste / "valid.acc.best.pth"
    )
    assert not model.training
    assert same(model.state_dict(), load_state(tiny_taste / "valid.acc.best.pth"))
    assert args.quantizer == "rvq"


def test_missing_data_is_named_before_training(tiny_taste):
    from espnet2_taste.tasks.taste import check_required_data

    model, args = build_model_from_file(
        build_taste_model, None, tiny_taste / "valid.acc.best.pth"
    )
    check_required_data(args, model)
    data = args.valid_data_path_and_name_and_type
    assert ("prosody",) in model.required_data()
    model.text_only = True
    assert ("prosody",) not in model.required_data()
    model.speech_decoder.requires_prosody = True
    assert ("prosody",) in model.required_data()
    data[:] = [row for row in data if row[1] != "durations"]
    with pytest.raises(ValueError, match="needs durations: add it to --valid_data_"):
        check_required_data(args, model)


def test_resumed_training_equals_uninterrupted(train_taste, tiny_taste, tmp_path):
    train_taste(tmp_path, None, "--max_epoch", "1")
    train_taste(tmp_path, None, "--resume", "true")
    assert same(
        load_state(tiny_taste / "2epoch.pth"), load_state(tmp_path / "2epoch.pth")
    )


def test_tables_in_parts(taste_options, tiny_data, tmp_path):
    """--num_splits of the recipe: only the first part of a table is looked into."""
    from espnet2.bin.split_scps import main as split_scps

    names = ["wav.scp", "text", "units.scp", "spk_emb.scp", "durations.scp"]
    names += ["prosody.scp", "utt2num_samples"]
    scps = [str(tiny_data / name) for name in names]
    parts = tmp_path / "parts"
    split_scps(["--num_splits", "2", "--output_dir", str(parts), "--scps", *scps])
    options = taste_options(tmp_path / "exp", {"max_epoch": 1})
    options += ["--multiple_iterator", "true"]
    for i, word in enumerate(options):
        if word.startswith("--train_") and word.endswith(("_type", "_file")):
            options[i + 1] = options[i + 1].replace(str(tiny_data), str(parts))
    main(options)
    state = load_state(tmp_path / "exp/1epoch.pth")
    assert all(torch.isfinite(value).all() for value in state.values())
    (parts / "unit_spec.yaml").write_text(UnitSpec(7).text())
    with pytest.raises(ValueError, match="units instead of"):
        main([*options, "--output_dir", str(tmp_path / "other")])


def test_sub_stages_initialise_each_other(train_taste, tiny_taste_conf, tmp_path):
    """text only -> without quantiser -> with quantiser (paper sec. 2.1.4)."""
    decoder = {"prosody_weight": 0.3, "audio_dropout": 0.2, "guidance": 0.5}
    decoder = {"speech_decoder_conf": tiny_taste_conf["speech_decoder_conf"] | decoder}
    none = {"quantizer": "none", "quantizer_conf": {"codebook_dim": 4, "noise": 0.1}}
    none |= decoder
    model_conf = {"text_only": True, "prosody_weight": 0.5}
    first = train_taste(
        tmp_path / "text_only",
        {**none, "model_conf": model_conf, "max_epoch": 1},
    )
    second = train_taste(
        tmp_path / "no_vq",
        {**none, "max_epoch": 1, "optim_conf": {"lr": 0.0}},
        "--init_param",
        str(first / "valid.acc.best.pth"),
    )
    third = train_taste(
        tmp_path / "rvq",
        {**decoder, "max_epoch": 1, "optim_conf": {"lr": 0.0}},
        "--init_param",
        str(second / "valid.acc.best.pth"),
    )
    before, after = (load_state(d / "1epoch.pth") for d in (first, third))
    assert torch.equal(
        before["speech_decoder.head.weight"], after["speech_decoder.head.weight"]
    )
    hint = "speech_decoder.prosody_hint.proj.weight"  # text alone teaches it, too
    assert torch.equal(before[hint], after[hint])
    assert torch.equal(
        before["quantizer.project_in.weight"], after["quantizer.project_in.weight"]
    )


def test_the_two_stages_of_taste_s(train_taste, tmp_path):
    """The CTC head alone; then everything, on what it hears, also after a break."""
    ctc = {"prosody_weight": 0.5, "guidance_weight": 0.1, "ctc_weight": 1.0}
    ctc["ctc_conf"] = {
        "encoder": "transformer",
        "encoder_conf": {"output_size": 8, "linear_units": 8, "num_blocks": 1},
        "inner_layer": 1,
    }
    first = train_taste(
        tmp_path / "stage_1",
        {
            "model_conf": ctc | {"ctc_only": True},
            "max_epoch": 1,
            "best_model_criterion": [["valid", "loss", "min"]],
        },
    )
    trained = load_state(first / "1epoch.pth")
    options = ({"model_conf": ctc | {"predicted_text": True}},)
    options += ("--init_param", str(first / "1epoch.pth"))
    second = train_taste(tmp_path / "stage_2", *options)
    state = torch.load(second / "checkpoint.pth", weights_only=True)
    stats = state["reporter"]["stats"][2]["train"]
    assert stats["heard"] > 0.9 and {"ctc", "ctc_inner", "commit"} <= stats.keys()
    parts = [*options, "--resume", "true", "--max_epoch"]
    for epochs in ("1", "2"):
        train_taste(tmp_path / "resumed", *parts, epochs)
    states = [load_state(second / f"{n}epoch.pth") for n in (1, 2)]
    assert same(states[1], load_state(tmp_path / "resumed" / "2epoch.pth"))
    moved = {k for k in trained if not torch.equal(trained[k], states[0][k])}
    assert {"ctc.head.weight", "ctc.inner.bias", "speech_decoder.head.weight"} <= moved


@pytest.mark.parametrize("option", ["ctc_only", "predicted_text"])
def test_a_ctc_head_that_is_not_there(train_taste, tmp_path, option):
    with pytest.raises(ValueError, match=f"{option} is of a model with ctc_weight"):
        train_taste(tmp_path, {"model_conf": {option: True}})


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("decoderr:speech_decoder", "no key of the file"),
        ("speech_decoder:decoderr", "no 'decoderr'"),
    ],
)
def test_init_param_that_would_do_nothing(
    train_taste, tiny_taste, tmp_path, option, message
):
    with pytest.raises(ValueError, match=message):
        train_taste(tmp_path, None, "--init_param", f"{tiny_taste}/1epoch.pth:{option}")


def test_freeze_param_that_would_do_nothing(train_taste, tmp_path):
    with pytest.raises(ValueError, match="--freeze_param encodr matches no parameter"):
        train_taste(tmp_path, None, "--freeze_param", "encodr")


def test_checkpoint_of_another_size_is_refused(tiny_taste, tmp_path):
    config = yaml.safe_load((tiny_taste / "config.yaml").read_text())
    config["speech_decoder_conf"]["size"] = 32
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(RuntimeError, match="does not fit .*other shape"):
        build_model_from_file(
            build_taste_model, tmp_path / "config.yaml", tiny_taste / "1epoch.pth"
        )


class Evil:
    def __reduce__(self):
        return os.system, ("touch hacked",)


@pytest.mark.parametrize("use", ["load", "init"])
def test_a_tampered_checkpoint_runs_no_code(
    tiny_taste, train_taste, tmp_path, monkeypatch, use
):
    monkeypatch.chdir(tmp_path)
    with open("evil.pth", "wb") as f:
        pickle.dump({"speech_decoder.head.weight": Evil()}, f)
    with pytest.raises(RuntimeError, match="evil.pth is not a plain checkpoint"):
        if use == "load":
            build_model_from_file(
                build_taste_model, tiny_taste / "config.yaml", "evil.pth"
            )
        else:
            train_taste(tmp_path / "exp", None, "--init_param", "evil.pth")
    assert not os.path.exists("hacked")
