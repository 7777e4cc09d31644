"""``vq_pypi_compare.json``: where the package's own ResidualVQ differs from ours.

Ours equals the reference, so the differences that were found between the reference
and the package must be found again, in the same words.
"""

from unittest import mock

import torch
from on_device import DEVICE
from parity.computed.rvq import FILES
from parity.models import clone

PREFIX = "audio_tower.vq.rvq."


def compare_with_package(parity) -> dict:
    """Every entry of the file, of this folder's weights and inputs."""
    weights, own = parity.weights(PREFIX), package(parity)
    missing = str(own.load_state_dict(weights, strict=False))
    keys = own.state_dict().keys()
    helpers = ("code_from_indices", "indices_from_code", "distributed_codes")
    helpers = [f"get_{name}" for name in (*helpers, "output_from_indices")]
    return {
        "keys_only_in_reference": sorted(weights.keys() - keys),
        "keys_only_in_pypi": sorted(keys - weights.keys()),
        "load_nonstrict": missing,
        "has": {name: hasattr(own, name) for name in helpers},
        **evaluation(parity),
        **training(parity, "train"),
        **training(parity, "trainqd"),
        **gradients(parity, "train[rotation_trick=False]", rotation_trick=False),
        **gradients(parity, "trainqd[rotation_trick=False]", rotation_trick=False),
        **initialisation(parity),
    }


def package(parity, **options) -> torch.nn.Module:
    """The package's quantizer with its own defaults and the published weights."""
    from vector_quantize_pytorch import ResidualVQ

    conf = parity.config["audio_tower_config"]["kwargs_for_quantizer"] | options
    model = ResidualVQ(**conf)
    model.load_state_dict(parity.weights(PREFIX), strict=False)
    return model.to(DEVICE).eval()


def ours(parity) -> dict[str, torch.Tensor]:
    """Our results under the names of ``b_rvq``."""
    results = parity.computed("b_rvq", FILES["b_rvq"])
    return {name: result.value.detach() for name, result in results.items()}


@torch.no_grad()
def evaluation(parity) -> dict[str, str]:
    model, data, own = package(parity), parity.load("b_rvq"), ours(parity)
    mask = own["mask"]
    quantized, codes, losses = model(data["x"], mask=mask)
    unmasked, all_codes, _ = model(data["x"])
    want = own["eval_quantized"]
    coarse = {
        match[0]: model.get_output_from_indices(codes[..., : int(match[1])])
        for match in parity.match("b_rvq", r"output_from_coarse(\d+)_indices")
    }
    masked = [f"{x[~mask].abs().max().item():.3e}" for x in (quantized, want)]
    return {
        "eval.indices": same(codes, own["eval_indices"]),
        "eval.quantized.all": difference(quantized, want),
        "eval.quantized.valid": difference(quantized[mask], want[mask]),
        "eval.quantized.masked_value": f"pypi absmax {masked[0]}; "
        f"reference absmax {masked[1]}",
        "eval.loss": f"{losses.shape} {losses.tolist()}",
        "eval_nomask.indices": same(all_codes, own["eval_nomask_indices"]),
        "eval_nomask.quantized": difference(unmasked, own["eval_nomask_quantized"]),
        "get_codes_from_indices": difference(
            model.get_codes_from_indices(codes), own["codes_from_indices_qbnd"]
        ),
        "get_output_from_indices": difference(
            model.get_output_from_indices(codes), own["output_from_indices"]
        ),
        "get_output_from_coarse": "; ".join(
            difference(value, own[name]) for name, value in coarse.items()
        ),
    }


def training(parity, case: str) -> dict[str, str]:
    own, mask = ours(parity), parity.load("b_rvq")["mask"]
    model, _, (quantized, codes, losses) = step(parity, case)
    want = own[f"{case}_quantized"]
    loss = losses.sum()
    return {
        f"{case}.indices": same(codes, own[f"{case}_indices"]),
        f"{case}.quantized.valid": difference(quantized[mask], want[mask]),
        f"{case}.commit_sum": difference(loss, own[f"{case}_commit_sum"]),
        f"{case}.loss_shape": str(tuple(losses.shape)),
        **gradients(parity, case),
        **books_after(model, own, case, ("embed", "cluster_size")),
    }


def gradients(parity, label: str, **options) -> dict[str, str]:
    case, own = label.split("[")[0], ours(parity)
    model, x, _ = step(parity, case, **options)
    found, want = model.project_in.weight.grad, own[f"{case}_grad_project_in_w"]
    return {
        f"{label}.grad_x": difference(x.grad, own[f"{case}_grad_x"]),
        f"{label}.grad_project_in": difference(found, want),
    }


def step(parity, case: str, **options):
    """A training step: the model after it, its input, its output."""
    data = parity.load("b_rvq")
    last = parity.case("b_rvq")["trainqd_dropout_index"]
    options["quantize_dropout"] = case == "trainqd"
    model, x, mask = package(parity, **options).train(), clone(data["x"]), data["mask"]
    with mock.patch("random.Random.randrange", lambda *_: last):
        output = model(x, mask=mask)
    (output[0][mask].square().mean() + output[2].sum()).backward()
    return model, x, output


def initialisation(parity) -> dict[str, str]:
    data, own = parity.load("b_rvq"), ours(parity)
    model = package(parity, quantize_dropout=False).train()
    for layer, vq in enumerate(model.layers):
        pick = data[f"kmeans_init_pick_{layer}"]
        vq._codebook.initted.fill_(False)
        vq._codebook.sample_fn = lambda x, num, pick=pick: x[:, pick]
    with torch.no_grad():
        _, codes, losses = model(data["kmeans_x"], mask=data["kmeans_mask"])
    return {
        "kmeans.indices": same(codes, own["kmeans_indices"]),
        "kmeans.commit_sum": difference(losses.sum(), own["kmeans_commit_sum"]),
        **books_after(model, own, "kmeans", ("embed",)),
    }


def books_after(model, own, case: str, names) -> dict[str, str]:
    return {
        f"{case}.{name}_after.{layer}": difference(
            getattr(vq._codebook, name), own[f"{case}_after_{name}_{layer}"]
        )
        for layer, vq in enumerate(model.layers)
        for name in names
    }


def same(package_codes: torch.Tensor, own: torch.Tensor) -> str:
    shapes = f"shape {tuple(package_codes.shape)} vs {tuple(own.shape)}"
    return f"equal={torch.equal(package_codes, own)} {shapes}"


def difference(package_value: torch.Tensor, own: torch.Tensor) -> str:
    shapes = f"shape {tuple(package_value.shape)} vs {tuple(own.shape)}"
    return f"{shapes} maxdiff={(package_value - own).abs().max().item():.3e}"
