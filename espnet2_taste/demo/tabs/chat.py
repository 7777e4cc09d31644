"""A spoken dialogue with a model that was tuned on dialogues."""

from html import escape

import gradio as gr

from espnet2_taste.demo.continuing import answer
from espnet2_taste.demo.controls import Speech, note, on, player, slot
from espnet2_taste.demo.examples import EXAMPLES, speak
from espnet2_taste.demo.pictures import audio_uri
from espnet2_taste.demo.recordings import check_text
from espnet2_taste.demo.streaming import Chunks
from espnet2_taste.demo.system import System
from espnet2_taste.tasks.dialogue import Turn

MOST_TURNS = 20


def turns_html(dialogue: list[tuple[Turn, str]]) -> str:
    """A dialogue; each turn with the URI of its sound, or ""."""
    parts = []
    for turn, sound in dialogue:
        player = (
            f'<audio controls aria-label="{turn.role}: {escape(turn.text, quote=True)}"'
            f' src="{sound}"></audio>'
            if sound
            else ""
        )
        parts.append(
            f'<div class="taste-turn {turn.role}"><p><small>{turn.role}</small> '
            f"{escape(turn.text)}</p>{player}</div>"
        )
    return f'<div class="taste-turns" aria-live="polite">{"".join(parts)}</div>'


def answered(system: System, dialogue: list, turn: Turn, sound: str, voice):
    """Values of the player, the dialogue and what is kept, while the answer is made."""
    if len(dialogue) >= MOST_TURNS:
        raise ValueError(f"{MOST_TURNS} turns are a dialogue's most: begin a new one.")
    dialogue, chunks = [*dialogue, (turn, sound)], None
    for progress in answer(system, [one for one, _ in dialogue], voice):
        chunks = chunks or Chunks(progress.rate)
        whole = progress.clips
        heard = audio_uri(whole[0].wav, whole[0].rate) if whole else ""
        said = [*dialogue, (progress.turn, heard)]
        yield chunks.add(progress.sound), turns_html(said), said


def layout(system: System) -> None:
    """The tab."""
    note(
        "Speak, or write without a recording. The answer is "
        "heard while it is written; stopping it is an interruption, and the dialogue "
        "goes on from there."
    )
    kept = gr.State([])
    turns = slot("chat-turns")
    sound = player("chat-player")
    speech = Speech(system, "Your turn")
    with gr.Row():
        send = gr.Button("Say it", variant="primary")
        stop = gr.Button("Stop the answer")
        clear = gr.Button("New dialogue")

    def run(path, text, dialogue):
        voice = system.voice(speak(EXAMPLES[0]))
        if path:
            spoken = speech.take(path, text)
            turn = Turn("user", spoken.text, spoken.tokens.codes)
            own = audio_uri(spoken.recording.wav, spoken.recording.rate)
        else:
            turn, own = Turn("user", check_text(text, "text")), ""
        yield from answered(system, dialogue, turn, own, voice)

    event = on(
        send.click,
        run,
        [*speech.inputs, kept],
        speech.problem,
        [sound, turns, kept],
        show_progress="hidden",
    )
    stop.click(lambda: None, None, [sound], cancels=[event], api_visibility="private")
    clear.click(
        lambda: (None, "", []), None, [sound, turns, kept], api_visibility="private"
    )
