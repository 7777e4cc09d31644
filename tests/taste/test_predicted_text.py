import pytest
import torch

from espnet2_taste.asr.ctc_decoding import FrameScores
from espnet2_taste.taste.predicted_text import PredictedText
from espnet2_taste.text.segmenters import SEGMENTERS
from espnet2_taste.text.tokenizers import build_text_tokenizer

BLANK = -1


@pytest.fixture(scope="module")
def char(tmp_path_factory):
    path = tmp_path_factory.mktemp("tokens") / "char.txt"
    path.write_text("\n".join(["<unk>", "\u2581", *"abcdr"]) + "\n")
    return build_text_tokenizer("char", str(path))


def frames_of(paths: list[list[int]]) -> FrameScores:
    """Whose best path is given."""
    length = max(map(len, paths))
    ids = torch.tensor([path + [BLANK] * (length - len(path)) for path in paths])
    silent = (ids == BLANK).float()
    lengths = torch.tensor([len(path) for path in paths])
    scores = -2.0 * silent[..., None]
    return FrameScores(
        -2.0 * (1 - silent), scores, ids.clamp(min=0)[..., None], lengths
    )


def batch_of(tokenizer, texts: list[str]) -> dict[str, torch.Tensor]:
    pairs = [tokenizer.encode_words(text.split()) for text in texts]
    batch = {}
    for index, name in enumerate(("text", "word_ids")):
        rows = [torch.tensor(pair[index]) for pair in pairs]
        batch[name] = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
    return batch | {"text_lengths": torch.tensor([len(ids) for ids, _ in pairs])}


def spread(ids: list[int]) -> list[int]:
    """A frame for a token, and a blank after each."""
    return [one for token in ids for one in (token, BLANK)]


def test_what_is_heard_takes_the_place_of_the_text(char):
    """Word borders from the path, prosody by the time of the word; the given text where
    it was heard, where nothing was, and where it is too much."""
    given = ["ab cad", "ab cad", "ab cad", "ab"]
    said = ["ab", "cab a d", "ab cad", "a b c d"]
    paths = [spread(char.encode_text(text)) for text in said]
    paths.append([BLANK] * 5)
    batch = batch_of(char, [*given, "abra"])
    units = torch.tensor([6, 12, 7, 3, 4])
    durations = torch.tensor([[2, 4], [5, 7], [3, 4], [3, 0], [4, 0]])
    prosody = torch.arange(30.0).view(5, 2, 3)
    counts = torch.tensor([2, 2, 2, 1, 1])
    predict = PredictedText(
        lambda: {"text": char}, SEGMENTERS["whitespace"], "text", longest=20
    )
    out, taken, heard, heard_counts, use = predict(
        frames_of(paths), batch, units, durations, prosody, counts
    )
    assert use.tolist() == [True, True, True, False, False]  # 4 words: 3 units
    wanted = batch_of(char, ["ab", "cab a d", "ab cad", "ab", "abra"])
    assert torch.equal(out["text_lengths"], wanted["text_lengths"])
    for item, length in enumerate(wanted["text_lengths"].tolist()):
        for name in ("text", "word_ids"):
            row = out[name][item, :length]
            assert torch.equal(row, wanted[name][item, :length])
    # of 16 frames the words begin at 0, 7.5 (a blank before it is halved) and 11.5
    assert taken[1].tolist() == [6, 3, 3] and torch.equal(taken[2, :2], durations[2])
    assert taken[0].tolist() == [6, 0, 0] and heard_counts.tolist() == [1, 3, 2, 1, 1]
    assert torch.equal(heard[1], prosody[1, [0, 1, 1]])
    assert torch.equal(heard[2, :2], prosody[2])
    assert (taken.sum(1) == units).all()


def test_an_item_is_read_alone_as_in_a_batch(char):
    texts, said = ["ab cad", "ab"], ["a bracad", "b"]
    paths = [spread(char.encode_text(text)) for text in said]
    predict = PredictedText(
        lambda: {"text": char}, SEGMENTERS["whitespace"], "text", longest=20
    )
    together = predict(frames_of(paths), batch_of(char, texts), torch.tensor([9, 5]))[0]
    for item, (text, path) in enumerate(zip(texts, paths, strict=True)):
        alone = predict(frames_of([path]), batch_of(char, [text]), torch.tensor([9]))[0]
        length = int(alone["text_lengths"])
        assert torch.equal(together["text"][item, :length], alone["text"][0, :length])
    longest = PredictedText(predict.load, predict.segmenter, "text", longest=3)
    use = longest(frames_of(paths), batch_of(char, texts), torch.tensor([9, 5]))[-1]
    assert use.tolist() == [False, True]
