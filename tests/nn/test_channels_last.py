import pytest
import torch

from espnet2_taste.nn.channels_last import ChannelsLastConv, channels_last, convolve

LAYERS = {
    "dilated": torch.nn.Conv1d(3, 5, 3, padding=4, dilation=4),
    "strided": torch.nn.Conv1d(4, 6, 4, stride=3, padding=1, groups=2),
    "transposed": torch.nn.ConvTranspose1d(3, 5, 7, 3, padding=2, output_padding=1),
}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("size", [2, 9])
def test_convolutions_of_any_layout_give_what_torch_gives(name, size):
    layer = LAYERS[name]
    x = torch.randn(2, layer.in_channels, size)
    with torch.no_grad():
        want = layer(x)
        for given in (x, channels_last(x)):
            got = convolve(layer, given, layer.weight, layer.bias)
            torch.testing.assert_close(got, want)
            assert got.transpose(1, 2).is_contiguous()


def test_a_layer_and_its_gradients():
    plain, ours = torch.nn.Conv1d(3, 3, 3, padding=1), ChannelsLastConv(3, 3, 3)
    ours.padding = plain.padding
    ours.load_state_dict(plain.state_dict())
    x = torch.randn(2, 3, 7)
    for layer in (plain, ours):
        layer(x).square().sum().backward()
    torch.testing.assert_close(ours(x), plain(x))
    torch.testing.assert_close(ours.weight.grad, plain.weight.grad)
    torch.testing.assert_close(ours.bias.grad, plain.bias.grad)
