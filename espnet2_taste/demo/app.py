"""The page: :func:`build` makes it, :func:`launch` serves it."""

import os
from html import escape
from pathlib import Path

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read when gradio is imported

import gradio as gr  # noqa: E402

from espnet2_taste.asr.abs_recogniser import AbsRecogniser  # noqa: E402
from espnet2_taste.demo.controls import PAGE, missing  # noqa: E402
from espnet2_taste.demo.system import System  # noqa: E402
from espnet2_taste.demo.tabs import (  # noqa: E402
    chat,
    compare,
    continuation,
    edit,
    reconstruct,
    voice,
)

#: Requests that wait at most; then visitors are told that the page is busy.
_QUEUE = 32
_LARGEST_FILE = "20mb"
_FORGET_S = 3600  # after which a visitor's files are deleted


def build(
    model: str | Path,
    text_only: str | Path | None = None,
    other: str | Path | None = None,
    recogniser: AbsRecogniser | None = None,
    device: str = "cpu",
) -> gr.Blocks:
    """The page of a packed model; :func:`launch` or ``.launch()`` serves it.

    Args:
        model: folder, zip, URL or name on the hub of a packed model.
        text_only: a model trained without codes (experiment or packed), for
            comparison; None: the average code stands in for it.
        other: a packed model to compare with; None: no comparison.
        recogniser: of the words of models that do not recognise them themselves; None:
            visitors type them.
        device: torch device.

    Raises:
        ValueError, FileNotFoundError: no packed model; one line says why.
    """
    system = System(model, text_only, recogniser, device)
    second = None if other is None else System(other, None, recogniser, device)
    with gr.Blocks(
        title="TASTE",
        analytics_enabled=False,
        delete_cache=(_FORGET_S, _FORGET_S),
        fill_width=False,
    ) as page:
        css = (PAGE / "page.css").read_text(encoding="utf-8")
        gr.HTML(
            f"<style>{css}</style><h1>TASTE: speech as words with codes</h1>"
            f"<p>Model: {escape(system.name)}. Everything is computed on the machine "
            "that serves this page.</p>",
            elem_classes="taste-title",
            apply_default_css=False,
        )
        with gr.Tabs():
            with gr.Tab("Reconstruct"):
                reconstruct.layout(system)
            for name, tab in (("Edit", edit), ("Voice", voice)):
                with gr.Tab(name):
                    if system.speech_missing:
                        missing(system.speech_missing)
                    else:
                        tab.layout(system)
            with gr.Tab("Continue"):
                if system.taslm is None or system.speech_missing:
                    missing(system.taslm_missing or system.speech_missing)
                else:
                    continuation.layout(system)
            with gr.Tab("Compare"):
                if second is None:
                    missing("Start the page with a second model: --compare <model>.")
                else:
                    compare.layout(system, second)
            if system.chats and not system.speech_missing:
                with gr.Tab("Chat"):
                    chat.layout(system)
    return page.queue(max_size=_QUEUE, api_open=False)


def launch(page: gr.Blocks, host: str = "127.0.0.1", port: int = 7860, wait=True):
    """Serve a page: no file of this machine is readable, nobody else is told of it.

    Args:
        page: of :func:`build`.
        host: address to listen on; 127.0.0.1: this machine alone.
        port: to listen on; 0: the first from 7860 that is free.
        wait: until the process is interrupted.

    Returns:
        what ``gr.Blocks.launch`` returns.
    """
    started = page.launch(
        server_name=host,
        server_port=port or None,
        share=False,
        allowed_paths=[],
        max_file_size=_LARGEST_FILE,
        footer_links=["settings"],
        run_history=False,
        enable_monitoring=False,
        mcp_server=False,
        ssr_mode=False,
        pwa=False,
        quiet=True,
        prevent_thread_lock=True,
    )
    print(f"{started[1]} (Ctrl-C ends it)", flush=True)
    if wait:
        page.block_thread()
    return started
