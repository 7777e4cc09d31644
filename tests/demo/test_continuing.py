"""Continuations are those of the inference classes, heard while they are written."""

from dataclasses import replace

import numpy as np
import pytest
from visitors import TEXT, humming

from espnet2_taste.demo.continuing import answer, go_on, prompt_of, read_by
from espnet2_taste.demo.recordings import Recording
from espnet2_taste.demo.streaming import Chunks


@pytest.fixture(scope="module")
def spoken(system):
    return system.take(Recording(humming(), 16000), TEXT)


def test_candidates_are_ranked_and_the_first_is_heard(system, spoken, monkeypatch):
    prompt = prompt_of(spoken, system, 2)
    assert prompt.text == "set the" and len(prompt.codes) == 2
    names = ["candidate 0", "candidate 1"]
    talkative = replace(system.taslm.options, min_words=2)
    monkeypatch.setattr(system.taslm, "options", talkative)
    batch = ["set the"] * 2, [prompt.codes] * 2, names
    whole = system.taslm(*batch, max_words=3, seed=5)
    steps = list(go_on(system, prompt, spoken.speaker, 3, 1.0, 2, seed=5))
    assert [text.strip() for text in steps[-1].texts] == [c.text.strip() for c in whole]
    assert len(steps) > 3 and not steps[1].clips
    clips = steps[-1].clips
    scores = [float(clip.note.split()[1]) for clip in clips]
    assert scores == sorted(scores, reverse=True) and len(clips) == 2
    heard = np.concatenate([step.sound for step in steps])
    first = next(
        c for c in clips if c.measures.words == ["set", "the", *whole[0].words]
    )
    assert len(heard) == pytest.approx(len(first.wav), abs=first.rate // 20)


def test_a_text_is_read_by_the_model(system, spoken):
    read = read_by(system, "  a  lamp ", spoken.speaker)
    assert read.text == "a lamp" and len(read.tokens.codes) == 2
    again = read_by(system, "a lamp", spoken.speaker)
    assert np.array_equal(read.recording.wav, again.recording.wav)


def test_limits(system, spoken, tiny_root):
    prompt = prompt_of(spoken, system, 0)
    steps = list(go_on(system, prompt, spoken.speaker, 10**9, 0, 10**9))
    assert len(steps[-1].texts) == 1
    for temperature in (-1, 3, float("nan")):
        with pytest.raises(ValueError, match="between 0 and 2"):
            next(go_on(system, prompt, spoken.speaker, 3, temperature))


def test_a_dialogue_is_answered_and_interrupted(tiny_root, spoken):
    from espnet2_taste.demo.system import System
    from espnet2_taste.tasks.dialogue import Turn

    system = System(tiny_root / "exp" / "chatty")
    assert system.chats
    talkative = replace(system.taslm.options, min_words=4)
    system.taslm.options = talkative
    dialogue = [Turn("user", TEXT, spoken.tokens.codes)]
    steps = list(answer(system, dialogue, spoken.speaker, 6, seed=2))
    whole = system.taslm.chat([dialogue], max_words=6, seed=2)[0]
    assert steps[-1].turn.text.split() == whole.text.split() and steps[-1].clips
    heard = np.concatenate([step.sound for step in steps])
    assert np.array_equal(heard, steps[-1].clips[0].wav[: len(heard)])
    cut = answer(system, dialogue, spoken.speaker, 6, seed=2)
    turn = next(cut).turn
    cut.close()
    assert turn.interrupted and whole.text.strip().startswith(turn.text.strip())
    dialogue += [turn, Turn("user", "a lamp")]
    assert next(answer(system, dialogue, spoken.speaker, 6)).texts[0].strip()


def test_chunks_are_sent_more_than_once():
    chunks = Chunks(16000)
    values = [chunks.add(np.full(n, 0.5, np.float32)) for n in (4, 0, 4)]
    assert [len(value["chunks"]) for value in values] == [1, 1, 2]
    assert [one["index"] for one in values[2]["chunks"]] == [0, 1]
    assert Chunks(16000).add(np.zeros(0))["stream"] != values[0]["stream"]
