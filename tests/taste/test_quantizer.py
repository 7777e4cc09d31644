import pytest
import torch

from espnet2_taste.taste.tokenizer.code_usage import (
    CodebookUsage,
    CodeCounter,
    count_codes,
)
from espnet2_taste.taste.tokenizer.fsq import FSQQuantizer
from espnet2_taste.taste.tokenizer.no_quantizer import NoQuantizer
from espnet2_taste.taste.tokenizer.rvq import ResidualVQQuantizer

MASK = torch.tensor([[True] * 9, [True] * 5 + [False] * 4])


def build(name: str):
    torch.manual_seed(0)
    if name == "rvq":
        return ResidualVQQuantizer(12, 4, num_codebooks=3, codebook_size=8)
    if name == "fsq":
        return FSQQuantizer(12, levels=[5, 4, 2], num_codebooks=2)
    return NoQuantizer(12, 4)


def trained(name: str):
    quantizer = build(name)
    quantizer(torch.randn(2, 9, 12), MASK)
    return quantizer.eval()


@pytest.mark.parametrize("name", ["rvq", "fsq", "none"])
def test_padding_never_counts(name):
    x = torch.randn(2, 9, 12, generator=torch.Generator().manual_seed(1))
    garbage = torch.where(MASK[..., None], x, 100.0)
    outputs, states = [], []
    for value in (x, garbage):
        quantizer = build(name)
        torch.manual_seed(2)  # k-means draws its first centroids
        outputs.append(quantizer.train()(value, MASK))
        states.append(quantizer.state_dict())
    assert torch.equal(outputs[0].embeddings, outputs[1].embeddings)
    assert torch.equal(outputs[0].loss, outputs[1].loss)
    for key, value in states[0].items():
        assert torch.equal(value, states[1][key]), key
    bias = quantizer.project_out.bias.expand(4, -1)
    torch.testing.assert_close(outputs[0].embeddings[1, 5:], bias)
    if name != "none":
        assert (outputs[0].codes[1, 5:] == -1).all()
        assert (outputs[0].codes[MASK] >= 0).all()


@pytest.mark.parametrize("name", ["rvq", "fsq"])
def test_batch_is_single_and_codes_are_exact(name):
    quantizer = trained(name)
    x = torch.randn(2, 9, 12)
    output = quantizer(x, MASK)
    alone = quantizer(x[1:, :5], MASK[1:, :5])
    assert torch.equal(output.codes[1:, :5], alone.codes)
    assert output.codes.shape == (2, 9, quantizer.num_codebooks)
    assert output.codes.dtype == torch.int64
    assert output.codes.max() < quantizer.codebook_size
    assert output.latent.shape == (2, 9, quantizer.codebook_dim)
    assert output.loss == 0
    # codes -> the very vectors the decoder reads, padding included
    embeddings = quantizer.codes_to_embeddings(output.codes)
    torch.testing.assert_close(embeddings, output.embeddings)
    found = quantizer.latent_to_codes(output.latent)
    assert torch.equal(found[MASK], output.codes[MASK])
    nothing = torch.full((3, quantizer.num_codebooks), -1)
    assert (quantizer.codes_to_latent(nothing) == 0).all()


def test_fsq_finds_the_codes_of_quantised_vectors():
    quantizer = trained("fsq")
    assert quantizer.codebook_size == 40 and quantizer.codebook_dim == 6
    every = torch.arange(40)[:, None].expand(-1, 2)
    assert torch.equal(
        quantizer.latent_to_codes(quantizer.codes_to_latent(every)), every
    )


@pytest.mark.parametrize("name", ["rvq", "fsq", "none"])
def test_gradients_pass_straight_through(name):
    quantizer = build(name).train()
    x = torch.randn(2, 9, 12, requires_grad=True)
    quantizer(x, MASK).embeddings.sum().backward()
    assert (x.grad[MASK].abs().sum(dim=-1) > 0).all()
    assert (x.grad[~MASK] == 0).all()


def test_rvq_gradient_is_identity_per_codebook():
    quantizer = ResidualVQQuantizer(6, None, num_codebooks=3, codebook_size=4)
    x = torch.randn(2, 9, 6, requires_grad=True)
    quantizer.train()(x, MASK).embeddings.sum().backward()
    torch.testing.assert_close(x.grad[MASK], torch.full((14, 6), 3.0))


def test_rvq_codebooks_move_and_commit_loss():
    quantizer = trained("rvq").train()
    before = quantizer.codebooks.clone()
    output = quantizer(torch.randn(2, 9, 12), MASK)
    assert output.loss > 0
    after = quantizer.codebooks.clone()
    assert not torch.equal(before, after)
    quantizer.eval()(torch.randn(2, 9, 12), MASK)
    assert torch.equal(after, quantizer.codebooks)


def test_rvq_quantize_dropout_marks_dropped_codes():
    quantizer = ResidualVQQuantizer(
        12, 4, num_codebooks=4, codebook_size=4, quantize_dropout=True
    )
    x, kept = torch.randn(2, 9, 12), set()
    for seed in range(12):
        torch.manual_seed(seed)
        output = quantizer.train()(x, MASK)
        used = (output.codes[MASK] >= 0).all(dim=0)
        count = int(used.sum())
        kept.add(count)
        assert used[:count].all() and (output.codes[..., count:] == -1).all()
    assert len(kept) > 1
    assert (quantizer.eval()(x, MASK).codes[MASK] >= 0).all()


