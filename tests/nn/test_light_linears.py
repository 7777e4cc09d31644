import pytest
import torch
from on_device import BFLOAT16

from espnet2_taste.nn import light_linears
from espnet2_taste.nn.light_linears import lighten_linears
from espnet2_taste.nn.packed_linears import packed_linears


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.first = torch.nn.Linear(64, 96)
        self.last = torch.nn.Linear(96, 8, bias=False)
        self.quantizer = torch.nn.ModuleDict({"project_in": torch.nn.Linear(8, 4)})

    def forward(self, x):
        return self.quantizer["project_in"](self.last(self.first(x).relu()))


@pytest.mark.parametrize(
    "weights,error", [pytest.param("bfloat16", 0.01, marks=BFLOAT16), ("int8", 0.03)]
)
@pytest.mark.parametrize("shape", [(3,), (1,), (2, 5), (0, 2), ()])
def test_nearly_the_same(weights, error, shape):
    torch.manual_seed(0)
    model, x = Model(), torch.randn(*shape, 128)[..., ::2]
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with torch.inference_mode():
        want = model(x)
        assert lighten_linears(model, weights) == 2
        got = model(x)
        assert got.dtype == torch.float32 and got.shape == want.shape
        if x.numel():
            assert 0 < (got - want).norm() / want.norm() < error
        with packed_linears(model, rows=1):  # leaves them alone
            torch.testing.assert_close(model(x), got)
        assert model(x).equal(got)
    after = model.state_dict()
    assert all(after[name].equal(value) for name, value in before.items())


def test_a_row_of_zeros_and_float32():
    layer = torch.nn.Linear(4, 3)
    torch.nn.init.zeros_(layer.weight)
    assert lighten_linears(layer, "float32") == 0 and "forward" not in vars(layer)
    assert lighten_linears(layer, "int8") == 1
    with torch.no_grad():
        torch.testing.assert_close(layer(torch.ones(2, 4))[1], layer.bias)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_int8_of_layers_that_are_light_already(dtype):
    torch.manual_seed(0)
    layer, x = torch.nn.Linear(64, 96, dtype=dtype), torch.randn(5, 64, dtype=dtype)
    want = layer.float()(x.float())
    layer = layer.to(dtype)
    assert lighten_linears(layer, "int8") == 1 and layer.weight.dtype == dtype
    got = layer(x)
    assert got.dtype == dtype and 0 < (got - want).norm() / want.norm() < 0.03


def test_what_is_refused():
    with pytest.raises(ValueError, match="weights 'int4': expected float32, bfloat16"):
        lighten_linears(torch.nn.Linear(2, 2), "int4")
    with pytest.raises(ValueError, match="weights int8 are for the CPU, not for meta"):
        lighten_linears(torch.nn.Linear(2, 2, device="meta"), "int8")


def test_a_processor_that_does_not_multiply_bfloat16(monkeypatch):
    monkeypatch.setattr(light_linears, "multiplies_bfloat16", lambda: False)
    with pytest.raises(ValueError, match="take int8 or float32"):
        lighten_linears(torch.nn.Linear(2, 2), "bfloat16")
    assert lighten_linears(torch.nn.Linear(2, 2), "int8") == 1
