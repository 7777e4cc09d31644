"""Dialogues with a tiny spoken LM: answers whole, streamed, and interrupted."""

import dataclasses

import numpy as np
import pytest
import torch
from tiny_chat import chat_tokenizer, save_taslm, taslm_config

from espnet2_taste.inference import Pipeline, TaslmGenerate
from espnet2_taste.nn.random_streams import item_seed
from espnet2_taste.tasks.dialogue import Turn
from espnet2_taste.taslm.generation import generate

SAMPLED = {"text_top_p": 0.9, "taste_top_p": 0.9, "seed": 3, "max_words": 5}


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    root = tmp_path_factory.mktemp("chat")
    tokenizer = chat_tokenizer(root / "tokenizer")
    return save_taslm(root / "taslm", taslm_config(tokenizer, delay=2))


@pytest.fixture(scope="module")
def taslm(experiment):
    """Its vocabulary's words and the end of a turn are about as likely."""
    return TaslmGenerate.from_pretrained(experiment, min_words=3, **SAMPLED)


@pytest.fixture
def turn(taslm):
    """Callable (role, text) -> a spoken turn, its codes by its text."""

    def make(role, text):
        rows = len(taslm.preprocess.segments(text))
        codes = np.random.default_rng(len(text)).integers(8, size=(rows, 2))
        return Turn(role, text, codes)

    return make


def same(first, second):
    assert (first.role, first.text, first.said) == (
        second.role,
        second.text,
        second.said,
    )
    assert torch.equal(first.codes, second.codes)


def test_a_dialogue(taslm, turn):
    """Two turns in, a streamed answer out, which the next turn follows."""
    dialogue = [turn("user", "set the lamp"), turn("assistant", "a red lamp")]
    dialogue.append(turn("user", "blue"))
    answer, pieces = taslm.chat_stream(dialogue), []
    for piece in answer:
        pieces.append(piece)
        assert answer.turn.text == "".join(p.text for p in pieces)
    assert len(pieces) > 1  # word by word
    assert not answer.turn.interrupted and 3 <= len(answer.turn.text.split()) <= 5
    assert len(answer.turn.codes) == len(taslm.preprocess.segments(answer.turn.text))
    same(answer.turn, taslm.chat([dialogue])[0])
    dialogue += [answer.turn, turn("user", "read a book")]
    assert taslm.chat([dialogue], min_words=1)[0].text != answer.turn.text


def test_a_batch_gives_what_single_dialogues_give(taslm, turn, monkeypatch):
    dialogues = [
        [turn("user", "set the red lamp")],
        [turn("user", "read"), turn("assistant", "a book"), turn("user", "the lamp")],
        [turn("user", "a"), Turn("assistant", "not spoken"), Turn("user", "")],
    ]
    names = ["x", "y", "z"]
    together = taslm.chat(dialogues, names)
    assert len({answer.text for answer in together}) == 3
    for dialogue, name, answer in zip(dialogues, names, together, strict=True):
        same(taslm.chat([dialogue], [name])[0], answer)
    assert taslm.chat([]) == []
    monkeypatch.setattr(taslm, "slots", 2)  # the third begins when one has ended
    for answer, other in zip(together, taslm.chat(dialogues, names), strict=True):
        same(answer, other)


def test_an_interruption_stops_within_a_token(taslm, turn, monkeypatch):
    """What was said so far stays, and nothing more is computed."""
    steps = []
    forward = taslm.model.lm.forward
    monkeypatch.setattr(
        taslm.model.lm, "forward", lambda *x, **y: steps.append(1) or forward(*x, **y)
    )
    dialogue = [turn("user", "set the lamp")]
    whole = taslm.chat([dialogue])[0]
    answer = taslm.chat_stream(dialogue)
    first = next(answer)
    before = len(steps)
    turned = answer.interrupt()
    assert list(answer) == [] and len(steps) <= before + 1
    assert turned is answer.turn and turned.said == len(first.words)
    assert turned.text == first.text and whole.text.startswith(first.text)
    assert torch.equal(turned.codes, first.codes)
    # the next answer sees what was said, and no end of it
    history = taslm.dialogues.prompt([*dialogue, turned, turn("user", "blue")])
    assert taslm.tokenizer.decode(history["text"].tolist()).count(first.text) == 1
    taslm.chat([[*dialogue, turned, turn("user", "blue")]])


def test_less_may_have_been_heard_than_was_made(taslm, turn):
    dialogue = [turn("user", "set the lamp")]
    answer = taslm.chat_stream(dialogue)
    pieces = list(answer)
    assert not answer.turn.interrupted
    with pytest.raises(ValueError, match="said 9: . words were handed out"):
        answer.interrupt(said=9)
    made = answer.interrupt(said=1)
    assert made.said == 1 and made.text == "".join(p.text for p in pieces)
    rows = taslm.dialogues.arrays([*dialogue, made], [[], [], []])["taste"]
    first = len(taslm.preprocess.segments(made.text.split()[0]))
    assert len(rows) == len(dialogue[0].codes) + first
    # heard to its end, it is no interruption
    answer = taslm.chat_stream(dialogue)
    count = sum(len(piece.words) for piece in answer)
    assert not answer.interrupt(said=count).interrupted


def test_cancelling_a_pipeline_interrupts_its_answer(taslm, turn):
    def passed(pieces):
        yield from pieces

    answer = taslm.chat_stream(
        [turn("user", "set the lamp")], max_words=400, min_words=400
    )
    with Pipeline(answer, passed) as pieces:
        next(pieces)
    assert answer.turn.interrupted and answer.turn.said < 400


