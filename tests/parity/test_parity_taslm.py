"""TASLM against the reference: inputs, losses, gradients, generation (d_*, e_*)."""

import pytest
import torch

pytest.importorskip("peft")

from parity.compare import TOLERANCE, assert_same, check_tensor  # noqa: E402
from parity.computed import generation, taslm  # noqa: E402
from parity.models import HEADS, taslm_model  # noqa: E402

from espnet2_taste.taslm.sampler import Vocabulary  # noqa: E402

FILES = taslm.FILES | generation.FILES


@pytest.mark.tensors(*FILES)
def test_tensor(parity, tensor):
    check_tensor(parity, FILES, tensor)


@pytest.mark.parametrize("kl", ["noref", "kl"])
@pytest.mark.parametrize("head", HEADS)
def test_forward(parity, head, kl):
    """The model's own forward says the same as its parts (and as index.json)."""
    options = {} if kl == "kl" else {"text_kl_weight": 0.0}
    model = taslm_model(parity, head, padding_labels=True, **options)
    text, taste, words = taslm.batch_of(parity)
    batch = {"text": text.ids, "text_lengths": text.lengths, "word_ids": text.word_ids}
    loss, _, weight = model(taste, words, **batch)
    case, data = f"{head}_eval_{kl}", parity.load(taslm.FILE)
    assert_same(loss[0], data[f"{case}_loss"])
    listed = parity.case(taslm.FILE)["losses"][case]
    assert loss.item() == pytest.approx(listed, rel=TOLERANCE)
    assert weight.item() == len(taste)


def test_labels_of_padded_texts(parity):
    """By default nothing is learnt in the padding (the reference's quirk Q1)."""
    model, batch = taslm_model(parity), taslm.batch_of(parity)
    text, lengths = batch[0].ids, batch[0].lengths
    labels = model.assemble(*batch[:2]).text_labels
    inside = torch.arange(labels.size(1)) < lengths[:, None]
    assert torch.equal(labels[inside], text[inside[:, : text.size(1)]])
    assert (labels[~inside] == -1).all()
    quirk = parity.load(taslm.FILE)["cont_eval_text_labels"]
    assert torch.equal(quirk[inside], labels[inside])
    padded = (quirk != labels).any(1)
    assert torch.equal(padded, lengths < lengths.max())
    assert (quirk[quirk != labels] == 0).all()


@pytest.mark.parametrize("use_cache", [True, False], ids=["cached", "uncached"])
@pytest.mark.cases(find=generation.runs)
def test_steps(parity, case, use_cache):
    """The sampler's decisions at every step, those that emit nothing included."""
    facts = generation.runs(parity)[case]
    made = generation.run(parity, case, use_cache)
    assert generation.steps(facts["mode"], made) == facts["steps"]
    words, codes = made.words(0)
    data = parity.load(generation.FILE)
    indices = data[f"{case}_llm_indices"][0]
    assert_same(codes, indices[indices[:, 0] >= 0])
    assert len(words) == len(codes)
    pieces = parity.json(parity.case(generation.FILE)["stub_vocab"])
    assert "".join(pieces[i] for word in words for i in word) == facts["text"]


def test_vocabulary(parity):
    """The tables that we make from pieces are the reference's sets."""
    case = parity.case(generation.FILE)
    pieces, special = parity.json(case["stub_vocab"]), case["special_start_id"]
    built = Vocabulary.build(
        len(pieces), special, pieces[:special].__getitem__, ban="non_latin"
    )
    expected = generation.vocabulary(parity)
    assert torch.equal(built.starts_word, expected.starts_word)
    assert torch.equal(built.ends_sentence, expected.ends_sentence)
    # The reference bans one symbol by its id; here all ids without a piece are.
    expected.banned[special:] = True
    assert built.banned[case["eot_id"]] and torch.equal(built.banned, expected.banned)
