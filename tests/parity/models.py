"""Our models with a folder's sizes and weights, built as the converter builds them."""

import torch
from on_device import DEVICE

from espnet2_taste.hub.compat import label_padding
from espnet2_taste.hub.published_arguments import taslm_arguments, taste_arguments
from espnet2_taste.hub.published_names import (
    EMBED_TOKENS,
    FLAG,
    LM_HEAD,
    LOGVAR,
    TASLM,
    TASTE,
    Table,
    to_ours,
)
from espnet2_taste.taslm.build import build_taslm_model
from espnet2_taste.taslm.espnet_model import TaslmModel
from espnet2_taste.taste.build import build_taste_model
from espnet2_taste.taste.espnet_model import TasteModel
from espnet2_taste.taste.tokenizer.rvq import ResidualVQQuantizer

#: heads of the d_* fixtures: prefix of the tensors -> the reference's module
HEADS = {
    "cont": "continue_latent_linear_last",
    "linear": "linear_last",
    "multi": "multi_linear_last",
}


def taste_state(published: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The TASTE model's part of a published state dict, under our names."""
    return _state(TASTE, published)


def taslm_state(published: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The TASLM's part of a published state dict (quantizer included).

    A missing output layer is the text embedding, to which it is tied.
    """
    if EMBED_TOKENS in published and LM_HEAD not in published:
        published = published | {LM_HEAD: published[EMBED_TOKENS]}
    return _state(TASLM, published)


def _state(table: Table, published: dict) -> dict[str, torch.Tensor]:
    named = ((to_ours(table, name), tensor) for name, tensor in published.items())
    return {
        name: tensor.squeeze() if name.endswith(FLAG) else tensor
        for name, tensor in named
        if name is not None
    }


def taste_model(parity) -> TasteModel:
    """Audio tower and speech decoder, in eval mode."""
    model = build_taste_model(taste_arguments(parity.config, parity.model))
    model.load_state_dict(taste_state(parity.model))
    return model.to(DEVICE).eval()


def quantizer(parity) -> ResidualVQQuantizer:
    """The RVQ alone, in eval mode."""
    return taste_model(parity).quantizer


def taslm_model(
    parity, head: str | None = None, padding_labels: bool = False, **model_conf
) -> TaslmModel:
    """The spoken LM in eval mode, with one of HEADS (default: the folder's).

    ``padding_labels``: text labels of padded batches as the reference's.
    """
    spoken, published = parity.config["spoken_lm_config"], dict(parity.model)
    module = HEADS[head] if head else spoken["out_llm_module"]
    config = parity.config | {"spoken_lm_config": spoken | {"out_llm_module": module}}
    if module != spoken["out_llm_module"]:
        prefix = "spoken_lm.extract_for_bridge_out_llm."
        published = {k: v for k, v in published.items() if not k.startswith(prefix)}
        heads = parity.load("d_heads")
        for match in parity.match("d_heads", rf"{module}\.(.+)"):
            published[prefix + match[1]] = heads[match[0]]
    if module != HEADS["cont"]:  # the token heads inherit a logvar and never use it
        published.pop(LOGVAR, None)
    args = taslm_arguments(config)
    args.model_conf |= model_conf
    model = build_taslm_model(args)
    if padding_labels:
        label_padding(model)
    model.load_state_dict(taslm_state(published))
    return model.to(DEVICE).eval()


def clone(tensor: torch.Tensor) -> torch.Tensor:
    """A leaf that asks for gradients."""
    return tensor.detach().clone().requires_grad_()
