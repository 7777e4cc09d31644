"""One input, two models."""

from html import escape

import gradio as gr

from espnet2_taste.demo.controls import Speech, note, on, slot
from espnet2_taste.demo.system import System
from espnet2_taste.demo.tabs.reconstruct import reconstructed


def layout(system: System, other: System) -> None:
    """The tab."""
    note(
        "The same recording and text through "
        f"{escape(system.name)} and {escape(other.name)}."
    )
    speech = Speech(system, wide=True)
    button = gr.Button("Compare the two models", variant="primary")
    outputs = []
    for number, one in enumerate((system, other), 1):
        gr.Markdown(f"### {number}. {escape(one.name)}")
        outputs += [slot(), slot(f"compare-sounds-{number}")]

    def compare(*given):
        spoken = speech.take(*given)
        again = other.take(spoken.recording, spoken.text)
        return *reconstructed(system, spoken), *reconstructed(other, again)

    on(button.click, compare, speech.inputs, speech.problem, outputs)
