"""Serve a packed model over HTTP: see docs/serving.md.

python -m espnet2_taste.bin.serve --model exp/packed.zip --port 8000

Then ``http://127.0.0.1:8000/docs`` describes the routes, ``/health`` says when the
models are loaded, and ``espnet2_taste.serve.client.Client`` talks to it. The
environment variable TASTE_TOKEN is the token that clients must send; without one, the
server can only be reached from this machine. SIGTERM: what is at work is answered, new
requests are refused, then it ends.
"""

import argparse
import ipaddress
import os

from espnet2_taste.bin import command, run
from espnet2_taste.bin.numbers import positive, real, whole
from espnet2_taste.bin.options import add_device_option

TOKEN = "TASTE_TOKEN"


def get_parser() -> argparse.ArgumentParser:
    """Command-line options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add, duration = parser.add_argument, real(0, 86400, above=True)
    add("--model", required=True, help="packed model: folder, zip, URL or tag")
    add("--name", default="taste", help="of the model, for OpenAI's clients")
    add("--host", default="127.0.0.1", help=f"others than this need {TOKEN}")
    add("--port", type=whole(0, 65535), default=8000, help="0: any free one")
    add(
        *("--voice", "--voices"),
        nargs="+",
        default=[],
        metavar="NAME=FILE",
        help="recordings whose voices clients may name",
    )
    add("--max_seconds", type=duration, default=30.0, help="of a recording")
    add("--max_chars", type=positive, default=1000, help="of a text")
    add("--max_bytes", type=positive, default=8 * 2**20, help="of a request")
    add("--timeout", type=duration, default=60.0, help="seconds until an answer")
    add("--queue", type=positive, default=64, help="requests in the server at once")
    add("--max_batch", type=positive, default=16, help="1: each alone")
    add("--max_wait", type=real(0, 10), default=0.01, help="seconds for a batch")
    add("--stop_timeout", type=duration, default=30.0, help="seconds for what is left")
    add_device_option(parser)
    return parser


def check_host(host: str, token: str | None) -> None:
    """Refuse to be open to everybody.

    Raises:
        ValueError: the way out.
    """
    try:
        local = ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = host == "localhost"
    if not local and not token:
        raise ValueError(
            f"--host {host} can be reached from other machines: set {TOKEN} to a token "
            "that clients must send"
        )
    if token is not None and len(token) < 16:
        raise ValueError(f"{TOKEN} has {len(token)} characters: at least 16, please")


def parse_voices(entries: list[str]) -> dict[str, str]:
    """``name=file`` -> {name: file}.

    Raises:
        ValueError: another form.
    """
    pairs = [entry.partition("=") for entry in entries]
    for entry, (name, equals, file) in zip(entries, pairs, strict=True):
        if not (name and equals and file):
            raise ValueError(f"--voice {entry}: expected NAME=FILE")
    return {name: file for name, _, file in pairs}


@command(get_parser)
def main(args: argparse.Namespace) -> None:
    from espnet2_taste.io.extras import import_extra

    for module in ("fastapi", "uvicorn", "prometheus_client"):
        import_extra(module, "serve")
    from espnet2_taste.io.models import locate
    from espnet2_taste.serve.app import build_app
    from espnet2_taste.serve.guard import Limits
    from espnet2_taste.serve.process import Process
    from espnet2_taste.serve.service import Service
    from espnet2_taste.serve.system import System, load_voices

    token = os.environ.get(TOKEN)
    check_host(args.host, token)
    voices = parse_voices(args.voice)
    folder = locate(args.model)  # what is not there is said before anything starts

    def load() -> System:
        system = System(folder, args.device)
        load_voices(system, voices)
        return system

    limits = Limits(
        args.max_seconds,
        args.max_chars,
        args.max_bytes,
        args.timeout,
        args.queue,
        args.max_batch,
        args.max_wait,
    )
    service = Service(load, limits, args.name)
    app = build_app(service, token)
    Process(app, service, args.host, args.port, args.stop_timeout).serve_until_told()


if __name__ == "__main__":
    run(main)
