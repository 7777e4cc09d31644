"""The same words and codes in another voice."""

import gradio as gr

from espnet2_taste.demo.controls import Speech, microphone, note, on, slot
from espnet2_taste.demo.examples import EXAMPLES, example
from espnet2_taste.demo.pictures import clips_html
from espnet2_taste.demo.recordings import read_recording
from espnet2_taste.demo.system import System, clip_of


def exchanged(system: System, spoken, recording) -> str:
    """HTML of an utterance in its own voice and in a recording's."""
    latents = system.latents(spoken.tokens)
    first = "Original", "as recorded", spoken.recording, spoken.tokens, "original"
    clips = [clip_of(*first)]
    for title, what, voice, tone in (
        ("Its own voice", "text, codes and voice", spoken.speaker, "taste"),
        ("The other voice", "same text and codes", system.voice(recording), "other"),
    ):
        sound = system.say(spoken.text, voice, latents)
        clips.append(system.clip(title, what, sound, spoken.text, tone))
    return clips_html(clips)


def layout(system: System) -> None:
    """The tab."""
    note(
        "How it is said is in the codes, who says it in the "
        "speaker embedding: one of them can be changed alone."
    )
    names = [one.name for one in EXAMPLES]
    with gr.Row():
        speech = Speech(system)
        with gr.Column(min_width=280):
            chosen = gr.Dropdown(
                names, value=None, label="Other voice: an example (by espeak-ng)"
            )
            audio = microphone("Other voice: speak, or choose a file (30 s)")
            problem = slot()
    button = gr.Button("Say it in the other voice", variant="primary")
    sounds = slot("voice-sounds")
    on(
        chosen.select,
        lambda name: (Speech.sound(example(name)),),
        [chosen],
        problem,
        [audio],
    )
    on(
        button.click,
        lambda path, *given: exchanged(
            system, speech.take(*given), read_recording(path)
        ),
        [audio, *speech.inputs],
        problem,
        [sounds],
    )
