import numpy as np
import pytest
import torch

from espnet2_taste.tasks.collate import TasteCollate
from espnet2_taste.tasks.preprocessor import TastePreprocessor
from espnet2_taste.taste.taste_spec import TasteSpec

PREPROCESS = TastePreprocessor("whisper", num_units=8)
GOOD = {
    "speech": np.zeros(1600, np.float32),
    "text": "red lamps",
    "units": np.arange(5, dtype=np.int32),
    "durations": np.array([2, 3], np.int32),
    "spk_emb": np.ones(4, np.float32),
}


def test_good_utterance():
    out = PREPROCESS("u", GOOD)
    assert out["word_ids"].tolist() == sorted(out["word_ids"].tolist())
    assert out["units"].dtype == out["text"].dtype == np.int64


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"text": " "}, "utterance u: empty text"),
        ({"text": "three little words"}, "2 durations for 3 words"),
        ({"durations": np.array([2, 2], np.int32)}, "durations sum to 4"),
        ({"speech": np.full(9, np.nan, np.float32)}, "speech holds values that"),
        ({"speech": np.zeros((9, 2), np.float32)}, "not mono"),
        (
            {"units": np.array([1, 2, 8, 0, 3])},
            "unit 8 is not among the 8 of the model",
        ),
        ({"units": np.array([1, 2, -1, 0, 3])}, "unit -1 is not among the 8"),
    ],
)
def test_bad_utterances_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        PREPROCESS("u", {**GOOD, **change})


def test_a_tokenizer_with_more_tokens_than_the_table_is_refused():
    from argparse import Namespace

    conf = {"token_type": "whisper", "token_model": "en", "num_units": 8}
    TastePreprocessor.of(Namespace(**conf, vocab_size=51864))
    TastePreprocessor.of(Namespace(**conf, vocab_size=51904))  # a padded table
    with pytest.raises(ValueError, match=r"en has 51864 tokens, the .* 300 rows"):
        TastePreprocessor.of(Namespace(**conf, vocab_size=300))


def test_taslm_codes_become_rows_and_must_fit_the_words():
    preprocess = TastePreprocessor("whisper", spec=TasteSpec(2, 8))
    data = {"text": "red lamps", "taste": np.arange(4, dtype=np.int32)}
    assert preprocess("u", data)["taste"].tolist() == [[0, 1], [2, 3]]
    with pytest.raises(ValueError, match="utterance u: 4 TASTE codes for 1 words"):
        preprocess("u", {**data, "text": "red"})
    with pytest.raises(ValueError, match="TASTE code 8 is not among the 8"):
        preprocess("u", {**data, "taste": np.array([0, 1, 8, 3])})
    each = TastePreprocessor("whisper", spec=TasteSpec(2, 8, "token"))
    data = {"text": "red lampshades", "taste": np.arange(8, dtype=np.int32)}
    out = each("u", data)
    assert len(out["taste"]) == len(out["text"]) == 4
    assert each.segments("red lampshades") == out["word_ids"].tolist() == [0, 1, 1, 1]
    with pytest.raises(ValueError, match="utterance u: 8 TASTE codes for 1 tokens x 2"):
        each("u", {**data, "text": "red"})
    # codes of the other segmentation
    with pytest.raises(
        ValueError, match="4 tokens x 2 .*: they are per word, this mode"
    ):
        each("u", {**data, "taste": np.arange(4)})
    with pytest.raises(
        ValueError, match="2 words x 2 .*: they are per token, this mode"
    ):
        preprocess("u", data)


def test_collate_pads_and_counts():
    items = [
        ("a", {"units": np.array([1, 2]), "speech": np.ones(3, np.float32)}),
        ("b", {"units": np.array([3]), "speech": np.ones(1, np.float32)}),
    ]
    uids, batch = TasteCollate(0.0, -1)(items)
    assert uids == ["a", "b"]
    assert batch["units"].tolist() == [[1, 2], [3, -1]]
    assert batch["speech_lengths"].tolist() == [3, 1]
    assert batch["speech"].dtype == torch.float32
