"""The spoken language model goes on where a speaker stops."""

from html import escape

import gradio as gr

from espnet2_taste.demo.continuing import (
    MOST_CANDIDATES,
    MOST_NEW_WORDS,
    go_on,
    prompt_of,
    read_by,
)
from espnet2_taste.demo.controls import Speech, note, on, player, slot
from espnet2_taste.demo.examples import EXAMPLES, speak
from espnet2_taste.demo.pictures import clips_html
from espnet2_taste.demo.streaming import Chunks
from espnet2_taste.demo.system import System


def live_html(prompt: str, texts: list[str]) -> str:
    """What each candidate says by now."""
    items = "".join(
        f'<li><span class="prompt">{escape(prompt)}</span> {escape(text)}</li>'
        for text in texts
    )
    return f'<ol class="taste-live">{items}</ol>'


def continued(system: System, spoken, voice, count: int, *options):
    """Values of the player, the words and the ranked sounds, while they are made."""
    prompt = prompt_of(spoken, system, count)
    chunks = None
    for progress in go_on(system, prompt, voice, *options):
        chunks = chunks or Chunks(progress.rate)
        heading = "Ranked by how likely the model finds them, prompt and all."
        ranked = clips_html(progress.clips, heading) if progress.clips else ""
        yield chunks.add(progress.sound), live_html(prompt.text, progress.texts), ranked


def layout(system: System) -> None:
    """The tab."""
    note(
        "The spoken language model reads words with their codes "
        "and writes more of both. The first candidate is heard while it is written. "
        "Without a recording the model reads the text to itself first, with the "
        "average code and the first example's voice."
    )
    with gr.Row():
        speech = Speech(system, "Prompt")
        with gr.Column(min_width=280):
            first = gr.Slider(
                0, 12, 3, step=1, label="Words of the prompt (0: all of them)"
            )
            words = gr.Slider(1, MOST_NEW_WORDS, 8, step=1, label="New words at most")
            temperature = gr.Slider(
                0, 2, 0.8, step=0.1, label="Temperature (0: the most likely words)"
            )
            count = gr.Slider(1, MOST_CANDIDATES, 3, step=1, label="Candidates")
            seed = gr.Number(0, precision=0, label="Seed", minimum=0, maximum=2**31)
    with gr.Row():
        button = gr.Button("Continue", variant="primary")
        stop = gr.Button("Stop")
    sound = player("continue-player")
    live = slot("continue-live")
    sounds = slot("continue-sounds")

    def run(path, text, *options):
        if path:
            spoken = speech.take(path, text)
            voice = spoken.speaker
        else:
            voice = system.voice(speak(EXAMPLES[0]))
            spoken = read_by(system, text, voice)
        yield from continued(system, spoken, voice, *options)

    event = on(
        button.click,
        run,
        [*speech.inputs, first, words, temperature, count, seed],
        speech.problem,
        [sound, live, sounds],
        show_progress="hidden",
    )
    stop.click(lambda: None, None, [sound], cancels=[event], api_visibility="private")
