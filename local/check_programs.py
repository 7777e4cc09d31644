"""Look at the options that a recipe hands on to its programs (see check.py)."""

import argparse
import contextlib
import io
from importlib import import_module
from urllib.parse import urlsplit

#: options for a program -> the stage that runs it, the program, what else it gets
PROGRAMS = {
    "transcripts_args": (2, "transcribe", "--data_dir x --output_dir x"),
    "transcripts_filter": (
        2,
        "take_transcripts",
        "--data_dir x --transcripts x --output_dir x",
    ),
    "asr_args": (3, "asr_train", ""),
    "taste_args": (5, "taste_train", ""),
    "synthesis_args": (6, "synthesize", "--data_dir x --output_dir x --vocoder x"),
    "taslm_args": (7, "taslm_train", ""),
    "taslm_inference_args": (
        8,
        "taslm_generate",
        "--model_file x --data_dir x --output_dir x --taste x",
    ),
    "judge_args": (8, "judge", "--data_dir x --output_dir x"),
    "score_args": (9, "score", "--output_dir x"),
    "pack_args": (10, "pack", "--taste x --output x"),
    "upload_args": (11, "upload", "--packed x --repo x/x"),
}


def check(values: dict[str, str], stages: set[int]) -> None:
    """Look at options that are handed on, by the parsers of those who get them.

    Args:
        values: of all options of a recipe, by name.
        stages: that run.

    Raises:
        ValueError: one that its program refuses.
    """
    for name, (stage, program, more) in PROGRAMS.items():
        text = values[name]
        if not text or stage not in stages:
            continue
        parser = parser_of(program)
        said = io.StringIO()
        try:
            with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
                args = parser.parse_args([*more.split(), *text.split()])
        except SystemExit:
            why = said.getvalue().strip().rpartition("error: ")[2] or "no options"
            raise ValueError(f"--{name} '{text}': {program}: {why}") from None
        if name == "judge_args":
            check_judge(args)


def parser_of(program: str) -> argparse.ArgumentParser:
    """Of a program in ``espnet2_taste.bin``; trainings have that of their task."""
    module = import_module(f"espnet2_taste.bin.{program}")
    if hasattr(module, "get_parser"):
        return module.get_parser()
    tasks = [value for key, value in vars(module).items() if key.endswith("Task")]
    return tasks[0].get_parser()


def check_judge(args: argparse.Namespace) -> None:
    """The endpoint that stage 8 asks."""
    if bool(args.endpoint) != bool(args.model):
        raise ValueError("--judge_args: --endpoint and --model go together")
    if args.endpoint:
        with contextlib.suppress(ValueError):  # urlsplit's, of bad ports
            url = urlsplit(args.endpoint)
            if url.scheme in ("http", "https") and url.hostname and url.port != 0:
                return
        raise ValueError(
            f"--judge_args: --endpoint {args.endpoint} is no URL, such as "
            "http://localhost:8000/v1"
        )
