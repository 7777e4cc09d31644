"""The expected tensors of ``b_rvq``."""

from unittest import mock

import torch
from parity.models import clone, quantizer

from espnet2_taste.nn.segments import length_mask


def rvq(parity) -> dict[str, torch.Tensor]:
    """Everything a quantizer does: evaluation, training, k-means, conversions."""
    dropout = parity.case("b_rvq")["trainqd_dropout_index"]
    return (
        evaluation(parity)
        | training(parity, "train")
        | training(parity, "trainqd", dropout)
        | initialisation(parity)
    )


@torch.no_grad()
def evaluation(parity) -> dict[str, torch.Tensor]:
    """``eval_*`` and the conversions between codes and vectors."""
    model, data = quantizer(parity), parity.load("b_rvq")
    mask = length_mask(data["lengths"], data["x"].size(1))
    output = model(data["x"], mask)
    unmasked = model(data["x"], torch.ones_like(mask))
    codes = output.codes
    books = torch.arange(codes.size(-1))
    weights = data["taste_logits_in"].softmax(dim=-1)
    results = {
        "mask": mask,
        "eval_quantized": output.embeddings,
        "eval_indices": codes,
        "eval_commit": output.loss,
        "eval_nomask_quantized": unmasked.embeddings,
        "eval_nomask_indices": unmasked.codes,
        "code_from_indices": model.codes_to_latent(codes),
        "output_from_indices": model.codes_to_embeddings(codes),
        "codes_from_indices_qbnd": torch.stack(
            [model.codes_to_latent(codes.where(books == q, -1)) for q in books]
        ),
        "indices_from_code": model.latent_to_codes(data["code_in"]),
        "distributed_codes": torch.einsum("blqk,qkd->blqd", weights, model.codebooks),
    }
    for match in parity.match("b_rvq", r"output_from_coarse(\d+)_indices"):
        coarse = codes[..., : int(match[1])]
        results[match[0]] = model.codes_to_embeddings(coarse)
    return results


def training(parity, case: str, dropout: int | None = None) -> dict[str, torch.Tensor]:
    """``train_*`` and ``trainqd_*``: outputs, gradients, codebooks after the step.

    Args:
        parity: the folder.
        case: ``train`` or ``trainqd``.
        dropout: last codebook kept by quantise dropout; None: without.
    """
    model, data = quantizer(parity).train(), parity.load("b_rvq")
    model.rvq.quantize_dropout = dropout is not None
    losses = []
    model.rvq.register_forward_hook(lambda _, args, output: losses.append(output[2]))
    x, mask = clone(data["x"]), data["mask"]
    # The package draws the last codebook kept with python's generator.
    with mock.patch("random.Random.randrange", lambda *_: dropout):
        output = model(x, mask)
    # the loss the fixture was made with
    (output.embeddings[mask].square().mean() + output.loss).backward()
    return {
        f"{case}_quantized": output.embeddings,
        f"{case}_indices": output.codes,
        f"{case}_commit_sum": output.loss,
        f"{case}_commit_per_layer": losses[0][None],
        f"{case}_grad_x": x.grad,
        f"{case}_grad_project_in_w": model.project_in.weight.grad,
        f"{case}_grad_project_out_w": model.project_out.weight.grad,
    } | books_after(model, case)


def initialisation(parity) -> dict[str, torch.Tensor]:
    """``kmeans_*``: the first training batch, from recorded picks."""
    model, data = quantizer(parity).train(), parity.load("b_rvq")
    for layer, vq in enumerate(model.rvq.layers):
        pick = data[f"kmeans_init_pick_{layer}"]
        vq._codebook.initted.fill_(False)
        vq._codebook.sample_fn = lambda x, num, pick=pick: x[:, pick]
    model.rvq.quantize_dropout = False
    with torch.no_grad():
        output = model(data["kmeans_x"], data["kmeans_mask"])
    return {
        "kmeans_quantized": output.embeddings,
        "kmeans_indices": output.codes,
        "kmeans_commit_sum": output.loss,
    } | books_after(model, "kmeans")


def books_after(model, case: str) -> dict[str, torch.Tensor]:
    """``<case>_after_<buffer>_<layer>``: codebooks and their moving averages."""
    return {
        f"{case}_after_{name}_{layer}": getattr(vq._codebook, name).clone()
        for layer, vq in enumerate(model.rvq.layers)
        for name in ("embed", "embed_avg", "cluster_size")
    }


FILES = {"b_rvq": rvq}
