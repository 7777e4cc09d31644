"""What TASTE takes from a sentence, and what is left of it without."""

import gradio as gr

from espnet2_taste.demo.chips import chips_html
from espnet2_taste.demo.controls import Speech, note, on, slot
from espnet2_taste.demo.pictures import clips_html
from espnet2_taste.demo.system import System


def reconstructed(system: System, spoken) -> tuple[str, str]:
    """HTML of the words and of the sounds."""
    clips, changed = system.reconstruct(spoken)
    expectation = f"“{clips[-1].title}” ({clips[-1].note})" if changed else ""
    tokens = spoken.tokens
    bits = system.bits_per_second(spoken)
    summary = (
        f"{len(tokens.words)} words, {len(tokens.codes)} × {tokens.codes.shape[1]} "
        f"codes in {spoken.recording.seconds:.2f} s: {bits:.0f} bits per second "
        "besides the text."
    )
    if system.speech_missing:
        summary += f" {system.speech_missing}"
    return chips_html(tokens, changed, expectation), clips_html(clips, summary)


def layout(system: System) -> None:
    """The tab."""
    note(
        "A sentence becomes a few codes a word. The text with "
        "these codes and the voice is spoken again, beside what the text alone would "
        "be."
    )
    speech = Speech(system, wide=True)
    button = gr.Button("Show what TASTE takes", variant="primary")
    words = slot("reconstruct-words")
    sounds = slot("reconstruct-sounds")
    on(
        button.click,
        lambda *given: reconstructed(system, speech.take(*given)),
        speech.inputs,
        speech.problem,
        [words, sounds],
    )
