"""The published architecture on batches: each item gets what it gets alone.

Not a comparison with the reference, which pads audio to 30 s and generates one item at
a time; the folders' models, texts of every length and utterances of one word.
"""

import pytest
import torch

pytest.importorskip("peft")

from parity.computed import generation, taslm  # noqa: E402
from parity.models import taslm_model, taste_model  # noqa: E402

from espnet2_taste.taslm.generation import Prompt, generate  # noqa: E402
from espnet2_taste.taslm.sampler import SamplingOptions  # noqa: E402
from espnet2_taste.text.view import TextView  # noqa: E402


@torch.no_grad()
def test_tokenizer_without_padding_to_30s(parity):
    """Audio and text cut to their lengths, the last item's text a single word."""
    model, inputs = taste_model(parity), parity.load("inputs")
    model.encoder.mask_padding = model.aggregator.mask_padding = True
    feats = inputs["audio_features"]
    frames = inputs["audio_feature_lengths"].long()
    feats = feats[:, : frames.max()]
    text, lengths, words = (
        inputs[f"asr_{name}"].long()
        for name in ("token_ids", "token_lengths", "word_ids")
    )
    words[-1] = 0
    view = TextView(text, lengths, words)
    together = model.tokenize_feats(feats, frames, view).quantizer.codes
    for i, (frame, size) in enumerate(zip(frames, lengths, strict=True)):
        alone = model.tokenize_feats(
            feats[[i], :frame],
            frame[None],
            TextView(text[[i], :size], size[None], words[[i], :size]),
        )
        assert torch.equal(alone.quantizer.codes[0], together[i, :size])
        assert (together[i, size:] == -1).all()
    assert len(together[-1, : lengths[-1]].unique(dim=0)) == 1


@pytest.mark.parametrize("mode", ["zero", "text", "audio"])
@pytest.mark.parametrize("top_p", [0.0, 0.9], ids=["greedy", "sampled"])
def test_taslm_generation(parity, mode, top_p):
    """The items of ``d_spoken_lm``, the last of one word, each with its own seed."""
    model = taslm_model(parity)
    vocabulary = generation.vocabulary(parity)
    text, taste, words = taslm.batch_of(parity)
    lengths = text.lengths
    options = SamplingOptions(
        max_words=4,
        max_tokens_per_word=4,
        end_symbol=False,
        text_top_p=top_p,
        taste_top_p=top_p,
        seed=1,
    )

    def continued(rows, seeds):
        size, count = int(lengths[rows].max()), int(words[rows].max())
        prompt = Prompt(
            mode=mode,
            text=TextView(
                text.ids[rows, :size], lengths[rows], text.word_ids[rows, :size]
            ),
            taste=taste[rows, :count],
        )
        return generate(model, vocabulary, prompt, options, seeds)

    seeds = [7 + i for i in range(len(taste))]
    together = continued(slice(None), seeds)
    for i, seed in enumerate(seeds):
        want, codes = continued(slice(i, i + 1), [seed]).words(0)
        got = together.words(i)
        assert got[0] == want and torch.equal(got[1], codes)
        assert len(want) == len(codes) == 4
