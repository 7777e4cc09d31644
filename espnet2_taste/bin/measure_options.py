"""Options of what measures recordings: recogniser, aligner, meters."""

import argparse
import json
import logging
from pathlib import Path

from espnet2_taste.asr.aligners import aligner_choices
from espnet2_taste.asr.ctm_aligner import FILE as CTM
from espnet2_taste.asr.recognisers import recogniser_choices
from espnet2_taste.asr.recording import Unavailable
from espnet2_taste.bin.numbers import jobs, positive
from espnet2_taste.bin.options import add_device_option
from espnet2_taste.evaluate.measure import measure
from espnet2_taste.evaluate.rows import REFERENCE_ROW, Row, read_rows
from espnet2_taste.evaluate.scorers import meter_choices
from espnet2_taste.evaluate.scorers.abs_scorer import AbsScorer
from espnet2_taste.evaluate.scorers.pitch import PitchScorer
from espnet2_taste.evaluate.scorers.times import TimesScorer
from espnet2_taste.evaluate.scorers.words import WordsScorer
from espnet2_taste.io.class_conf import check_conf
from espnet2_taste.io.config import parse_yaml
from espnet2_taste.io.lazy_choices import LazyChoices
from espnet2_taste.io.tables import read_keys

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
    add(
        "--meters",
        nargs="*",
        default=meters,
        help=f"of {' '.join(meters)}, or package.module.Class (default: all of these)",
    )
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


def measured_rows(
    args: argparse.Namespace, folder: Path, key_file: Path | None = None
) -> tuple[list[Row], dict[type[AbsScorer], str], int]:
    """Rows of :func:`add_measure_options` with what is measured of them, of the
    utterances of ``key_file``; and what ``evaluate.measure.measure`` returns.

    Raises:
        ValueError, FileNotFoundError: an option that cannot work.
    """
    rows = read_rows(args.ref_dir, args.rows, args.continuation_rows)
    keys = None if key_file is None else set(read_keys(key_file))
    if foreign := sorted((keys or set()) - rows[0].texts.keys()):
        raise ValueError(f"{key_file}: {foreign[0]} is not in the reference set")
    scorers = Scorers(args)
    for row in rows:
        row.scorers = scorers.of(row)
    failed, done = measure(rows, folder, args.nj, args.batch_size, keys)
    return rows, scorers.lost | failed, done


class Scorers:
    """What measures the rows, as :func:`add_measure_options` says.

    Attributes:
        lost: class of a scorer that is unavailable -> what to install.
    """

    def __init__(self, args: argparse.Namespace):
        self.args, self.lost = args, {}
        self.pitch = PitchScorer()
        self.made: dict[tuple, AbsScorer] = {}

    def of(self, row: Row) -> list[AbsScorer]:
        """Those of a row.

        Raises:
            ValueError, FileNotFoundError: an option that cannot work.
        """
        args, found = self.args, [self.pitch]
        if args.aligner != NONE:
            conf = read_conf("--aligner_conf", args.aligner_conf)
            if args.aligner == "ctm":
                conf.setdefault("path", str(row.folder / CTM))
                if row.name == REFERENCE_ROW and not Path(conf["path"]).is_file():
                    raise FileNotFoundError(f"--aligner ctm: no file {conf['path']}")
            train = args.train_dir / CTM if args.train_dir else None
            parts = aligner_choices, args.aligner, conf
            found += self._make(TimesScorer, *parts, train_ctm=train)
        if args.asr != NONE:
            same = row.table == "reconstruction"
            grammar = None if same else args.continuation_grammar
            conf = asr_conf(args, grammar)
            parts = recogniser_choices, args.asr, conf
            found += self._make(WordsScorer, *parts, cleaner=args.cleaner)
        for name, conf in meter_confs(args).items():
            found += self._make(None, meter_choices, name, conf)
        return found

    def _make(
        self, wrap: type | None, choices: LazyChoices, name: str, conf: dict, **others
    ) -> list[AbsScorer]:
        """[a scorer], or [] if it is unavailable."""
        key = choices.axis, name, json.dumps(conf, sort_keys=True)
        scorer = wrap or choices.get_class(name)
        if key not in self.made and scorer not in self.lost:
            try:
                cls = choices.get_class(name)
                device = {"device": self.args.device} if cls.on_device else {}
                check_conf(f"{choices.axis} {name}", cls, conf | device)
                part = cls(**conf, **device)
                self.made[key] = wrap(part, **others) if wrap else part
            except Unavailable as error:
                self.lost[scorer] = str(error)
                logging.warning("%s is not available: %s", scorer.name, error)
        return [self.made[key]] if key in self.made else []
