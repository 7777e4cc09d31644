"""What holds for every encoder."""

import torch


def feats(size: int, lengths=(31, 22)):
    x = torch.randn(len(lengths), max(lengths), size)
    for item, length in enumerate(lengths):
        x[item, length:] = 7.0  # garbage in the padding
    return x, torch.tensor(lengths)


def check_batch_is_single(encoder, x, lengths):
    batch = encoder(x, lengths)
    assert batch.keys.shape[:2] == batch.values.shape[:2]
    assert batch.keys.size(2) == encoder.key_size
    assert batch.values.size(-1) == encoder.value_size
    assert batch.value_layers.size(2) == encoder.num_values
    assert batch.lengths.dtype == torch.int64
    close = {"atol": 1e-5, "rtol": 1e-5}
    for item, length in enumerate(lengths.tolist()):
        alone = encoder(x[item : item + 1, :length], lengths[item : item + 1])
        frames = alone.keys.size(1)
        assert alone.lengths.item() == frames == batch.lengths[item]
        torch.testing.assert_close(batch.keys[item, :frames], alone.keys[0], **close)
        got = batch.values[item, :frames]
        torch.testing.assert_close(got, alone.values[0], **close)
    return batch


def check_frozen(encoder, frozen_parts):
    encoder.train()
    for part in frozen_parts:
        assert not any(m.training for m in part.modules())
        assert not any(p.requires_grad for p in part.parameters())


def several_values_are_single_values(make, sources):
    """A list of value layers gives what each of them gives alone, in its order."""
    encoder = make(sources).eval()
    x, lengths = feats(8)
    several = encoder(x, lengths)
    assert several.values.shape[2:] == (len(sources), encoder.value_size)
    assert encoder.num_values == len(sources)
    for index, source in enumerate(sources):
        alone = make(source).eval()
        alone.load_state_dict(
            {k: v for k, v in encoder.state_dict().items() if k in alone.state_dict()}
        )
        out = alone(x, lengths)
        assert torch.equal(several.values[:, :, index], out.values)
        assert torch.equal(several.keys, out.keys)
        assert torch.equal(out.value_layers[:, :, 0], out.values)
    check_batch_is_single(encoder, x, lengths)
