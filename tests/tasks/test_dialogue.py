"""Dialogues as arrays: which token is which, and what of it is learned."""

import json
from itertools import groupby
from operator import itemgetter

import numpy as np
import pytest
import torch
from tiny_chat import chat_tokenizer

from espnet2_taste.tasks.dialogue import DialoguePreprocessor, Turn
from espnet2_taste.tasks.preprocessor import TastePreprocessor
from espnet2_taste.taste.taste_spec import TasteSpec
from espnet2_taste.text.chat_template import ChatTemplate

TURNS = [
    {"role": "system", "text": "read", "spoken": False},
    {"role": "user", "text": "the lamp"},
    {"role": "assistant", "text": "a red book", "said": 2},
    {"role": "user", "text": "set"},
    {"role": "assistant", "text": "the book"},
]
SYSTEM = "<|im_start|>system\nread<|im_end|>\n<|im_start|>user\n"
TO_USER, TO_ASSISTANT = (
    f"<|im_end|>\n<|im_start|>{role}\n" for role in ("user", "assistant")
)
#: by hand, the above in ChatML: what is written, with codes, learned
LAYOUT = {
    "assistant": [
        (SYSTEM, False, 0),
        ("the lamp", True, 0),
        (TO_ASSISTANT, False, 0),
        ("a red", True, 1),
        (TO_USER, False, 0),
        ("set", True, 0),
        (TO_ASSISTANT, False, 0),
        ("the book", True, 1),
        ("<|im_end|>", False, 1),
        ("\n", False, 0),
    ],
    "all": [
        (SYSTEM, False, 1),
        ("the lamp", True, 1),
        (TO_ASSISTANT, False, 1),
        ("a red", True, 1),
        ("<|im_end|>", False, 0),
        (TO_USER.removeprefix("<|im_end|>"), False, 1),
        ("set", True, 1),
        (TO_ASSISTANT, False, 1),
        ("the book", True, 1),
        ("<|im_end|>\n", False, 1),
    ],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return chat_tokenizer(tmp_path_factory.mktemp("tokenizer"))


def dialogues(folder, granularity="token", learned="assistant"):
    spec = TasteSpec(2, 8, granularity)
    words = TastePreprocessor("hf", folder, None, "plain", spec, generated=True)
    return DialoguePreprocessor(words, ChatTemplate(words.tokenizer, "chatml"), learned)


@pytest.mark.parametrize("granularity", ["token", "word"])
@pytest.mark.parametrize("learned", ["assistant", "all"])
def test_layout_by_hand(folder, granularity, learned):
    make = dialogues(folder, granularity, learned)
    spoken = [turn["text"] for turn in TURNS if turn.get("spoken", True)]
    sizes = [len(make.words.segments(text)) for text in spoken]
    taste = np.arange(2 * sum(sizes)) % 8
    made = make("d", {"text": json.dumps(TURNS), "taste": taste})
    assert all(array.dtype == np.int64 for array in made.values())
    ids, words = made["text"].tolist(), made["word_ids"]
    assert len(np.unique(words)) == words[-1] + 1  # none is left out
    segments = words if granularity == "word" else np.arange(len(ids))
    assert len(made["taste"]) == segments[-1] + 1
    coded = made["taste"][segments, 0] >= 0
    groups = groupby(zip(ids, coded, made["learned"], strict=True), itemgetter(1, 2))
    decode = make.tokenizer.tokenizer.decode
    found = [(decode([x[0] for x in group]), *key) for key, group in groups]
    assert found == LAYOUT[learned]
    rows = np.split(taste.reshape(-1, 2), np.cumsum(sizes)[:-1])
    rows[1] = rows[1][: len(make.words.segments("a red"))]  # what was said
    assert np.array_equal(made["taste"][made["taste"][:, 0] >= 0], np.concatenate(rows))


def test_a_prompt_is_what_training_has_before_the_answer(folder):
    make = dialogues(folder)
    sizes = [len(make.words.segments(turn["text"])) for turn in TURNS[1:]]
    taste = np.arange(2 * sum(sizes)) % 8
    text = json.dumps(TURNS)
    whole = make("d", {"text": text, "taste": taste})
    prompt = make.prompt(make.read(text, taste)[:-1])
    size = len(prompt["text"])
    for name in ("text", "word_ids", "taste"):
        assert np.array_equal(prompt[name], whole[name][:size])
    answer = whole["text"][size:]
    closing = make.template.closing
    assert tuple(answer[-len(closing) :]) == closing
    assert make.tokenizer.decode(answer.tolist()) == "the book"


def test_silence_is_a_turn_without_tokens(folder):
    make = dialogues(folder)
    none = torch.zeros(0, 2, dtype=torch.long)
    quiet = make.prompt([Turn("user", "", none)])
    ids = [
        token
        for part in make.template.around(("user", "assistant"))[:-1]
        for token in part
    ]
    assert quiet["text"].tolist() == ids and (quiet["taste"] == -1).all()


@pytest.mark.parametrize(
    "text,message",
    [
        ("set the lamp", "text is no JSON list of turns with role and text"),
        ('{"role": "user"}', "text is no JSON list of turns"),
        ('[{"role": "user"}]', "text is no JSON list of turns"),
        ("[]", "text has no turns"),
        ('[{"role": "me", "text": "a"}]', "role 'me' is not one of system, user, assi"),
        ('[{"role": "user", "text": "a"}]', "the assistant says nothing"),
        ('[{"role": "assistant", "text": "a b"}]', "2 TASTE codes for 2 tokens x 2"),
        ('[{"role": "user", "text": "a", "said": true}]', "said True: expected a num"),
        ('[{"role": "user", "text": "a", "said": 2}]', r"turn 0 \(user\): said 2: its"),
        (
            '[{"role": "user", "text": ""}, {"role": "assistant", "text": "a\\u00e9"}]',
            "2 TASTE codes for 3 tokens",
        ),
    ],
)
def test_what_does_not_fit_is_named(folder, text, message):
    make = dialogues(folder)
    with pytest.raises(ValueError, match=f"dialogue d7: .*{message}"):
        make("d7", {"text": text, "taste": np.array([1, 2])})


def test_codes_of_another_segmentation_are_refused(folder):
    make = dialogues(folder)
    rows = len(make.words.segments("blue lamp"))
    assert rows != 2
    with pytest.raises(
        ValueError,
        match=rf"turn 0 \(user\): TASTE codes of shape \(2, "
        rf"2\) for a text of {rows} tokens",
    ):
        make.prompt([Turn("user", "blue lamp", np.zeros((2, 2), int))])
    with pytest.raises(ValueError, match="TASTE code 9 is not among the 8"):
        make.prompt([Turn("user", "blue lamp", np.full((rows, 2), 9))])
