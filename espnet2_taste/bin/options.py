"""Options that several commands share, each described once."""

import argparse
from pathlib import Path

from espnet2.utils.nested_dict_action import NestedDictAction

from espnet2_taste.bin.numbers import count, positive, real, seed, temperature
from espnet2_taste.io.lazy_choices import LazyChoices


def add_model_options(
    parser: argparse.ArgumentParser, model: str, required: bool = True
) -> None:
    """``--train_config``, ``--model_file`` and ``--device``.

    Args:
        parser: gets the options.
        model: what it is, for ``--help``.
        required: whether nothing can be done without it.
    """
    parser.add_argument(
        "--train_config",
        help=f"config.yaml of the {model} (default: beside the checkpoint)",
    )
    parser.add_argument(
        "--model_file",
        required=required,
        help=f"checkpoint of the {model}, or experiment or packed model (folder, zip, "
        "URL or tag, kept in $TASTE_CACHE) with it",
    )
    add_device_option(parser)


def add_device_option(parser: argparse.ArgumentParser) -> None:
    """``--device``: one that cannot be used here is refused at once."""
    parser.add_argument("--device", type=_device, default="cpu", help="cpu or cuda")


def _device(name: str) -> str:
    if name != "cpu":
        import torch  # seconds

        try:
            torch.empty(0, device=name)
        except (RuntimeError, AssertionError) as error:
            reason = str(error).partition("\n")[0].partition(". ")[0]
            raise argparse.ArgumentTypeError(f"{name}: {reason}") from None
    return name


def add_data_options(parser: argparse.ArgumentParser, files: str) -> None:
    """``--data_dir`` and ``--output_dir``.

    Args:
        parser: gets the options.
        files: that the command reads in ``--data_dir``, for ``--help``.
    """
    parser.add_argument("--data_dir", type=Path, required=True, help=f"with {files}")
    parser.add_argument("--output_dir", type=Path, required=True)


def add_batch_options(parser: argparse.ArgumentParser, batch_size: int = 32) -> None:
    """``--key_file`` and ``--batch_size``."""
    parser.add_argument("--key_file", help="utterances to do (default: all)")
    parser.add_argument("--batch_size", type=positive, default=batch_size)


def add_running_options(parser: argparse.ArgumentParser) -> None:
    """``--slots`` and ``--cuda_graph``, of what generates step by step."""
    parser.add_argument(
        "--slots",
        type=positive,
        help="utterances of a batch at work at once: the next begins when one has "
        "ended (default: all together, to the end of the last)",
    )
    parser.add_argument(
        "--cuda_graph",
        action="store_true",
        help="with --slots on a GPU: launch each step as one CUDA graph",
    )


def add_weights_option(parser: argparse.ArgumentParser) -> None:
    """``--weights``."""
    parser.add_argument(
        "--weights",
        default="float32",
        choices=["float32", "bfloat16", "int8"],
        help="what linear maps (bfloat16: and the vocoder's convolutions) compute with "
        "on a CPU: lighter ones are faster and a little off (benchmarks, weights)",
    )


def add_segmenter_option(parser: argparse.ArgumentParser) -> None:
    """``--segmenter``, for programs that know no model's."""
    from espnet2_taste.text.segmenters import SEGMENTERS

    parser.add_argument(
        "--segmenter",
        default="whitespace",
        choices=sorted(SEGMENTERS),
        help="what the words of a text are, as in the tokenizer's training",
    )


def named_folders(option: str, items: list[str]) -> dict[str, Path]:
    """``name=folder`` items of an option, in order.

    Raises:
        ValueError: an item of another form, or a name twice.
        FileNotFoundError: no such folder.
    """
    folders: dict[str, Path] = {}
    for item in items:
        name, _, folder = item.partition("=")
        if not name or not folder:
            raise ValueError(f"{option} '{item}': expected name=folder")
        if name in folders:
            raise ValueError(f"{option}: {name} is given twice")
        if not Path(folder).is_dir():
            raise FileNotFoundError(f"{option} {name}: no folder {folder}")
        folders[name] = Path(folder)
    return folders


def add_part_type(
    parser: argparse.ArgumentParser,
    option: str,
    choices: LazyChoices,
    conf: str,
    **others,
) -> None:
    """Which class a part is of, and ``--<part>_conf`` with its further options.

    Args:
        parser: gets the options.
        option: that chooses the class.
        choices: among which; a dotted path names any other class.
        conf: name of the other option, e.g. ``--vocoder_conf``.
        others: arguments of ``add_argument``; ``default``: the first choice.
    """
    names = choices.names()
    parser.add_argument(
        option,
        default=names[0],
        metavar="{" + ",".join(names) + ",package.module.Class}",
        **others,
    )
    parser.add_argument(
        conf,
        action=NestedDictAction,
        default={},
        metavar="KEY=VALUE",
        help=f"option of the {choices.axis}'s from_pretrained; may be given repeatedly",
    )


def add_vocoder_options(
    parser: argparse.ArgumentParser, required: bool = False
) -> None:
    """``--vocoder_type``, ``--vocoder_conf`` and ``--vocoder``.

    Args:
        parser: gets the options.
        required: True where there is no ``--model_file`` that may bring one.
    """
    from espnet2_taste.vocoder import vocoder_choices

    add_part_type(parser, "--vocoder_type", vocoder_choices, "--vocoder_conf")
    parser.add_argument(
        "--vocoder",
        required=required,
        help="its folder or file, or a packed model (folder, zip, URL or tag)"
        + ("" if required else "; default: a packed --model_file"),
    )


def load_vocoder_option(args: argparse.Namespace):
    """The vocoder of :func:`add_vocoder_options`, as light as ``--weights`` says.

    Raises:
        ValueError: none is given.
    """
    from espnet2_taste.io.models import find_part
    from espnet2_taste.vocoder import load_vocoder

    found = find_part(args.vocoder or args.model_file, "vocoder")
    if found is None and not args.vocoder:
        raise ValueError("give --vocoder and its --vocoder_type, or a packed model")
    choice, path = found or (args.vocoder_type, args.vocoder)
    vocoder = load_vocoder(choice, path, device=args.device, **args.vocoder_conf)
    if (weights := getattr(args, "weights", "float32")) != "float32":
        vocoder.lighten(weights)
    return vocoder


def add_unit_sampling_options(parser: argparse.ArgumentParser) -> None:
    """What :func:`unit_sampling` reads."""
    parser.add_argument("--seed", type=seed, default=0)
    parser.add_argument("--top_k", type=positive, default=25, help="1 is greedy")
    parser.add_argument(
        "--temperature", type=temperature, help="default: the decoder's"
    )
    parser.add_argument(
        "--top_p", type=real(0, 1, above=True), help="nucleus (default: the decoder's)"
    )
    parser.add_argument(
        "--ras_window",
        type=count,
        help="units among which none is drawn twice but from all others; 0: off "
        "(default: the decoder's)",
    )


def unit_sampling(args: argparse.Namespace):
    """:class:`~espnet2_taste.taste.speech_decoder.abs_speech_decoder.Sampling`."""
    from espnet2_taste.taste.speech_decoder.abs_speech_decoder import Sampling

    return Sampling(
        args.top_k,
        args.temperature,
        args.seed,
        top_p=args.top_p,
        ras_window=args.ras_window,
    )