def test_what_cannot_be_answered_is_named(taslm, turn, experiment):
    long = Turn("user", "set the lamp", np.zeros((1, 2), int))
    with pytest.raises(
        ValueError, match=r"dialogue b: turn 0 \(user\): TASTE codes of"
    ):
        taslm.chat([[turn("user", "a")], [long]], ["a", "b"])
    with pytest.raises(ValueError, match="dialogue 0: the chat template .* refuses"):
        taslm.chat_stream([Turn("system", "be nice"), turn("user", "a")])
    with pytest.raises(ValueError, match="dialogue 0: a dialogue is a list of Turn"):
        taslm.chat([turn("user", "a")])
    with pytest.raises(ValueError, match="1 dialogues, 2 names"):
        taslm.chat([[turn("user", "a")]], ["a", "b"])
    other = TaslmGenerate.from_pretrained(experiment, chat_template="chatml")
    other.chat([[turn("user", "a")]], max_words=1)
    other.__dict__.pop("dialogues")
    other.chat_template = None
    with pytest.raises(
        ValueError, match="not trained on dialogues: give chat_template"
    ):
        other.chat([[turn("user", "a")]])


@pytest.mark.parametrize("granularity", ["token", "word"])
@pytest.mark.parametrize("delay", [1, 2])
def test_a_turn_is_read_again_as_it_was_said(tmp_path, monkeypatch, granularity, delay):
    """With a continuous head the next turn sees the latents of the one before, not
    their codes: its logits are those of one run that goes on."""
    letters = [" ".join("abcdefghijklmnopqrstuvwxyz")]  # no tokens of several
    tokenizer = chat_tokenizer(tmp_path / "tokenizer", sentences=letters)
    conf = taslm_config(tokenizer, granularity, delay)
    conf |= {"speech_head": "gaussian"}
    taslm = TaslmGenerate.from_pretrained(
        save_taslm(tmp_path / "taslm", conf), ban="non_latin", min_words=2, **SAMPLED
    )
    lm, read, states = taslm.model.lm, [], []
    forward = lm.forward

    def watched(embeds, *others, **options):
        output = forward(embeds, *others, **options)
        read.append(embeds[0])
        states.append(output.hidden[0])
        return output

    monkeypatch.setattr(lm, "forward", watched)

    def run(dialogue):
        read.clear(), states.clear()
        answer = taslm.chat_stream(dialogue)
        count = len(taslm.dialogues.prompt(dialogue)["text"])
        return list(answer), answer, count, torch.cat(read), torch.cat(states)

    def said(text):
        rows = len(taslm.preprocess.segments(text))
        return Turn("user", text, np.arange(2 * rows).reshape(-1, 2) % 8)

    dialogue = [said("set the lamp")]
    for seed in range(
        40
    ):  # one whose words are read in the tokens they were written in
        taslm.options = dataclasses.replace(taslm.options, seed=seed)
        prompt, options, _ = taslm._dialogue_prompt([dialogue], ["0"], {})
        made = generate(
            taslm.model, taslm.vocabulary, prompt, options, [item_seed("0")]
        )
        ids = sum(made.words(0)[0], [])
        if taslm.dialogues._said(taslm.chat([dialogue])[0]).ids == ids:
            break
    pieces, answer, first, was_read, was_state = run(dialogue)
    latents = torch.cat([piece.latents for piece in pieces])
    assert torch.equal(answer.turn.latents, latents)
    same(answer.turn, taslm.chat([dialogue])[0])
    turn = answer.turn
    assert taslm.dialogues._said(turn).ids == ids
    known = first + len(ids)  # what follows is the template, or was not said any more
    history = [*dialogue, turn, said("blue")]
    _, _, second, again, state = run(history)
    close = {"atol": 1e-5, "rtol": 1e-5}
    torch.testing.assert_close(again[:known], was_read[:known], **close)
    whole = torch.cat([was_read[:known], again[known:second]])
    whole = forward(whole[None]).hidden[0]
    torch.testing.assert_close(whole[:known], was_state[:known], **close)
    torch.testing.assert_close(
        lm.logits(state[:second]), lm.logits(whole), atol=1e-4, rtol=1e-4
    )
    turn.latents = None  # by their codes it is another history
    assert not torch.allclose(run(history)[3][:known], was_read[:known], atol=1e-2)
    turn.latents = latents
    cut = answer.interrupt(said=1)
    rows = taslm.dialogues._said(cut)
    assert len(rows.latents) == len(rows.codes) < len(latents)
    taslm.chat([[*dialogue, cut, said("blue")], [said("a")]])


def test_latents_that_do_not_fit_their_turn(taslm, turn, tmp_path):
    spoken = turn("user", "a lamp")
    spoken.latents = np.zeros((len(spoken.codes), 4), np.float32)
    with pytest.raises(ValueError, match=r"turn 0 .*: latents for a model of codes al"):
        taslm.chat([[spoken]])
    tokenizer = chat_tokenizer(tmp_path / "tokenizer")
    conf = taslm_config(tokenizer) | {"speech_head": "gaussian"}
    other = TaslmGenerate.from_pretrained(save_taslm(tmp_path / "taslm", conf))
    other.chat([[spoken]], max_words=1)
    spoken.latents = spoken.latents[:1]
    with pytest.raises(ValueError, match=r"latents of shape \(1, 4\) for . tokens x 4"):
        other.chat([[spoken]])
    spoken.latents = np.full((len(spoken.codes), 4), np.nan)
    with pytest.raises(ValueError, match="latents holds values that are no numbers"):
        other.chat([[spoken]])
    with pytest.raises(ValueError, match="latents without codes: leave them out"):
        other.chat([[Turn("user", "a lamp", latents=spoken.latents)]])
