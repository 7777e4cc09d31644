import pytest
import torch

from espnet2_taste.nn.packed_linears import packed_linears


def linears(module):
    return [m for m in module.modules() if isinstance(m, torch.nn.Linear)]


@pytest.mark.parametrize("guard", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(1,), (2, 1), (3, 7), (0, 2), ()])
def test_same_values_inside_and_nothing_left_outside(guard, bias, shape):
    torch.manual_seed(0)
    layer = torch.nn.Linear(16, 40, bias=bias)
    strided = torch.randn(*shape, 32)[..., ::2]
    with guard():
        want = layer(strided)
        with packed_linears(layer, rows=2):
            assert "forward" in vars(layer)
            torch.testing.assert_close(layer(strided), want)
            with packed_linears(layer, rows=2):
                pass
            assert "forward" in vars(layer)  # the inner one left it alone
        assert "forward" not in vars(layer)
        torch.testing.assert_close(layer(strided), want, rtol=0, atol=0)


def test_restored_after_an_error():
    layer = torch.nn.Linear(2, 2)
    with pytest.raises(KeyError), torch.no_grad(), packed_linears(layer, rows=1):
        raise KeyError
    assert "forward" not in vars(layer)


def test_left_alone_with_gradients_other_dtypes_and_autocast():
    model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Linear(4, 4).double())
    with packed_linears(model, rows=1):
        assert not any("forward" in vars(layer) for layer in linears(model))
        assert model[0](torch.ones(4)).requires_grad
    with torch.no_grad(), packed_linears(model, rows=1):
        assert ["forward" in vars(layer) for layer in linears(model)] == [True, False]
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        with packed_linears(model, rows=1):
            assert not any("forward" in vars(layer) for layer in linears(model))


def test_copies_are_bounded():
    model = torch.nn.Sequential(*(torch.nn.Linear(8, 8) for _ in range(5)))
    model[0].double()  # not copied, so it does not count
    with torch.no_grad(), packed_linears(model, rows=1, max_bytes=2 * 8 * 8 * 4 + 5):
        packed = ["forward" in vars(layer) for layer in linears(model)]
    assert packed == [False, True, True, False, False]


def test_lora_layers_are_packed_and_can_be_switched_off_inside():
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(8, 16))
    lora = LoraConfig(r=2, target_modules=["0"], init_lora_weights=False)
    model, x = get_peft_model(model, lora).eval(), torch.randn(3, 8)

    def outputs():
        with model.disable_adapter():
            base = model(x)
        return base, model(x)

    with torch.no_grad():
        want = outputs()
        with packed_linears(model, rows=3):
            assert sum("forward" in vars(layer) for layer in linears(model)) == 3
            torch.testing.assert_close(outputs(), want)
    assert not torch.allclose(*want)
