"""Training through ``torch.compile``: block by block of what is trained."""

import logging
from collections.abc import Iterator

import torch


def compile_blocks(
    model: torch.nn.Module, device: str | torch.device, backend: str = "inductor"
) -> int:
    """Let the blocks of a model's trained stacks run compiled from now on.

    Equal blocks share their code, so that a deep stack is compiled as fast as a shallow
    one, and lengths are symbols in it. Weights and their names stay as they are, in the
    model and in checkpoints. Dropout draws other random numbers than uncompiled.

    Args:
        model: on any device. Stacks are lists of blocks of one class.
        device: where it will be trained.
        backend: of ``torch.compile``.

    Returns:
        how many blocks. 0: there are none, or no compiler for this device (one line in
        the log says so), and the model is what it was.
    """
    blocks = list(trained_blocks(model))
    try:
        probe = torch.compile(torch.sin, backend=backend, dynamic=True)
        probe(torch.zeros(3, device=device))
    except Exception as error:  # whatever the many ways are in which it is missing
        reason = str(error).strip().splitlines() or [type(error).__name__]
        logging.warning(
            "compile: no working compiler for %s, trained uncompiled (%s)",
            device,
            reason[0],
        )
        return 0
    for block in blocks:
        block.compile(backend=backend, dynamic=True)
    return len(blocks)


def trained_blocks(model: torch.nn.Module) -> Iterator[torch.nn.Module]:
    """Members of lists of modules, not lists within these, that have parts and train
    something."""
    inside: set[torch.nn.Module] = set()
    for stack in model.modules():
        if not isinstance(stack, torch.nn.ModuleList) or stack in inside:
            continue
        for block in stack:
            trained = any(p.requires_grad for p in block.parameters())
            if trained and next(block.children(), None) is not None:
                inside.update(block.modules())
                yield block
