import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet2_taste.bin.train_tokenizer import main as train_tokenizer
from espnet2_taste.text.segmenters import SEGMENTERS
from espnet2_taste.text.tokenizers import build_text_tokenizer

#: Chinese, kana, Thai with marks, Latin, digits, punctuation, spaces.
LETTERS = "我爱北京カタコーひกิน้the Red's12\u06603,。「」!?- \u00e9"
SENTENCES = ["我爱 the red 灯", "set the 红灯 2 times", "กินน้ำ", "コーヒー"]


@pytest.mark.parametrize(
    "text,words,spaced",
    [
        ("我爱 NLP技术", "我|爱|NLP|技|术", "00100"),
        ("the red lamp", "the|red|lamp", "111"),
        ("「我」爱。OK? 3本 don't", "「我」|爱。|OK?|3|本|don't", "000101"),
        ("コーヒー", "コー|ヒー", "00"),
        ("กินน้ำ", "กิ|น|น้|ำ", "0000"),
        ("한국어 문장", "한국어|문장", "11"),
        (" - 我 ", "-|我", "11"),
        ("", "", ""),
    ],
)
def test_characters(text, words, spaced):
    expected = [w for w in words.split("|") if w]
    assert SEGMENTERS["characters"].split(text) == (
        expected,
        [s == "1" for s in spaced],
    )


@given(st.text())
def test_whitespace_is_str_split(text):
    words, spaced = SEGMENTERS["whitespace"].split(text)
    assert words == text.split() and spaced == [True] * len(words)


@pytest.mark.parametrize("name", SEGMENTERS)
@given(text=st.one_of(st.text(), st.text(LETTERS)), count=st.integers(0, 3))
def test_words_join_to_the_text(name, text, count):
    segmenter = SEGMENTERS[name]
    words, spaced = segmenter.split(text)
    joined = segmenter.join(words, spaced)
    assert joined == " ".join(text.split())
    assert segmenter.split(joined) == (words, spaced)
    assert segmenter.words(segmenter.first(text, count)) == words[:count]


@pytest.mark.parametrize("name", SEGMENTERS)
@given(text=st.text(LETTERS), count=st.integers(1, 3))
def test_pieces_have_the_words_of_the_whole(name, text, count):
    segmenter = SEGMENTERS[name]
    words, spaced = segmenter.split(text)
    if len(words) <= count:
        return
    rest = segmenter.join(words, spaced)[len(segmenter.first(text, count)) :]
    pieces = segmenter.split_after(words[count - 1], rest)
    assert pieces == (words[count:], spaced[count:])


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokens")
    lines = [*SENTENCES, " ".join(LETTERS.replace(" ", ""))]
    (folder / "text").write_text("".join(f"u{i} {s}\n" for i, s in enumerate(lines)))
    for kind in ("bpe", "char"):
        train_tokenizer(
            ["--data_dir", str(folder), "--token_type", kind, "--vocab_size", "80"]
            + ["--segmenter", "characters", "--output", str(folder / kind)]
        )
    return {
        kind: build_text_tokenizer(kind, str(folder / kind)) for kind in ("bpe", "char")
    }


@pytest.mark.parametrize("kind", ["bpe", "char", "whisper"])
@settings(max_examples=50, deadline=None)
@given(text=st.text(LETTERS).filter(lambda text: text.strip(" 。「」!?-,")))
def test_every_word_has_tokens_that_keep_its_space(models, kind, text):
    tokenizer = models.get(kind) or WHISPER
    words, spaced = SEGMENTERS["characters"].split(text)
    ids, word_ids = tokenizer.encode_words(words, spaced)
    assert sorted(set(word_ids)) == list(range(len(words)))
    for index, space in enumerate(spaced):
        own = [i for i, w in zip(ids, word_ids, strict=True) if w == index]
        assert tokenizer.piece(own[0]).startswith(" ") == space


WHISPER = build_text_tokenizer("whisper")


def test_a_generated_text_has_the_words_that_were_counted():
    """Random pieces of mixed scripts: the sampler's words are the segmenter's."""
    from espnet2_taste.taslm.sampler import Sampler, SamplingOptions
    from espnet2_taste.taslm.vocabulary import Vocabulary

    pieces = [
        " ",
        *"我灯กิー",
        "一",
        " a",
        "bc",
        "d",
        "2",
        "。",
        " 「",
        " 红",
        "a我",
        "'s",
    ]
    table = Vocabulary.build(18, 16, pieces.__getitem__, segmenter="characters")
    assert table.banned[pieces.index("a我")] and table.banned[pieces.index("'s")]
    segmenter, batch = SEGMENTERS["characters"], 64
    options = SamplingOptions(
        end_symbol=False, max_words=5, text_top_p=1.0, max_tokens_per_word=4
    )
    seen = torch.zeros(batch, 18, dtype=torch.bool)
    sampler = Sampler(options, table, 0, "word", 17, seen)
    generator = torch.Generator().manual_seed(0)
    texts = [[] for _ in range(batch)]
    for _ in range(30):
        uniforms = torch.rand(batch, generator=generator)
        step = sampler.step(torch.zeros(batch, 18), uniforms)
        for item in step.emitted.nonzero().flatten().tolist():
            if step.starts[item]:
                texts[item].append("")
            texts[item][-1] += pieces[step.text[item]]
    assert {len(words) for words in texts} == {5}
    for words in texts:
        spaced = [word.startswith(" ") for word in words]
        bare = [word.strip() for word in words]
        assert segmenter.words(segmenter.join(bare, spaced)) == bare
