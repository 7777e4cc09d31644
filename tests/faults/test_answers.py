"""What is a word, and what an answer, in any script."""

import unicodedata
from string import punctuation

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet2_taste.bin.train_tokenizer import main as train_tokenizer
from espnet2_taste.evaluate.judge import parse_score
from espnet2_taste.evaluate.qa import contains
from espnet2_taste.evaluate.scorers.words import warn_unspaced
from espnet2_taste.evaluate.word_errors import SPACE, characters, error_statistics
from espnet2_taste.text.normalise import (
    load_cleaner,
    normalise_words,
    spaced_words,
    unspaced_part,
)

#: Words with marks, of scripts with spaces.
WORDS = (
    "हिन्दी में बात करना नमस्ते বাংলা ভাষা தமிழ் மொழி తెలుగు ಕನ್ನಡ ગુજરાતી ਪੰਜਾਬੀ "  # of India
    "العَرَبِيَّة كِتَابٌ سلام فارسی עִבְרִית שָׁלוֹם "
    "café señor naïve Ångström İstanbul Việt năm tiếng über straße "
    "Ελληνικά ἀρχή русский ёлка українська հայերեն ქართული 한국어 말 አማርኛ"
).split()
UNSPACED = ["今天天气很好", "東京です", "カタカナがギター", "สวัสดีครับ", "ภาษาไทย"]
UNSPACED += ["ສະບາຍດີ", "မြန်မာ", "ខ្មែរ", "𠮷野家"]
SIGNS = [*punctuation.replace("'", ""), "…", "।", "،"]


@settings(max_examples=120, deadline=None)
@given(
    words=st.lists(st.sampled_from(WORDS), min_size=1, max_size=6),
    form=st.sampled_from(["NFC", "NFD"]),
    sign=st.sampled_from(SIGNS),
)
def test_words_of_any_script(words, form, sign):
    plain = [unicodedata.normalize("NFC", word.lower()) for word in words]
    text = unicodedata.normalize(form, f"{sign} ".join(words) + sign)
    for found in (normalise_words(text), spaced_words(text)):
        assert found == plain
    assert normalise_words(" ".join(plain)) == plain  # of words, nothing changes
    basic = load_cleaner("whisper_basic")(" ".join(words))
    assert len(basic) == len(words)


@pytest.mark.parametrize("text", UNSPACED)
def test_scripts_without_spaces(text):
    """A wrong character is one error of many, not of one."""
    words = normalise_words(text)
    assert 1 < len(words) and "".join(words) == unicodedata.normalize("NFC", text)
    assert spaced_words(text) == ["".join(words)]
    assert all(unicodedata.category(word[0])[0] in "LN" for word in words)
    assert SPACE not in characters(words)
    wrong = [*words[:-1], "x"]
    errors, found, _ = error_statistics({"u": words}, {"u": wrong})
    assert errors.rate == pytest.approx(1 / len(words))
    assert found["cer"].value() < 1
    assert contains(f"{text}!", "".join(words[:2]))
    assert not contains(text, "".join(words[::-1]))


@pytest.mark.parametrize("text", UNSPACED)
def test_that_is_said(text, caplog):
    for cleaner, how in (("words", "words by character"), ("none", "compared whole")):
        caplog.clear()
        texts = ["red lamp", text]
        warn_unspaced("gt", texts, map(load_cleaner(cleaner), texts))
        assert (
            f"gt: text without spaces ('{unspaced_part(text)}') is {how}" in caplog.text
        )
    caplog.clear()
    warn_unspaced("gt", ["red lamp"], [["red", "lamp"]])
    assert not caplog.text


def test_a_vocabulary_of_sentences_is_told(tmp_path, caplog):
    (tmp_path / "text").write_text(
        "u1 今天天气真的很好我们走吧\nu2 a b\n", encoding="utf-8"
    )
    options = ["--data_dir", str(tmp_path), "--output", str(tmp_path / "chars")]
    for segmenter, told in (("whitespace", True), ("characters", False)):
        caplog.clear()
        train_tokenizer([*options, "--token_type", "char", "--segmenter", segmenter])
        assert told == ("all would be one word" in caplog.text)


def test_mixed_scripts():
    assert normalise_words("我用iPhone 15打电话。") == [
        *"我用",
        "iphone",
        "15",
        *"打电话",
    ]
    assert characters(["ab", "c"]) == ["a", "b", SPACE, "c"]
    assert characters(["ab", "我", "c", "d"]) == ["a", "b", "我", "c", SPACE, "d"]
    assert normalise_words("می\u200cخواهم  so\u00adft a\u200bb ❤\ufe0f 👍🏽") == [
        *("میخواهم", "soft", "a", "b")
    ]


@settings(max_examples=60, deadline=None)
@given(
    before=st.lists(st.sampled_from(WORDS), max_size=3),
    answer=st.lists(st.sampled_from(WORDS), min_size=1, max_size=2),
    form=st.sampled_from(["NFC", "NFD"]),
)
def test_answers_of_any_script(before, answer, form):
    text = unicodedata.normalize(form, " ".join([*before, *answer, "x"]))
    assert contains(text, " ".join(answer))
    assert not contains("x y", " ".join(answer))


@pytest.mark.parametrize(
    "text, answer, right",
    [
        ("vitamin c", "Vitamin A", False),
        ("it is vitamin a", "Vitamin A", True),
        ("hepatitis b", "Hepatitis A", False),
        ("hepatitis b", "hepatitis a", False),
        ("hepatitis b virus", "Hepatitis A virus", False),
        ("the hepatitis a virus", "Hepatitis A virus", True),
        ("the b team", "The A-Team", False),
        ("the a team", "The A-Team", True),
        ("serie b", "Serie A", False),
        ("plan b", "Plan A", False),
        ("type o", "Type A", False),
        ("he got an a", "A", True),
        ("he got a c", "an A", True),  # the article itself
        ("tale of two cities", "A Tale of Two Cities", True),
        ("a tale of the two cities", "A Tale of Two Cities", True),
        ("lord of rings", "The Lord of the Rings", True),
        ("an apple", "apple", True),
        ("apple", "An Apple", True),
        ("the beatles", "Beatles", True),
        ("beatles", "the Beatles", True),
        ("a i", "A.I.", True),
        ("the i", "A.I.", False),
        ("か", "が", False),  # a mark that decides
        ("की", "के", False),
        ("ไม่", "ไม้", False),
        ("cafe", "Café", True),  # one that does not
        ("كتاب", "كِتَابٌ", True),
        ("uber", "Über", True),
        ("東京です", "東京", True),
        ("京東です", "東京", False),
    ],
)
def test_what_decides_is_compared(text, answer, right):
    assert contains(text, answer) is right


@pytest.mark.parametrize(
    "answer, score",
    [
        ("4/5", 4.0),
        ("**4/5**", 4.0),
        ("It is good.\n4 / 5", 4.0),
        ("Good.\nScore: 4 of 5", 4.0),
        ("Score: 4 out of 10", None),
        ("Score: 4/10", None),
        ("8/10", None),
        ("Score: 4,5", 4.5),
        ("Score: -1", None),
        ("Score: 4-5", None),
        ("Score: 80%", None),
        ("Score: 4.5%", None),
        ("Score - 4", 4.0),
        ("I would score this a 4", None),
        ("1\n2", 2.0),
        ("\n", None),
    ],
)
def test_scores(answer, score):
    assert parse_score(answer) == score
