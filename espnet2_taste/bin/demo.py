"""A page in the browser: what TASTE takes from a sentence, changed and heard.

It is for a packed model (folder, zip, URL or name on the hub)::

    python -m espnet2_taste.bin.demo --model egs2/taste/mini/exp/packed.zip

and opens at the address that is printed. Only this machine can open it, unless
``--host`` says otherwise. ``--asr`` names who hears what is said, where the model does
not hear it itself. It needs the extra ``demo``: ``pip install '.[demo]'``.
"""

import argparse

from espnet2_taste.bin import command, run
from espnet2_taste.bin.measure_options import NONE, add_asr_options, asr_conf
from espnet2_taste.bin.numbers import whole
from espnet2_taste.bin.options import add_device_option


def get_parser() -> argparse.ArgumentParser:
    """Command-line options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--model", required=True, help="packed model: folder, zip, URL or tag")
    add("--compare", help="another one, for the tab Compare")
    add(
        "--text_only",
        help="model trained without codes (experiment or packed), to compare with "
        "(default: the average code)",
    )
    add("--host", default="127.0.0.1", help="0.0.0.0: whoever reaches this machine")
    add("--port", type=whole(0, 65535), default=7860, help="0: the next free one")
    add_asr_options(parser)
    parser.set_defaults(asr=NONE)
    add_device_option(parser)
    return parser


@command(get_parser)
def main(args: argparse.Namespace) -> None:
    from espnet2_taste.io.extras import import_extra

    import_extra("gradio", "demo")
    from espnet2_taste.asr.recognisers import load_recogniser
    from espnet2_taste.demo.app import build, launch

    recogniser = None
    if args.asr != NONE:
        conf = asr_conf(args, args.grammar)
        recogniser = load_recogniser(args.asr, device=args.device, **conf)
    page = build(args.model, args.text_only, args.compare, recogniser, args.device)
    launch(page, args.host, args.port)


if __name__ == "__main__":
    run(main)
