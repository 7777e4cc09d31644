"""Cross-attention to values that every frame mixes from several encoder layers."""

import dataclasses

import torch

from espnet2_taste.taste.tokenizer.abs_encoder import EncoderOutput
from espnet2_taste.taste.tokenizer.cross_attention import CrossAttentionAggregator


class MultiLayerAggregator(CrossAttentionAggregator):
    """:class:`CrossAttentionAggregator` on a mixture of K value layers.

    The multi-layer dynamic attention of TASLA (M.-H. Hsu et al., arXiv 2510.14934): a
    multilayer perceptron reads the keys k_f of frame f (the encoder's last layer) and
    weighs the frame's K value vectors v_{f,1..K}, which the attention then gathers::

        w_f = softmax(W_2 gelu(W_1 k_f + b_1) + b_2)    (K weights that sum to 1)
        v_f = sum_l w_{f,l} v_{f,l}

    W_2 and b_2 start at zero, so every frame begins with the mean of its layers: none
    is favoured, and each gets the same share of the gradient (a softmax that starts at
    one layer starves the others). One layer: exactly ``cross_attention``.

    Args:
        vocab_size, key_size, value_size: see :class:`CrossAttentionAggregator`.
        num_values: K layers of the encoder's values.
        mixer_size: width of the perceptron.
        **conf: the other arguments of :class:`CrossAttentionAggregator`.
    """

    mixes_layers = True

    def __init__(
        self,
        vocab_size: int,
        key_size: int,
        value_size: int,
        num_values: int = 1,
        mixer_size: int = 256,
        **conf,
    ):
        super().__init__(vocab_size, key_size, value_size, num_values, **conf)
        self.mixer = torch.nn.Sequential(
            torch.nn.Linear(key_size, mixer_size),
            torch.nn.GELU(),
            torch.nn.Linear(mixer_size, num_values),
        )
        torch.nn.init.zeros_(self.mixer[-1].weight)
        torch.nn.init.zeros_(self.mixer[-1].bias)

    def layer_weights(self, keys: torch.Tensor) -> torch.Tensor:
        """(B, F, key_size) -> (B, F, K) shares of the layers in every frame."""
        return self.mixer(keys).softmax(dim=-1)

    def mixed(self, encoder_out: EncoderOutput) -> EncoderOutput:
        """(B, F, K, value_size) values -> (B, F, value_size)."""
        weights = self.layer_weights(encoder_out.keys)
        values = torch.einsum("bfk,bfkd->bfd", weights, encoder_out.value_layers)
        return dataclasses.replace(encoder_out, values=values)
