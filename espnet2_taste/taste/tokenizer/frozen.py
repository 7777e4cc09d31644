"""Freezing that survives ``model.train()`` and keeps checkpoints small."""

import torch


def freeze(module: torch.nn.Module) -> None:
    """No gradients, eval mode; the owner keeps it so in its ``train()``."""
    module.eval().requires_grad_(False)


def omit_from_checkpoints(module: torch.nn.Module) -> None:
    """Leave a module out of state dicts, and let them load without it.

    For frozen weights that building the model brings back anyway.
    """
    module.register_state_dict_post_hook(_drop)
    module.register_load_state_dict_pre_hook(_fill_in)


def _tensors(module: torch.nn.Module):
    yield from module.named_parameters()
    yield from module.named_buffers()


def _drop(module, state_dict, prefix, local_metadata) -> None:
    for name, _ in _tensors(module):
        state_dict.pop(prefix + name, None)


def _fill_in(module, state_dict, prefix, *args) -> None:
    for name, tensor in _tensors(module):
        state_dict.setdefault(prefix + name, tensor)
