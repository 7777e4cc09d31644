"""What stands around the turns of dialogues."""

import pickle

import pytest
from tiny_chat import SYMBOLS, chat_tokenizer

from espnet2_taste.text.chat_template import ChatTemplate
from espnet2_taste.text.tokenizers import build_text_tokenizer


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder = chat_tokenizer(tmp_path_factory.mktemp("tokenizer"))
    return build_text_tokenizer("hf", folder)


def written(tokenizer, parts):
    return [tokenizer.tokenizer.decode(ids) for ids in parts]


@pytest.mark.parametrize(
    "name,parts",
    [
        (
            "chatml",
            [
                "<|im_start|>user\n",
                "<|im_end|>\n<|im_start|>assistant\n",
                "<|im_end|>\n",
            ],
        ),
        (
            "taste2",
            [
                "<|im_start|>user\n",
                "\n<|im_end|><|im_start|>assistant\n",
                "\n<|im_end|>",
            ],
        ),
        (
            "own",
            [
                "<|end|><|im_start|>user\n\n",
                "<|im_end|><|im_start|>assistant\n\n",
                "<|im_end|>",
            ],
        ),
    ],
)
def test_parts_by_hand(tokenizer, name, parts):
    template = ChatTemplate(tokenizer, name, start_symbol=False)
    around = template.around(("user", "assistant"))
    assert written(tokenizer, around) == parts
    assert around[-1] == template.closing
    assert (
        tokenizer.tokenizer.decode(template.end_id)
        == parts[-1][: len(SYMBOLS[1])][: 1 if name == "taste2" else None]
    )
    again = pickle.loads(pickle.dumps(template))  # as data loaders do
    assert again.around(("user", "assistant")) == around


def test_a_start_symbol_is_written_once(tokenizer):
    template = ChatTemplate(tokenizer, "own", start_symbol=True)
    (first, *_) = written(tokenizer, template.around(("user",)))
    assert first == "<|im_start|>user\n\n"


def test_what_cannot_be_used_is_named(tokenizer, tmp_path):
    with pytest.raises(ValueError, match="'llama' is not one of own, chatml, taste2"):
        ChatTemplate(tokenizer, "llama")
    (tmp_path / "chars").write_text("<unk>\n\u2581\na\n", encoding="utf-8")
    chars = build_text_tokenizer("char", str(tmp_path / "chars"))
    with pytest.raises(ValueError, match="chatml: dialogues need .*.token_type hf"):
        ChatTemplate(chars, "chatml")
    with pytest.raises(ValueError, match="refuses turns of system, user: no system"):
        ChatTemplate(tokenizer, "own").around(("system", "user"))
    wrong = {
        "has no chat template: take chat_template chatml": None,
        "ends an assistant's turn with 'a', which may be said": "{% for m in messages "
        "%}{{ m.content }}a{% endfor %}",
        "does not write each turn once, in order": "{{ messages[1].content }}",
    }
    for number, (message, template) in enumerate(wrong.items()):
        folder = chat_tokenizer(tmp_path / str(number), template, SYMBOLS[2:])
        other = build_text_tokenizer("hf", folder)
        with pytest.raises(ValueError, match=message) as error:
            ChatTemplate(other, "own")
        assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match=r"has no token <\|im_start\|>: take its own"):
        ChatTemplate(other, "chatml")
