import logging

import pytest
import torch
import yaml
from encoder_checks import (
    check_batch_is_single,
    check_frozen,
    feats,
    several_values_are_single_values,
)
from espnet2.asr.encoder.transformer_encoder import TransformerEncoder

from espnet2_taste.asr.espnet_asr import build_encoder
from espnet2_taste.taste.tokenizer.espnet_encoder import EspnetEncoder
from espnet2_taste.taste.tokenizer.feature_conv import FeatureConv

TRANSFORMER = {
    "output_size": 16,
    "attention_heads": 2,
    "linear_units": 16,
    "num_blocks": 2,
    "input_layer": "conv1d2",
}


@pytest.fixture(scope="module")
def asr(tmp_path_factory):
    """An ESPnet ASR experiment: config.yaml and weights."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("asr")
    encoder = TransformerEncoder(input_size=8, **TRANSFORMER)
    state = {f"encoder.{k}": v for k, v in encoder.state_dict().items()}
    state |= {"normalize.mean": torch.arange(8.0), "normalize.std": torch.ones(8) * 2}
    state |= {"ctc.ctc_lo.weight": torch.zeros(3, 16), "frontend.x": torch.zeros(1)}
    torch.save(state, folder / "model.pth")
    config = {
        "input_size": None,
        "frontend": "default",
        "frontend_conf": {"n_mels": 8, "hop_length": 160},
        "encoder": "transformer",
        "encoder_conf": TRANSFORMER,
        "normalize": "global_mvn",
        "normalize_conf": {"stats_file": "gone.npz"},
        "preencoder": None,
        "postencoder": None,
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    paths = {
        "asr_config": str(folder / "config.yaml"),
        "asr_model": str(folder / "model.pth"),
    }
    return paths, encoder.eval(), config


@pytest.mark.parametrize("name", ["transformer", "e_branchformer"])
def test_espnet_several_value_sources(name):
    conf = dict(TRANSFORMER)
    if name != "transformer":
        conf |= {"input_layer": "conv2d", "rel_pos_type": "latest"}
    several_values_are_single_values(
        lambda sources: EspnetEncoder(
            8, encoder=name, encoder_conf=conf, value_source=sources, value_size=16
        ),
        ["features", 2, 0, 1],
    )


@pytest.mark.parametrize("value_source", ["features", 0, 1, 2])
@pytest.mark.parametrize("name", ["transformer", "conformer", "e_branchformer"])
def test_espnet_batch_is_single(name, value_source):
    conf = dict(TRANSFORMER)
    if name != "transformer":
        conf |= {"input_layer": "conv2d", "rel_pos_type": "latest"}
    encoder = EspnetEncoder(
        10,
        encoder=name,
        encoder_conf=conf,
        asr_input_size=8,
        normalize="utterance_mvn",
        value_source=value_source,
        value_size=6,
    ).eval()
    batch = check_batch_is_single(encoder, *feats(10))
    assert encoder.value_size == (6 if value_source == "features" else 16)
    assert batch.values.requires_grad == (value_source == "features")


def test_espnet_model_is_taken_over(asr):
    paths, reference, _ = asr
    encoder = EspnetEncoder(10, **paths, value_source=2)
    x, lengths = feats(10, (31,))
    out = encoder.train()(x.clone(), lengths)
    with torch.no_grad():
        want, _, _ = reference((x[..., :8] - torch.arange(8.0)) / 2, lengths)
    torch.testing.assert_close(out.keys, want)
    torch.testing.assert_close(encoder.encoder.after_norm(out.values), want)
    check_frozen(encoder, [encoder.encoder, encoder.normalize])


def test_espnet_inputs_stay_as_they_are(asr):
    x, lengths = feats(8)
    before = x.clone()
    EspnetEncoder(8, **asr[0])(x, lengths)
    assert torch.equal(x, before)


def test_espnet_value_conv_is_trained_and_hears_all_features(asr):
    encoder = EspnetEncoder(10, **asr[0], value_size=6)
    check_frozen(encoder, [encoder.encoder, encoder.normalize])
    x, lengths = feats(10)
    out = encoder(x, lengths)
    assert not out.keys.requires_grad
    out.values.sum().backward()
    assert all(p.grad is not None for p in encoder.value_conv.parameters())
    x[..., 8:] += 1.0
    other = encoder(x, lengths)
    torch.testing.assert_close(other.keys, out.keys)
    assert not torch.allclose(other.values, out.values)
    thawed = EspnetEncoder(10, **asr[0], frozen=False)
    thawed.train()(x, lengths).keys.sum().backward()
    assert thawed.encoder.after_norm.weight.grad is not None


def test_resolved_conf_needs_no_asr_folder(asr, caplog):
    paths, _, config = asr
    conf = {**paths, "value_source": 1}
    resolved = EspnetEncoder.resolve_conf(conf)
    assert set(conf) == {"asr_config", "asr_model", "value_source"}
    assert "asr_config" not in resolved and "stats_file" not in str(resolved)
    assert resolved["encoder_conf"] == TRANSFORMER
    assert resolved["asr_input_size"] == 8 and resolved["value_source"] == 1
    assert EspnetEncoder.resolve_conf(resolved) == resolved
    assert yaml.safe_load(yaml.safe_dump(resolved)) == resolved
    trained = EspnetEncoder(10, **resolved)
    resolved["asr_model"] = "/nowhere/model.pth"
    with caplog.at_level(logging.WARNING):
        rebuilt = EspnetEncoder(10, **resolved)
    assert "must come from the TASTE checkpoint" in caplog.text
    rebuilt.load_state_dict(trained.state_dict())
    x, lengths = feats(10)
    assert torch.equal(rebuilt(x, lengths).keys, trained(x, lengths).keys)


def test_checkpoint_keys(asr):
    paths, reference, _ = asr
    keys = set(EspnetEncoder(8, **paths, value_source=1).state_dict())
    want = {f"encoder.{k}" for k in reference.state_dict()}
    assert keys == want | {"normalize.mean", "normalize.std"}


def test_espnet_bad_files(asr, tmp_path):
    paths, _, config = asr
    with pytest.raises(FileNotFoundError, match="no asr_config file nowhere"):
        EspnetEncoder(8, asr_config="nowhere")
    with pytest.raises(FileNotFoundError, match="no asr_model file nowhere"):
        EspnetEncoder(8, **(paths | {"asr_model": "nowhere"}))
    with pytest.raises(ValueError, match="use the frontend_conf the recogniser had"):
        EspnetEncoder(6, **paths)

    def write(**changes):
        path = tmp_path / "config.yaml"
        path.write_text(yaml.safe_dump(config | changes))
        return {"asr_config": str(path), "asr_model": paths["asr_model"]}

    with pytest.raises(ValueError, match="has a preencoder"):
        EspnetEncoder(8, **write(preencoder="sinc"))
    with pytest.raises(ValueError, match="uses frontend 's3prl'"):
        EspnetEncoder(8, **write(frontend="s3prl"))
    with pytest.raises(RuntimeError, match=r"does not fit asr_config: missing"):
        EspnetEncoder(8, **write(encoder_conf=TRANSFORMER | {"num_blocks": 3}))
    with pytest.raises(RuntimeError, match="other shape"):
        EspnetEncoder(8, **write(encoder_conf=TRANSFORMER | {"linear_units": 8}))
    with pytest.raises(RuntimeError, match="unexpected"):
        EspnetEncoder(
            8, **write(normalize=None, encoder_conf=TRANSFORMER | {"num_blocks": 1})
        )
    (tmp_path / "other.yaml").write_text("lm: a model")
    with pytest.raises(ValueError, match="not the config.yaml of an ESPnet ASR"):
        EspnetEncoder(8, asr_config=str(tmp_path / "other.yaml"))
    torch.save({"model": torch.nn.Linear(1, 1)}, tmp_path / "code.pth")
    with pytest.raises(RuntimeError, match="not a plain checkpoint"):
        EspnetEncoder(8, **(paths | {"asr_model": str(tmp_path / "code.pth")}))


def test_espnet_bad_arguments():
    conf = {"encoder_conf": TRANSFORMER}
    with pytest.raises(ValueError, match=r"value_source 3 is outside 0\.\.2"):
        EspnetEncoder(8, value_source=3, **conf)
    with pytest.raises(ValueError, match="'features', a layer index or a list"):
        EspnetEncoder(8, value_source="last", **conf)
    with pytest.raises(ValueError, match="must name one or more, each once"):
        EspnetEncoder(8, value_source=[0, 0], **conf)
    with pytest.raises(ValueError, match="value_size 16, not 6"):
        EspnetEncoder(8, value_source=["features", 0], value_size=6, **conf)
    with pytest.raises(ValueError, match="has no layers to tap"):
        EspnetEncoder(8, encoder="rnn", encoder_conf={"num_layers": 1}, value_source=1)
    with pytest.raises(ValueError, match="global_mvn, utterance_mvn or null"):
        EspnetEncoder(8, normalize="batch", **conf)
    with pytest.raises(ValueError, match="interctc_use_conditioning"):
        build_encoder("transformer", 8, {"interctc_use_conditioning": True})


def test_feature_conv_keeps_time():
    """An impulse lands at the same relative time at the encoder's rate."""
    conv = FeatureConv(1, 4)
    x = torch.zeros(1, 40, 1)
    base = conv(x, torch.tensor([40]), 10, torch.tensor([10]))
    x[0, 22] = 10.0
    changed = conv(x, torch.tensor([40]), 10, torch.tensor([10]))
    moved = (changed - base).abs().sum(dim=-1)[0]
    assert moved.argmax().item() in (4, 5, 6)
    assert (moved[:3] < 1e-6).all() and (moved[8:] < 1e-6).all()
