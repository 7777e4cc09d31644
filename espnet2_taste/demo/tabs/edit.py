"""Two readings of one sentence: the codes of single words exchanged, or mixed."""

import gradio as gr

from espnet2_taste.demo.controls import Speech, mixer, note, on, slot
from espnet2_taste.demo.mixing import Mix, mixed
from espnet2_taste.demo.pictures import clips_html
from espnet2_taste.demo.system import System

_AVERAGE = "the average code"


def opened(system: System, first, second) -> tuple[dict, dict]:
    """What the mixer shows of two readings, and what is kept for the visitor.

    Args:
        system: with speech.
        first: whose words are changed.
        second: a reading of the same words; None: the average code.

    Raises:
        ValueError: other words, or no second reading where there is no average.
    """
    own = system.latents(first.tokens)
    if second is None:
        other, name = system.average(len(own)), _AVERAGE
        if other is None:
            raise ValueError("Give a second reading: this model has no average code.")
    else:
        other, name = system.latents(second.tokens), "the second reading"
        if second.tokens.words != first.tokens.words:
            raise ValueError(
                "The two readings do not say the same words: only readings of the "
                "same text can be mixed word by word."
            )
    mix = Mix.none(len(first.tokens.words))
    kept = {"first": first, "own": own, "other": other, "name": name, "mix": mix}
    return shown(kept), kept


def shown(kept: dict) -> dict:
    """The mixer's value."""
    return {
        "words": kept["first"].tokens.words,
        "amounts": list(kept["mix"].amounts),
        "own": "the first reading",
        "other": kept["name"],
        "legend": f"How much of {kept['name']} each word has: click a word to exchange "
        "its codes, or move its slider",
    }


def spoken(system: System, kept: dict | None, mix: Mix) -> tuple[dict, str]:
    """What is kept with new amounts, and HTML of how that sounds."""
    first, amounts = kept["first"], list(mix.amounts)
    segments = first.tokens.segments
    latents = mixed(kept["own"], kept["other"], segments, amounts)
    clips = []
    for title, what, vectors, tone in (
        ("As it was", "the first reading's codes", kept["own"], "original"),
        ("Edited", _told(kept, mix), latents, "taste"),
    ):
        sound = system.say(first.text, first.speaker, vectors)
        clips.append(system.clip(title, what, sound, first.text, tone))
    return kept | {"mix": mix}, clips_html(clips)


def _told(kept: dict, mix: Mix) -> str:
    words = kept["first"].tokens.words
    some = [
        f"{word} {amount:.0%}"
        for word, amount in zip(words, mix.amounts, strict=True)
        if amount
    ]
    return f"of {kept['name']}: {', '.join(some)}" if some else "nothing changed yet"


def layout(system: System) -> None:
    """The tab."""
    note(
        "The codes of a word are how it was said. Take two "
        "readings of the same words and exchange them word by word, or go part of the "
        "way. Without a second reading words go towards the average code."
    )
    with gr.Row():
        first = Speech(system, "First reading")
        second = Speech(system, "Second reading")
    kept = gr.State(None)
    button = gr.Button("Read both", variant="primary")
    desk = mixer("edit-mixer")
    problem = slot()
    with gr.Row():
        say = gr.Button("Hear it", variant="primary")
        undo = gr.Button("Undo the last change")
    sounds = slot("edit-sounds")

    def read(*given):
        middle = len(given) // 2
        one = first.take(*given[:middle])
        two = second.take(*given[middle:]) if given[middle] else None
        return *opened(system, one, two), ""

    def hear(value, state):
        if state is None:
            raise ValueError("Read the two readings first: then there are words.")
        amounts = value.get("amounts") if isinstance(value, dict) else None
        return spoken(system, state, state["mix"].changed(amounts or ()))

    def back(state):
        if state is None or not state["mix"].before:
            raise ValueError("There is nothing to undo.")
        state, html = spoken(system, state, state["mix"].undone())
        return shown(state), state, html

    both = [*first.inputs, *second.inputs]
    on(button.click, read, both, first.problem, [desk, kept, sounds])
    on(say.click, hear, [desk, kept], problem, [kept, sounds])
    on(undo.click, back, [kept], problem, [desk, kept, sounds])
