"""Training reads a frozen encoder's outputs from disk and learns the same."""

import json
import subprocess
import sys

import pytest
import torch
from test_taste_task import same
from tiny_system import AGGREGATOR_CONF

from espnet2_taste.io.checkpoint import load_state
from espnet2_taste.taste.encoder_cache import EncoderCache
from espnet2_taste.taste.tokenizer.abs_encoder import EncoderOutput
from espnet2_taste.taste.tokenizer.espnet_encoder import EspnetEncoder


def lines(folder):
    return [json.loads(line) for line in open(folder / "0.jsonl")]


def test_learns_the_same_and_resumes(train_taste, tiny_taste, tmp_path):
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    options = ["--encoder_cache", str(tmp_path / "one")]
    train_taste(whole, None, *options)
    made, plain = (load_state(f / "2epoch.pth") for f in (whole, tiny_taste))
    assert made.keys() == plain.keys()
    for name, value in plain.items():
        torch.testing.assert_close(made[name], value, rtol=1e-3, atol=1e-4)
    kept = lines(tmp_path / "one")
    assert len({entry["name"] for entry in kept}) == len(kept) == 6

    options = ["--encoder_cache", str(tmp_path / "two")]
    train_taste(halves, None, "--max_epoch", "1", *options)
    with open(tmp_path / "two" / "0.jsonl", "a") as index:  # killed while it wrote
        index.write('{"name": "utt')
    with open(tmp_path / "two" / "0.bin", "ab") as data:
        data.write(b"xyz")
    train_taste(halves, None, "--resume", "true", *options)
    assert same(load_state(whole / "2epoch.pth"), load_state(halves / "2epoch.pth"))
    assert lines(tmp_path / "two") == kept
    sizes = [(tmp_path / n / "0.bin").stat().st_size for n in ("one", "two")]
    assert sizes[0] == sizes[1] > 0


FEATURES = {  # values of features, by what is trained though the encoder is frozen
    "frontend": "mel_pitch",
    "frontend_conf": {"n_mels": 20},
    "encoder": "espnet",
    "encoder_conf": {
        "encoder_conf": {"output_size": 8, "attention_heads": 1, "num_blocks": 1},
        "asr_input_size": 20,
        "value_size": 8,
    },
}


@pytest.mark.parametrize("source", ["features", [1, "features"]])
def test_what_is_trained_is_not_kept(train_taste, tmp_path, source):
    """Its gradients are those of a training that keeps nothing; sub-stages share."""
    conf = dict(FEATURES)
    conf["encoder_conf"] = FEATURES["encoder_conf"] | {"value_source": source}
    if isinstance(source, list):
        conf |= {"aggregator": "multi_layer", "aggregator_conf": AGGREGATOR_CONF}
    options = ["--encoder_cache", str(tmp_path / "cache")]
    plain = load_state(train_taste(tmp_path / "plain", conf) / "2epoch.pth")
    made = load_state(train_taste(tmp_path / "made", conf, *options) / "2epoch.pth")
    start = load_state(tmp_path / "made" / "1epoch.pth")
    convs = [name for name in plain if "value_conv" in name and "weight" in name]
    assert convs and not any(torch.equal(made[n], start[n]) for n in convs)
    for name, value in plain.items():
        torch.testing.assert_close(made[name], value, rtol=1e-3, atol=1e-4)
    kept = lines(tmp_path / "cache")
    init = ["--init_param", str(tmp_path / "made" / "2epoch.pth"), *options]
    train_taste(tmp_path / "next", conf, *init)
    assert len(kept) == 6 and lines(tmp_path / "cache") == kept


class Encoder(torch.nn.Module):
    frozen, key_size, trained_parts = True, 3, ()

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1), requires_grad=False)


def batch(rows):
    """Deterministic outputs of utterances 0 to 3, with 2, 3, 4, 5 frames."""
    lengths = torch.tensor(rows) + 2
    frames = torch.arange(int(lengths.max()))[None, :, None].float()
    keys = frames + 10 * torch.tensor(rows)[:, None, None] + torch.arange(3) / 8
    values = torch.stack([keys[..., :2], -keys[..., :2]], 2)
    valid = frames < lengths[:, None, None]
    return EncoderOutput(keys * valid, values * valid[..., None], lengths)


def ask(cache, rows, encoder=None, given=None):
    asked = []

    def encode(missing):
        asked.extend(missing)
        return batch([rows[i] for i in missing])

    given = torch.tensor(rows) + 100 if given is None else given
    out = cache(encoder or Encoder(), [f"utt{row}" for row in rows], given, encode)
    want = batch(rows)
    for name in ("keys", "values", "lengths"):
        torch.testing.assert_close(getattr(out, name), getattr(want, name))
    return [rows[i] for i in asked]


def test_what_is_known_is_not_computed(tmp_path):
    cache = EncoderCache(tmp_path, 1.0, "these data")
    assert ask(cache, [0, 3]) == [0, 3]
    assert ask(cache, [1, 3, 0]) == [1]
    del cache
    cache = EncoderCache(tmp_path, 1.0, "these data")
    assert ask(cache, [3, 2, 1]) == [2] and cache.reads == 2


def test_no_more_than_the_stated_size(tmp_path):
    size = 7 * 4  # bytes of a frame
    cache = EncoderCache(tmp_path, 7 * size / 2**30, "these data")
    for _ in range(2):
        asked = ask(cache, [0, 3, 1])
    assert asked == [1] and (tmp_path / "0.bin").stat().st_size == 7 * size


def test_what_is_stale_is_refused(tmp_path):
    ask(EncoderCache(tmp_path, 1.0, "these data"), [0])
    with pytest.raises(ValueError, match="another encoder, frontend or data: remove"):
        ask(EncoderCache(tmp_path, 1.0, "other data"), [0])
    other = Encoder()
    other.weight += 1
    with pytest.raises(ValueError, match="another encoder, frontend or data: remove"):
        ask(EncoderCache(tmp_path, 1.0, "these data"), [0], other)
    cache = EncoderCache(tmp_path, 1.0, "these data")
    with pytest.raises(ValueError, match="utt0 had 100 samples or frames, now 99"):
        ask(cache, [0], given=torch.tensor([99]))


def test_two_trainings_share_one(tmp_path):
    """One adds to it, the other reads what was there when it began."""
    ask(EncoderCache(tmp_path, 1.0, "these data"), [0])
    lock = (
        "import fcntl, sys; f = open(sys.argv[1], 'r+'); fcntl.lockf(f, fcntl.LOCK_EX)"
    )
    lock += "; print(flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", lock, str(tmp_path / "0.bin")]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as another:
        try:
            another.stdout.readline()
            cache = EncoderCache(tmp_path, 1.0, "these data")
            assert ask(cache, [0, 1]) == [1] and ask(cache, [1, 0]) == [1]
        finally:
            another.kill()
    assert len(lines(tmp_path)) == 1


def test_what_is_trained_is_refused(tmp_path):
    """Kept outputs would not only be old, they would have no gradient."""
    trained = Encoder()
    trained.weight.requires_grad = True
    thawed = EspnetEncoder(8, encoder_conf={"num_blocks": 1}, frozen=False)
    dropping = Encoder()
    dropping.frozen = False
    cases = {"weight": trained, "encoder": thawed, "dropout": dropping}
    for name, encoder in cases.items():
        message = rf"this encoder is trained \({name}.*, its outputs change"
        with pytest.raises(ValueError, match=message):
            ask(EncoderCache(tmp_path, 1.0, "these data"), [0], encoder)
