"""Options of what measures recordings: recogniser, aligner, meters."""

import argparse
from functools import partial
from pathlib import Path

from espnet2_taste.asr.aligners import aligner_choices
from espnet2_taste.asr.ctm_aligner import FILE as CTM
from espnet2_taste.asr.recognisers import recogniser_choices
from espnet2_taste.bin.numbers import jobs, positive
from espnet2_taste.bin.options import add_device_option
from espnet2_taste.evaluate.scorers.instruments import Choice
from espnet2_taste.evaluate.scorers.meters import meter_choices
from espnet2_taste.evaluate.scorers.plan import Plan
from espnet2_taste.evaluate.scorers.rows import REFERENCE_ROW, Row
from espnet2_taste.io.config import parse_yaml

NONE = "none"


def add_asr_options(parser: argparse.ArgumentParser) -> None:
    """``--asr``, ``--asr_model``, ``--asr_conf`` and ``--grammar``."""
    add = parser.add_argument
    add("--asr", default="pocketsphinx", choices=[*recogniser_choices.names(), NONE])
    add("--asr_model", help="its weights: a path, or a name that it downloads")
    add("--asr_conf", nargs="*", default=[], help="key=value ... of its constructor")
    add("--grammar", type=Path, help="JSGF for pocketsphinx, else its general LM")


def asr_conf(args: argparse.Namespace, grammar: Path | None = None) -> dict:
    """Constructor arguments of the chosen recogniser.

    Args:
        args: of :func:`add_asr_options`.
        grammar: instead of ``--grammar``.

    Raises:
        ValueError: an option that the recogniser does not take.
    """
    conf = read_conf("--asr_conf", args.asr_conf)
    if args.asr_model:
        conf["model"] = args.asr_model
    elif args.asr in ("whisper", "espnet") and "model" not in conf:
        raise ValueError(f"--asr {args.asr}: give --asr_model")
    grammar = grammar or args.grammar
    if grammar and args.asr == "pocketsphinx":
        conf["grammar"] = str(grammar)
    return conf


def add_measure_options(parser: argparse.ArgumentParser) -> None:
    """What ``bin.measure`` and ``bin.score`` share: data, rows, instruments."""
    add = parser.add_argument
    add("--ref_dir", type=Path, help="originals: wav.scp text [utt2spk units.scp]")
    add("--rows", nargs="*", default=[], help="name=folder or name:seed=folder ...")
    add("--continuation_rows", nargs="*", default=[], help="the same; with prompt_text")
    add_asr_options(parser)
    add(
        "--continuation_grammar",
        type=Path,
        help="JSGF that allows parts of sentences, for --continuation_rows",
    )
    add("--aligner", default="pocketsphinx", choices=[*aligner_choices.names(), NONE])
    add("--aligner_conf", nargs="*", default=[], help="key=value ...")
    meters = meter_choices.names()
    add("--meters", nargs="*", default=meters, choices=meters, help="default: all")
    add("--meter_conf", nargs="*", default=[], help="utmos.model=path ...")
    add_device_option(parser)
    add("--batch_size", type=positive, default=16, help="on the device")
    add("--nj", type=jobs, default=1, help="processes of what runs on the CPU")


def read_conf(option: str, items: list[str]) -> dict:
    """``key=value`` items -> arguments; values are YAML (numbers, lists, true ...).

    Raises:
        ValueError: an item of another form; the message names the option.
    """
    conf = {}
    for item in items:
        key, equals, value = item.partition("=")
        if not equals or not key:
            raise ValueError(f"{option} '{item}': expected key=value")
        conf[key] = parse_yaml(value, f"{option} '{item}': the value")
    return conf


def meter_confs(args: argparse.Namespace) -> dict[str, dict]:
    """Constructor arguments of each of ``--meters``.

    Raises:
        ValueError: an argument of no meter chosen, or of another form.
    """
    confs: dict[str, dict] = {name: {} for name in args.meters}
    for key, value in read_conf("--meter_conf", args.meter_conf).items():
        name, dot, argument = key.partition(".")
        if not dot or name not in confs:
            raise ValueError(
                f"--meter_conf '{key}': expected meter.argument=value with a meter of "
                f"--meters ({', '.join(confs) or 'none'})"
            )
        confs[name][argument] = value
    return confs


def choose(args: argparse.Namespace, row: Row, same_words: bool) -> list[Choice]:
    """What measures a row.

    Args:
        args: of :func:`add_measure_options`.
        row: of ``--rows`` or ``--continuation_rows``.
        same_words: whether it says the same as the originals.
    """
    choices = [Choice.of("pitch")]
    if args.aligner != NONE:
        conf = read_conf("--aligner_conf", args.aligner_conf)
        if args.aligner == "ctm":
            conf.setdefault("path", str(row.folder / CTM))
            if row.name == REFERENCE_ROW and not Path(conf["path"]).is_file():
                raise FileNotFoundError(f"--aligner ctm: no file {conf['path']}")
        choices.append(Choice.of("aligner", args.aligner, args.device, **conf))
    if args.asr != NONE:
        conf = asr_conf(args, None if same_words else args.continuation_grammar)
        choices.append(Choice.of("recogniser", args.asr, args.device, **conf))
    for name, conf in meter_confs(args).items():
        choices.append(Choice.of("meter", name, args.device, **conf))
    return choices


def read_plan(args: argparse.Namespace) -> Plan:
    """The plan of :func:`add_measure_options`."""
    return Plan.read(
        args.ref_dir, args.rows, args.continuation_rows, partial(choose, args)
    )
