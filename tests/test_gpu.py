"""A GPU says what the CPU says, in float32, and trains in bfloat16."""

import copy

import pytest
import torch

from benchmarks.setup import Setup
from benchmarks.taslm import prompt_of, vocabulary_of
from benchmarks.units import conditioning, exactly
from espnet2_taste.nn.fusion import WeightedSumFusion
from espnet2_taste.taslm.generation import Prompt, generate
from espnet2_taste.taslm.running import generate_running
from espnet2_taste.taslm.sampler import SamplingOptions
from espnet2_taste.taste.speech_decoder.abs_speech_decoder import (
    Conditioning,
    Sampling,
)
from espnet2_taste.taste.speech_decoder.word_synchronous import WordSynchronousDecoder

pytestmark = pytest.mark.gpu
DEVICE = "cuda"


def moved(inputs):
    """A dataclass of tensors on the GPU."""
    fields = vars(inputs).items()
    return type(inputs)(
        **{k: v.to(DEVICE) if torch.is_tensor(v) else v for k, v in fields}
    )


@pytest.fixture(params=["unit_transformer", "word_synchronous"])
def speaker(request):
    """A speech decoder and three texts."""
    setup = Setup("tiny")
    with torch.inference_mode():
        cond = conditioning(setup, 3)
    if request.param == "unit_transformer":
        exactly(setup.taste.speech_decoder, setup.work)
        return setup.taste.speech_decoder, cond
    conf, size = setup.conf["taste"], cond.audio.size(-1)
    vocab, speakers = conf["vocab_size"], conf["spk_embed_dim"]
    sizes = {"size": 16, "num_layers": 2, "num_heads": 2, "max_units_per_word": 12}
    return (
        WordSynchronousDecoder(
            vocab, size, conf["num_units"], speakers, WeightedSumFusion, **sizes
        ).eval(),
        cond,
    )


@pytest.mark.parametrize("top_k", [1, 5], ids=["greedy", "sampled"])
@torch.inference_mode()
def test_speech_decoders(speaker, top_k):
    decoder, cond = speaker
    sampling, seeds = Sampling(top_k=top_k, seed=1), [3, 4, 5]
    want = decoder.generate(cond, sampling, seeds)
    got = copy.deepcopy(decoder).to(DEVICE).generate(moved(cond), sampling, seeds)
    assert isinstance(cond, Conditioning) and want.units.numel() > 0
    assert torch.equal(got.lengths.cpu(), want.lengths)
    assert torch.equal(got.units.cpu(), want.units)


def test_a_step_of_units_as_one_graph(speaker, caplog):
    decoder, cond = speaker
    sampling, seeds = Sampling(top_k=5, seed=1), [3, 4, 5]
    want = decoder.generate(cond, sampling, seeds)
    moving = copy.deepcopy(decoder).to(DEVICE)
    got = moving.generate_running(moved(cond), sampling, seeds, slots=2, graph=True)
    assert torch.equal(got.units, want.units) and "no CUDA graph" not in caplog.text


def test_a_step_of_the_taslm_as_one_graph(caplog):
    setup = Setup("tiny")
    prompt = prompt_of(setup, 3)
    options = SamplingOptions(max_words=4, end_symbol=False, text_top_p=0.9)
    vocabulary = vocabulary_of(setup.taslm.lm.vocab_size)
    want = generate(setup.taslm, vocabulary, prompt, options)
    model = copy.deepcopy(setup.taslm).to(DEVICE)
    runs = generate_running(
        model, vocabulary, moved(prompt), options, slots=2, graph=True
    )
    for item, run in enumerate(runs):
        (words, codes), (others, theirs) = run.words(0), want.words(item)
        assert words == others and torch.equal(codes, theirs)
    assert "no CUDA graph" not in caplog.text


@pytest.mark.parametrize("top_p", [0.0, 0.9], ids=["greedy", "sampled"])
def test_taslm(top_p):
    setup = Setup("tiny")
    prompt = prompt_of(setup, 3)
    options = SamplingOptions(
        max_words=4, end_symbol=False, text_top_p=top_p, taste_top_p=top_p
    )
    vocabulary = vocabulary_of(setup.taslm.lm.vocab_size)
    want = generate(setup.taslm, vocabulary, prompt, options)
    model = copy.deepcopy(setup.taslm).to(DEVICE)
    assert isinstance(prompt, Prompt)
    got = generate(model, vocabulary, moved(prompt), options)
    for name, value in vars(want).items():
        assert torch.equal(getattr(got, name), value), name


def test_codebooks_stay_float32_under_bfloat16():
    """k-means of the first batch, moving averages of the next; gradients are finite."""
    setup = Setup("tiny", DEVICE)
    conf = setup.conf["stages"]["rvq"]
    conf["quantizer_conf"] |= {"kmeans_init": True, "quantize_dropout": True}
    model = setup.stage("rvq", "sdpa")
    books = []
    for _ in range(2):
        model.zero_grad()
        with torch.autocast(DEVICE, torch.bfloat16):
            loss, stats, _ = model(**setup.taste_batch())
        loss.backward()
        books.append(model.quantizer.codebooks.clone())
    assert torch.isfinite(loss).all() and torch.isfinite(stats["commit"]).all()
    grads = {n: p.grad for n, p in model.named_parameters() if p.requires_grad}
    assert all(torch.isfinite(g).all() for g in grads.values() if g is not None)
    assert grads["quantizer.project_in.weight"].any()
    buffers = model.quantizer.state_dict().values()
    assert {b.dtype for b in buffers if b.is_floating_point()} == {torch.float32}
    assert (books[0] != books[1]).any()
