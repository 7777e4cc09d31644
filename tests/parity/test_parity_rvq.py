import pytest
import torch

from espnet2_taste.taste.quantizer.usage import codebook_usage

CLOSE = {"atol": 1e-6, "rtol": 1e-5}


@pytest.fixture
def data(parity):
    return parity.load("b_rvq")


def check_books(quantizer, data, prefix):
    for layer, vq in enumerate(quantizer.rvq.layers):
        for name in ("embed", "embed_avg", "cluster_size"):
            want = data.get(f"{prefix}_{name}_{layer}")
            if want is not None:
                torch.testing.assert_close(getattr(vq._codebook, name), want, **CLOSE)


@torch.no_grad()
def test_eval(reference_rvq, data):
    output = reference_rvq.eval()(data["x"], data["mask"])
    assert torch.equal(output.codes, data["eval_indices"])
    torch.testing.assert_close(output.embeddings, data["eval_quantized"], **CLOSE)
    assert output.loss == data["eval_commit"] == 0
    everywhere = torch.ones_like(data["mask"])
    output = reference_rvq(data["x"], everywhere)
    assert torch.equal(output.codes, data["eval_nomask_indices"])
    torch.testing.assert_close(
        output.embeddings, data["eval_nomask_quantized"], **CLOSE
    )


@pytest.mark.parametrize("case", ["train", "trainqd"])
def test_train(reference_rvq, data, parity, case, monkeypatch):
    if case == "trainqd":
        last = parity.index["cases"]["b_rvq"]["trainqd_dropout_index"]
        reference_rvq.rvq.quantize_dropout = True
        # The reference draws the last codebook kept with python's generator.
        monkeypatch.setattr("random.Random.randrange", lambda self, low, high: last)
    x = data["x"].requires_grad_()
    output = reference_rvq.train()(x, data["mask"])
    assert torch.equal(output.codes, data[f"{case}_indices"])
    torch.testing.assert_close(output.embeddings, data[f"{case}_quantized"], **CLOSE)
    torch.testing.assert_close(output.loss, data[f"{case}_commit_sum"], **CLOSE)
    check_books(reference_rvq, data, f"{case}_after")
    # the loss the fixture was made with
    (output.embeddings[data["mask"]].square().mean() + output.loss).backward()
    torch.testing.assert_close(x.grad, data[f"{case}_grad_x"], **CLOSE)
    for way in ("in", "out"):
        grad = getattr(reference_rvq, f"project_{way}").weight.grad
        torch.testing.assert_close(grad, data[f"{case}_grad_project_{way}_w"], **CLOSE)


@torch.no_grad()
def test_codes_and_latents(reference_rvq, data):
    codes = data["eval_indices"]
    latent = reference_rvq.codes_to_latent(codes)
    torch.testing.assert_close(latent, data["code_from_indices"], **CLOSE)
    torch.testing.assert_close(
        reference_rvq.codes_to_embeddings(codes), data["output_from_indices"], **CLOSE
    )
    torch.testing.assert_close(
        reference_rvq.codes_to_embeddings(codes[..., :2]),
        data["output_from_coarse2_indices"],
        **CLOSE,
    )
    single = torch.stack(
        [
            reference_rvq.codes_to_latent(
                torch.where(torch.arange(codes.size(-1)) == q, codes, -1)
            )
            for q in range(codes.size(-1))
        ]
    )
    torch.testing.assert_close(single, data["codes_from_indices_qbnd"], **CLOSE)
    found = reference_rvq.latent_to_codes(data["code_in"])
    assert torch.equal(found, data["indices_from_code"])
    weights = data["taste_logits_in"].softmax(dim=-1)
    mixed = torch.einsum("blqk,qkd->blqd", weights, reference_rvq.codebooks)
    torch.testing.assert_close(mixed, data["distributed_codes"], **CLOSE)


def test_kmeans_initialisation(reference_rvq, data):
    for layer, vq in enumerate(reference_rvq.rvq.layers):
        pick = data[f"kmeans_init_pick_{layer}"]
        vq._codebook.initted.fill_(False)
        vq._codebook.sample_fn = lambda x, num, pick=pick: x[:, pick]
    mask = data["kmeans_mask"]
    output = reference_rvq.train()(data["kmeans_x"], mask)
    assert torch.equal(output.codes, data["kmeans_indices"])
    torch.testing.assert_close(output.loss, data["kmeans_commit_sum"], **CLOSE)
    torch.testing.assert_close(output.embeddings, data["kmeans_quantized"], **CLOSE)
    check_books(reference_rvq, data, "kmeans_after")
    used, perplexity = codebook_usage(output.codes, reference_rvq.codebook_size)
    assert used.shape == perplexity.shape == (reference_rvq.num_codebooks,)
    assert (used > 0).all() and (perplexity <= reference_rvq.codebook_size).all()
