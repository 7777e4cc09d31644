import numpy as np
import pytest
from voices import RATE, voice

from espnet2_taste.asr.recording import Recording, Unavailable
from espnet2_taste.evaluate.scorers import dnsmos, meter_choices
from espnet2_taste.evaluate.scorers.dnsmos import WINDOW, DnsmosScorer, cut_windows


def network(path, shape, outputs):
    """An ONNX file: the mean of its input times each of ``outputs``."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    axes = list(range(1, len(shape)))
    nodes = [
        helper.make_node("ReduceMean", ["input_1"], ["mean"], axes=axes, keepdims=0),
        helper.make_node("Reshape", ["mean", "column"], ["means"]),
        helper.make_node("MatMul", ["means", "factors"], ["output"]),
    ]
    constants = {
        "column": np.array([-1, 1]),
        "factors": np.array([outputs], np.float32),
    }
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("input_1", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["N", None])],
        [numpy_helper.from_array(v, k) for k, v in constants.items()],
    )
    opset = [helper.make_opsetid("", 13)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)


@pytest.fixture
def package(tmp_path, monkeypatch):
    """speechmos with networks of known output."""
    folder = tmp_path / "speechmos" / "dnsmos_models"
    folder.mkdir(parents=True)
    network(folder / "sig_bak_ovr.onnx", ["N", WINDOW], [2.0, 4.0, 6.0])
    network(folder / "model_v8.onnx", ["N", 900, 120], [5.0])

    class Distribution:
        version = "0"

        @staticmethod
        def locate_file(name):
            return tmp_path / name

    monkeypatch.setattr(dnsmos, "distribution", lambda name: Distribution)


def test_calibration_by_hand(package, record):
    wav = np.full(10 * RATE, 0.5) + 1e-3 * np.tile([1, -1], 5 * RATE)
    found = DnsmosScorer()([Recording("u", record(wav))])[0]
    # The network says 1, 2 and 3; the polynomials are those published with P.835.
    assert found["dnsmos_sig"] == [
        pytest.approx(-0.08397278 + 1.22083953 + 0.0052439),
        1,
    ]
    expected = -0.13166888 * 4 + 1.60915514 * 2 - 0.39604546
    assert found["dnsmos_bak"] == [pytest.approx(expected), 1]
    expected = -0.06766283 * 9 + 1.11546468 * 3 + 0.04602535
    assert found["dnsmos"] == [pytest.approx(expected), 1]
    assert found.keys() == {column.key for column in DnsmosScorer.columns}


@pytest.mark.parametrize(
    "seconds, starts",
    [
        (9.01, [0]),
        (10.5, [0]),
        (11.2, [0, 1]),
        (3.4, [0, 1, 2, 3]),
        (5.0, [0]),
        (0.6, [0]),
    ],
)
def test_windows_are_a_second_apart(seconds, starts):
    wav = np.arange(int(seconds * RATE), dtype=np.float32)
    windows = cut_windows(wav)
    assert [w[0] for w in windows] == [(s * RATE) % len(wav) for s in starts]
    assert all(len(w) == WINDOW for w in windows)
    assert [w[0] for w in cut_windows(wav, 1)] == [0]


def test_a_limit_spreads_the_windows():
    wav = np.arange(30 * RATE, dtype=np.float32)
    assert [int(w[0] // RATE) for w in cut_windows(wav, 3)] == [0, 10, 20]
    with pytest.raises(ValueError, match="windows: 0"):
        DnsmosScorer(windows=0)


WAVES = {
    "glide": voice(200 + 50 * np.sin(np.arange(5 * RATE) / 3000)),
    "pause": np.concatenate([np.zeros(RATE), voice(120.0, 2.5)]),
}
# speechmos.dnsmos.run of version 0.0.1.1: ovrl_mos, sig_mos, bak_mos, p808_mos
GOLDEN = {
    "glide": (2.606771886, 2.965828096, 3.871243070, 2.360678),
    "pause": (2.332349178, 2.677197164, 3.331448442, 2.1609778),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_equals_the_package(name, record):
    try:
        meter = DnsmosScorer()
    except Unavailable as error:
        pytest.skip(str(error))
    found = meter([Recording("u", record(WAVES[name]))])[0]
    keys = ("dnsmos", "dnsmos_sig", "dnsmos_bak", "dnsmos_p808")
    for key, expected in zip(keys, GOLDEN[name], strict=True):
        assert found[key] == [pytest.approx(expected, abs=1e-4), 1.0]


def test_bad_recordings(package, refuses):
    refuses(meter_choices.get_class("dnsmos")())