def test_rvq_replaces_dead_codes():
    mask = torch.ones(1, 64, dtype=torch.bool)
    dead = {}
    for threshold in (0.0, 0.5):
        torch.manual_seed(0)
        quantizer = ResidualVQQuantizer(
            4, 4, 1, 16, decay=0.8, kmeans_init=False, dead_code_threshold=threshold
        )
        book = quantizer.rvq.layers[0]._codebook
        book.embed[:, 2:] = book.embed_avg[:, 2:] = 100.0  # where no vector is
        for x in torch.randn(20, 1, 64, 4):
            codes = quantizer.train()(x, mask).codes
        dead[threshold] = int((count_codes(codes, 16) == 0).sum())
    assert dead[0.0] >= 14 and dead[0.5] <= 3


def test_rvq_says_when_it_is_empty():
    quantizer = build("rvq").eval()
    with pytest.raises(RuntimeError, match="codebooks are empty"):
        quantizer(torch.randn(2, 9, 12), MASK)
    random = ResidualVQQuantizer(12, 4, 2, 8, kmeans_init=False).eval()
    assert random(torch.randn(2, 9, 12), MASK).codes.max() < 8


def test_checkpoint_keys_are_shared_between_sub_stages():
    keys = {name: set(build(name).state_dict()) for name in ("none", "rvq", "fsq")}
    projections = {
        f"project_{way}.{part}" for way in ("in", "out") for part in ("weight", "bias")
    }
    assert keys["none"] == projections and projections == keys["fsq"]
    book = {"initted", "cluster_size", "embed_avg", "embed"}
    layers = {f"rvq.layers.{q}._codebook.{b}" for q in range(3) for b in book}
    assert keys["rvq"] == projections | layers


def test_rvq_loads_published_buffers():
    source, target = trained("rvq"), build("rvq")
    state = source.state_dict()
    for key in [k for k in state if k.endswith("initted")]:
        state[key] = torch.ones(1)  # the reference's shape and type
    target.load_state_dict(state)
    x = torch.randn(2, 9, 12)
    assert torch.equal(target.eval()(x, MASK).codes, source(x, MASK).codes)


def test_noise_only_in_training():
    quantizer = NoQuantizer(8, noise=0.5)
    assert quantizer.num_codebooks == quantizer.codebook_size == 0
    x, mask = torch.randn(1, 4, 8), torch.ones(1, 4, dtype=torch.bool)
    assert torch.equal(quantizer.eval()(x, mask).embeddings, x)
    assert not torch.equal(quantizer.train()(x, mask).embeddings, x)
    with pytest.raises(RuntimeError, match="has no codes"):
        quantizer.codes_to_latent(torch.zeros(1, 0))
    with pytest.raises(RuntimeError, match="has no codes"):
        quantizer.latent_to_codes(x)


def test_codebook_usage():
    codes = torch.tensor([[0, 1], [1, 1], [2, -1], [3, -1], [-1, -1]])
    usage = CodebookUsage.of_counts(count_codes(codes, 8))
    assert usage.dead.tolist() == [4, 7]
    torch.testing.assert_close(usage.perplexity, torch.tensor([4.0, 1.0]))
    usage = CodebookUsage.of_counts(count_codes(torch.full((4, 1), -1), 8))
    assert usage.dead.isnan().all() and usage.perplexity.isnan().all()


def test_an_epoch_is_counted_as_a_whole():
    """Codes of several batches, two codebooks of 4; hand-counted."""
    counter = CodeCounter(2, 4)
    counter.add(torch.tensor([[[0, 2], [1, 2]], [[0, 2], [-1, -1]]]))
    counter.add(torch.tensor([[[1, -1]]]))
    usage = counter.take(torch.device("cpu"))
    assert usage.dead.tolist() == [2, 3]
    torch.testing.assert_close(usage.perplexity, torch.tensor([2.0, 1.0]))
    counter.add(torch.tensor([[3, -1]]))  # of the next epoch
    usage = counter.take(torch.device("cpu"))
    assert usage.dead[0] == 3 and usage.dead[1].isnan()


def test_bad_sizes():
    with pytest.raises(ValueError, match="codebook_size >= 2"):
        ResidualVQQuantizer(8, codebook_size=1)
    with pytest.raises(ValueError, match="levels must be 2 or more"):
        FSQQuantizer(8, levels=[5, 1])


@pytest.mark.parametrize("name", ["rvq", "fsq"])
def test_half_precision_around_it_changes_no_code(name):
    """Under autocast, k-means, moving averages and distances stay float32."""
    x = torch.randn(2, 9, 12, generator=torch.Generator().manual_seed(1))
    mask = torch.ones(2, 9, dtype=torch.bool)
    found, states = [], []
    for enabled in (False, True):
        torch.manual_seed(0)
        if name == "rvq":
            quantizer = ResidualVQQuantizer(12, None, num_codebooks=3, codebook_size=8)
        else:
            quantizer = FSQQuantizer(12, levels=[5] * 6, num_codebooks=2)
        torch.manual_seed(2)
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            trained = quantizer.train()(x, mask)
            found.append((trained.codes, quantizer.latent_to_codes(trained.latent)))
        states.append(quantizer.state_dict())
    for exact, half in zip(*found, strict=True):
        assert torch.equal(exact, half)
    for key, value in states[0].items():
        assert torch.equal(value, states[1][key]), key
