import pytest
import yaml

from espnet2_taste.ablation.plan import override, plan_systems, read_ablation

CONFS = {
    name: {
        "text_only": name.startswith("text_only"),
        "quantizer": "rvq" if name == "rvq" else None,
        "encoder_conf": {"value_source": "features", "value_size": 8},
        "speech_decoder": "a",
    }
    for name in ("text_only", "text_only_matched", "no_vq", "rvq")
}
LAYERS = {"no_vq rvq": {"encoder_conf.value_source": [0, 1]}}
AXES = {
    "quantizer": {"rvq": None, "fsq": {"rvq": {"quantizer": "fsq"}}},
    "values": {"features": {}, "layers": LAYERS},
}


def ablation(tmp_path, **conf):
    path = tmp_path / "mine.yaml"
    path.write_text(
        yaml.safe_dump({"axes": AXES, "seeds": [0, 1]} | conf, sort_keys=False)
    )
    return read_ablation(path)


def test_product_and_one_at_a_time(tmp_path):
    names = [v.name for v in ablation(tmp_path).variants]
    assert names == ["rvq-features", "rvq-layers", "fsq-features", "fsq-layers"]
    found = ablation(tmp_path, design="one_at_a_time")
    assert [v.name for v in found.variants] == names[:3]
    assert found.axes == {"quantizer": ["rvq", "fsq"], "values": ["features", "layers"]}
    assert found.variants[1].overrides.keys() == {"no_vq", "rvq"}


def test_override():
    conf = {"quantizer_conf": {"a": 1}, "encoder_conf": {"b": {"c": 1, "d": 2}}}
    changed = override(conf, {"quantizer_conf": {"x": 2}, "encoder_conf.b.c": [3]})
    assert changed["quantizer_conf"] == {"x": 2}
    assert changed["encoder_conf"] == {"b": {"c": [3], "d": 2}}
    assert conf["encoder_conf"]["b"]["c"] == 1
    assert override(conf, {"new.key": 1})["new"] == {"key": 1}
    with pytest.raises(ValueError, match="override encoder_conf.b.c.x: c holds no"):
        override(conf, {"encoder_conf.b.c.x": 1})


def test_equal_sub_stages_are_trained_once(tmp_path):
    systems = plan_systems(ablation(tmp_path), CONFS, recipe_seed=0)
    reuse = {s.tag.removeprefix("mine-"): s.reuse for s in systems}
    text = {"text_only": "", "text_only_matched": ""}
    assert reuse == {
        "rvq-features-seed0": text | {"no_vq": "", "rvq": ""},
        "rvq-features-seed1": text,
        "rvq-layers-seed0": text,
        "rvq-layers-seed1": text,
        "fsq-features-seed0": text | {"no_vq": ""},
        "fsq-features-seed1": text | {"no_vq": "mine-rvq-features-seed1"},
        "fsq-layers-seed0": text | {"no_vq": "mine-rvq-layers-seed0"},
        "fsq-layers-seed1": text | {"no_vq": "mine-rvq-layers-seed1"},
    }
    ready = {"mine-" + tag for tag in list(reuse)[:5]}
    assert all(not s.needs for s in systems[:5])  # they come first
    assert all(set(s.needs) <= ready for s in systems[5:])
    assert systems[-1].confs["rvq"]["quantizer"] == "fsq"
    assert systems[-1].confs["rvq"]["encoder_conf"]["value_source"] == [0, 1]
    assert CONFS["rvq"]["encoder_conf"]["value_source"] == "features"


def test_a_decoder_has_its_own_text_only_for_all_seeds(tmp_path):
    every = {"text_only text_only_matched no_vq rvq": {"speech_decoder": "b"}}
    axes = {"decoder": {"a": {}, "b": every}}
    systems = plan_systems(ablation(tmp_path, axes=axes), CONFS, recipe_seed=5)
    reuse = {s.tag: s.reuse for s in systems}
    assert reuse["mine-b-seed0"] == {}
    owner = "mine-b-seed0"
    assert reuse["mine-b-seed1"] == {"text_only": owner, "text_only_matched": owner}
    # the recipe's own no_vq has another seed than both
    assert set(reuse["mine-a-seed0"]) == {"text_only", "text_only_matched"}


@pytest.mark.parametrize(
    "change, message",
    [
        ({"axes": {}}, None),
        ({"axes": [1]}, "no mapping with axes"),
        ({"axis": {}}, "unknown key axis; axes, design, metrics, options, seeds"),
        ({"axes": {"quantizer": ["rvq"]}}, "axis quantizer must map choices"),
        ({"axes": {"q": {"a": {"vq": {}}}}}, "q: a: no sub-stage vq, but text_only"),
        ({"axes": {"q": {"a": {"rvq": 1}}}}, "q: a: rvq: overrides must be"),
        ({"seeds": 1}, "seeds must be a list"),
        ({"seeds": [1, 1]}, "each once"),
        ({"design": "all"}, "design must be one of"),
    ],
)
def test_bad_files(tmp_path, change, message):
    if message is None:
        assert len(ablation(tmp_path, **change).variants) == 1
        return
    with pytest.raises(ValueError, match=message) as caught:
        ablation(tmp_path, **change)
    assert "mine.yaml: " in str(caught.value) and "\n" not in str(caught.value)


def test_missing_file_and_sub_stage(tmp_path):
    with pytest.raises(FileNotFoundError, match="no file"):
        read_ablation(tmp_path / "none.yaml")
    (tmp_path / "broken.yaml").write_text("axes: [1\n")
    with pytest.raises(ValueError, match="broken.yaml is not YAML .*") as caught:
        read_ablation(tmp_path / "broken.yaml")
    assert "\n" not in str(caught.value)
    axes = {"q": {"a": {"text_only_matched": {"x": 1}}}}
    confs = {k: v for k, v in CONFS.items() if k != "text_only_matched"}
    with pytest.raises(ValueError, match="a: the recipe has no text_only_matched"):
        plan_systems(ablation(tmp_path, axes=axes), confs, 0)
