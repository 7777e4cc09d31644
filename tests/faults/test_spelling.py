"""A word without a piece is found before training, which would end with it."""

import pytest

from espnet2_taste.bin.datadir import main as datadir
from espnet2_taste.bin.train_tokenizer import main as train_tokenizer
from espnet2_taste.io.tables import read_table
from espnet2_taste.text.spelling import find_unspelled

#: Words that no training sentence has.
FOREIGN = ["—", "–", "…", "&", "🙂", "👩‍🚀", "\u200b", "\u2060", "\ufeff", "\u00ad"]
FOREIGN += ["語", "ж", "%", "№", "©", "♪", "\U0001f1e9\U0001f1ea", "。", "¿", "'"]


@pytest.fixture(scope="module", params=["bpe", "char"])
def vocabulary(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    lines = [f"u{i} {t}\n" for i, t in enumerate(["the red lamp", "set - it"] * 20)]
    (folder / "text").write_text("".join(lines))
    command = ["--data_dir", str(folder), "--token_type", request.param]
    train_tokenizer([*command, "--vocab_size", "30", "--output", str(folder / "m")])
    return {"token_type": request.param, "token_model": str(folder / "m")}


@pytest.mark.parametrize("word", FOREIGN)
@pytest.mark.parametrize("form", ["{}", "the {} lamp", "the lamp {}", "{} the"])
def test_every_foreign_word_is_found(vocabulary, word, form):
    texts = {"good": "the lamp - set", "bad": form.format(word), "part": f"lamp{word}"}
    found = find_unspelled(texts.items(), [vocabulary])
    assert list(found) == ["bad"] and repr(word) in found["bad"]
    further = {
        "token_type": vocabulary["token_type"],
        "vocabularies": {"x": vocabulary},
    }
    model = vocabulary["token_model"]
    assert list(find_unspelled(texts.items(), [further], model)) == ["bad"]


def test_the_command_drops_and_counts(vocabulary, tmp_path, caplog):
    (tmp_path / "wav.scp").write_text("a 1.wav\nb 2.wav\nc 3.wav\n")
    (tmp_path / "text").write_text("a the lamp\nb the — lamp\nc 🙂\n")
    (tmp_path / "utt2spk").write_text("a s\nb s\nc s\n")
    (tmp_path / "conf.yaml").write_text(f"token_type: {vocabulary['token_type']}\n")
    options = ["--spelled_by", f"{tmp_path}/conf.yaml"]
    datadir(["fix", f"{tmp_path}", *options, "--bpe_model", vocabulary["token_model"]])
    assert read_table(tmp_path / "text") == {"a": "the lamp"}
    assert "dropped 2 utterances: a word that the vocabulary cannot" in caplog.text
    assert "b: dropped: word '—' has no known token" in caplog.text


def test_a_vocabulary_of_its_own_is_not_the_recipes(vocabulary):
    texts = {"good": "the lamp", "other": "the \u2014 lamp"}
    model = vocabulary["token_model"]
    assert not find_unspelled(texts.items(), [{"token_type": "whisper"}], model)
