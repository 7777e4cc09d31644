"""Pieces of the page that several tabs have."""

import inspect
import logging
from collections.abc import Callable
from functools import wraps
from html import escape
from pathlib import Path

import gradio as gr

from espnet2_taste.demo.examples import EXAMPLES, Example, example, sound_file
from espnet2_taste.demo.recordings import Recording, check_text, read_recording
from espnet2_taste.demo.system import Spoken, System

PAGE = Path(__file__).parent / "page"
_BROKEN = (
    "Something went wrong here that is not your fault. Try again; the log of the "
    "server says more."
)


def problem_html(text: str) -> str:
    """A sentence for whoever sees or hears the page."""
    return f'<p class="taste-problem" role="alert">{escape(text)}</p>'


def sentences(work: Callable, outputs: int) -> Callable:
    """``work`` for an event whose first output is a problem's place.

    Args:
        work: returns (or yields) ``outputs`` values; a ValueError of it becomes a
            sentence, and everything else on the page stays as it was.
        outputs: how many, the problem not among them.
    """

    def told(error: Exception) -> list:
        if not isinstance(error, ValueError):
            logging.error("a visitor's request failed", exc_info=error)
        text = str(error) if isinstance(error, ValueError) else _BROKEN
        return [problem_html(text), *[gr.skip()] * outputs]

    def given(values) -> list:
        return ["", *(values if isinstance(values, tuple) else (values,))]

    @wraps(work)
    def once(*args):
        try:
            return given(work(*args))
        except Exception as error:
            return told(error)

    @wraps(work)
    def step_by_step(*args):
        try:
            for values in work(*args):
                yield given(values)
        except Exception as error:
            yield told(error)

    return step_by_step if inspect.isgeneratorfunction(work) else once


def on(event, work: Callable, inputs: list, problem: gr.HTML, outputs: list, **options):
    """``event`` runs ``work``; what is wrong is told in ``problem``."""
    return event(
        sentences(work, len(outputs)),
        inputs,
        [problem, *outputs],
        api_visibility="private",
        **options,
    )


def note(html: str) -> None:
    """A line that explains a tab; ``html`` is ours."""
    gr.HTML(f'<p class="taste-note">{html}</p>', apply_default_css=False)


def slot(elem_id: str | None = None) -> gr.HTML:
    """A place for HTML, not seen until there is some."""
    return gr.HTML(
        "", elem_id=elem_id, elem_classes="taste-slot", apply_default_css=False
    )


def microphone(label: str) -> gr.Audio:
    """A recorder that also takes files; nothing of it can be shared to elsewhere."""
    return gr.Audio(
        sources=["microphone", "upload"],
        type="filepath",
        label=label,
        buttons=["download"],
    )


class Speech:
    """Controls for something said: an example, a recording and its transcript.

    Args:
        system: whose page it is.
        name: of what is said, for the labels.
        wide: transcript beside the recording.

    Attributes:
        inputs: components for :meth:`take`.
        problem: where sentences about it go.
    """

    def __init__(self, system: System, name: str = "Recording", wide: bool = False):
        self.system = system
        names = [one.name for one in EXAMPLES]
        can_hear = system.editor.model.ctc is not None or system.recogniser
        with gr.Row() if wide else gr.Column(min_width=280):
            with gr.Column(min_width=280):
                self.example = gr.Dropdown(
                    names, value=None, label=f"{name}: an example (by espeak-ng)"
                )
                self.audio = microphone(f"{name}: speak, or choose a file (30 s)")
            with gr.Column(min_width=280):
                self.text = gr.Textbox(
                    label=f"{name}: transcript", placeholder="what is said", lines=2
                )
                if can_hear:
                    self.recognise = gr.Button("Recognise the words", size="sm")
                self.problem = slot()
        on(
            self.example.select,
            self._example,
            [self.example],
            self.problem,
            [self.audio, self.text],
        )
        if can_hear:
            on(
                self.recognise.click,
                lambda path: system.hear(read_recording(path)),
                [self.audio],
                self.problem,
                [self.text],
            )
        self.inputs = [self.audio, self.text]

    @staticmethod
    def sound(one: Example | None):
        """An example for an audio component."""
        return gr.skip() if one is None else sound_file(one)

    @classmethod
    def _example(cls, name: str | None):
        one = example(name)
        return cls.sound(one), gr.skip() if one is None else one.text

    def take(self, path: str | None, text: str | None) -> Spoken:
        """What was said, tokenised.

        Raises:
            ValueError: in a sentence.
        """
        recording: Recording = read_recording(path)
        if not (text or "").strip():
            text = self.system.hear(recording)
        return self.system.take(recording, check_text(text))


def missing(sentence: str) -> None:
    """All that there is in a tab whose part is missing."""
    note(escape(sentence))


def scripted(name: str, template: str, elem_id: str) -> gr.HTML:
    """HTML with a script of ``page/``.

    A function, not a class: Gradio would write a stub beside the file of a class.
    """
    return gr.HTML(
        None,
        html_template=template,
        js_on_load=(PAGE / name).read_text(encoding="utf-8"),
        apply_default_css=False,
        elem_id=elem_id,
        elem_classes="taste-slot" if name == "mixer.js" else None,
    )


def mixer(elem_id: str) -> gr.HTML:
    """A button and a slider for each word; see ``page/mixer.js``."""
    template = '<fieldset class="taste-mixer" hidden><legend></legend><div></div>'
    return scripted("mixer.js", template + "</fieldset>", elem_id)


def player(elem_id: str) -> gr.HTML:
    """Plays what a stream brings; see ``page/player.js``."""
    template = '<div class="taste-clock" role="status"><span data-clock></span></div>'
    return scripted("player.js", template, elem_id)
