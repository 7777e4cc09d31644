import pytest
import torch

from espnet2_taste.taste import ctc_head
from espnet2_taste.taste.ctc_head import CTCHead, bounded_ctc_loss
from espnet2_taste.text.view import TextView

CONFORMER = {
    "output_size": 8,
    "attention_heads": 2,
    "linear_units": 8,
    "num_blocks": 2,
    "rel_pos_type": "latest",
    "dropout_rate": 0.0,
    "positional_dropout_rate": 0.0,
    "attention_dropout_rate": 0.0,
}


@pytest.mark.parametrize("most", [1 << 24, 50])
def test_the_loss_and_its_gradients_are_torchs(monkeypatch, most):
    """Also in pieces; of repeated tokens, and of text too long for its frames."""
    monkeypatch.setattr(ctc_head, "MOST_LOGITS", most)
    torch.manual_seed(0)
    head = torch.nn.Linear(5, 12)
    states = torch.randn(4, 9, 5, requires_grad=True)
    ids = torch.tensor([[3, 3, 7, 0], [10, 1, 9, 9], [5, 5, 5, 2], [0, 8, 8, 8]])
    lengths, id_lengths = torch.tensor([9, 7, 6, 3]), torch.tensor([4, 1, 3, 3])
    wanted = torch.nn.functional.ctc_loss(
        head(states).log_softmax(-1).transpose(0, 1),
        *(ids, lengths, id_lengths),
        blank=11,
        zero_infinity=True,
    )
    inputs = [states, head.weight, head.bias]
    gradients = torch.autograd.grad(wanted, inputs)
    loss = bounded_ctc_loss(head, states, lengths, ids, id_lengths)
    torch.testing.assert_close(loss, wanted)
    for ours, theirs in zip(torch.autograd.grad(loss, inputs), gradients, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-4)


def test_repetitions_are_one_token_and_blanks_part_them():
    """Each item ends at its length."""
    head = CTCHead(4, 3)
    torch.nn.init.eye_(head.head.weight)
    torch.nn.init.zeros_(head.head.bias)
    paths = torch.tensor([[3, 1, 1, 3, 1, 2, 0], [3, 3, 3, 2, 2, 2, 2]])
    keys = 9.0 * torch.nn.functional.one_hot(paths, 4)
    keys[0, 1] /= 3
    heard, nothing = head.transcribe(keys, torch.tensor([6, 3]))
    assert heard.ids == [1, 1, 2] and heard.frames == [(1, 2), (4, 4), (5, 5)]
    assert nothing.ids == nothing.confidence == nothing.frames == []
    high, low = (float(torch.tensor([x, 0, 0, 0.0]).softmax(0)[0]) for x in (9, 3))
    assert heard.confidence == pytest.approx([(high + low) / 2, high, high])


def test_layers_of_its_own_with_an_intermediate_loss():
    """A batch's losses are its items'; gradients reach what each loss is made of."""
    torch.manual_seed(0)
    head = CTCHead(6, 20, 5, "conformer", CONFORMER, inner_layer=1).eval()
    keys, lengths = torch.randn(3, 17, 6), torch.tensor([14, 9, 11])  # padded to 17

    def view(size):
        ids = torch.randint(size, (3, 4))
        return TextView(ids, torch.tensor([4, 2, 3]), ids)

    text, inner_text = view(20), view(5)

    def losses(*given):
        made = head.losses(*given)
        return torch.stack([made[name][1] for name in ("ctc", "ctc_inner")])

    both = losses(*head(keys, lengths), text, inner_text)
    alone = []
    for i in range(3):
        one = [
            TextView(*(x[i : i + 1] for x in (v.ids, v.lengths, v.word_ids)))
            for v in (text, inner_text)
        ]
        frames = lengths[i : i + 1]
        made = head(keys[i : i + 1, : int(frames)], frames)
        alone.append(losses(*made, *one))
    torch.testing.assert_close(both, torch.stack(alone).mean(0))
    first, second = head.encoder.encoders
    of_inner = torch.autograd.grad(
        both[1], [first.norm_ff.weight, second.norm_ff.weight]
    )
    assert of_inner[0].abs().sum() > 0 and not of_inner[1].any()


def test_an_inner_layer_that_is_not_there():
    for conf in ({}, {"encoder": "conformer", "encoder_conf": CONFORMER}):
        with pytest.raises(ValueError, match="inner_layer 3 is not one of the"):
            CTCHead(6, 20, 5, **conf, inner_layer=3)


def test_no_logits_of_all_tokens_are_kept(monkeypatch):
    """262k tokens: no tensor, not of gradients either, is of all frames and tokens."""
    monkeypatch.setattr(ctc_head, "MOST_LOGITS", 1 << 21)
    largest = []

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            out = function(*args, **(kwargs or {}))
            for tensor in out if isinstance(out, tuple | list) else [out]:
                if isinstance(tensor, torch.Tensor):
                    largest.append(tensor.numel())
            return out

    tokens = 262_144
    head = torch.nn.Linear(4, tokens + 1)
    states = torch.randn(2, 10, 4, requires_grad=True)
    ids = torch.randint(tokens, (2, 4))
    lengths, id_lengths = torch.tensor([10, 8]), torch.tensor([4, 3])
    with Watch():
        bounded_ctc_loss(head, states, lengths, ids, id_lengths).backward()
    assert max(largest) <= ctc_head.MOST_LOGITS < 2 * 10 * tokens
