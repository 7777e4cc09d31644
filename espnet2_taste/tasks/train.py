"""Start a training with ESPnet; never one of another model over that of this one."""

import sys
import tempfile
from argparse import Namespace
from pathlib import Path

import yaml
from espnet2.tasks.abs_task import AbsTask, optim_classes, scheduler_classes
from espnet2.utils.config_argparse import ArgumentParser

from espnet2_taste.io.atomic import write_text
from espnet2_taste.io.class_conf import check_conf
from espnet2_taste.io.config import read_training_config

#: Options that may change when a training is resumed: not what is learned of what.
RESUMABLE = {
    *("allow_multi_rates", "config", "cudnn_benchmark", "cudnn_enabled", "dry_run"),
    *("keep_nbest_models", "local_rank", "log_interval", "log_level", "max_cache_fd"),
    *(
        "max_cache_size",
        "max_epoch",
        "multiprocessing_distributed",
        "nbest_averaging_interval",
    ),
    *("ngpu", "num_att_plot", "num_workers", "output_dir", "patience", "print_config"),
    *("resume", "save_strategy", "use_matplotlib", "use_tensorboard", "version"),
    *("compile", "encoder_cache", "encoder_cache_gib", "gradient_checkpointing"),
    *("create_graph_in_tensorboard", "detect_anomaly", "distributed", "no_forward_run"),
    *(
        "valid_batch_bins",
        "valid_batch_size",
        "valid_batch_type",
        "valid_max_cache_size",
    ),
}
#: Options above 0; of other numbers none is negative.
POSITIVE = {
    *("max_epoch", "batch_size", "valid_batch_size", "batch_bins", "valid_batch_bins"),
    *("accum_grad", "num_iters_per_epoch", "log_interval", "patience", "crop_s"),
    *("keep_nbest_models", "crop_units", "spk_embed_dim", "num_units", "vocab_size"),
    "encoder_cache_gib",
}
OPTIONS = "options.yaml"
RESUMABLE_PREFIXES = ("dist_", "wandb_", "use_wandb")


def train(task: type[AbsTask], cmd: list[str] | None = None) -> None:
    """Train with ESPnet's options; ``cmd`` defaults to the command line.

    Raises:
        ValueError: an option that makes no sense; or ``--output_dir`` holds a training
            of another model or of other data.
        FileNotFoundError: of a configuration or its base.
    """
    args = parse(task.get_parser(), cmd)
    if hasattr(task, "complete"):
        task.complete(args)
    check_numbers(args)
    check_confs(task, args)
    if args.output_dir and args.resume:
        refuse_another(Path(args.output_dir), args)
    task.main(args=args)


def check_numbers(args: Namespace) -> None:
    """Refuse numbers that make no sense, of the command line and of YAML files.

    Raises:
        ValueError: names the option.
    """
    for name, value in vars(args).items():
        if name.startswith("wandb_") or not isinstance(value, int | float):
            continue  # wandb's -1: never
        if name in POSITIVE and not value > 0:
            raise ValueError(f"--{name} {value}: expected a number above 0")
        if not value >= 0:
            raise ValueError(f"--{name} {value}: expected a number from 0 on")


def check_confs(task: type[AbsTask], args: Namespace) -> None:
    """Refuse ``*_conf`` options that the classes chosen do not have.

    Raises:
        ValueError: see :func:`~espnet2_taste.io.class_conf.check_conf`.
    """
    for choices in task.class_choices_list:
        cls = choices.get_class(getattr(args, choices.name))
        if cls is not None:
            conf = getattr(args, f"{choices.name}_conf")
            check_conf(f"--{choices.name}_conf", cls, conf)
    for name, classes, filled in (
        ("optim", optim_classes, ("params",)),
        ("optim2", optim_classes, ("params",)),
        ("scheduler", scheduler_classes, ("optimizer",)),
        ("scheduler2", scheduler_classes, ("optimizer",)),
    ):
        cls = classes.get(getattr(args, name, None))
        if cls is not None:
            check_conf(f"--{name}_conf", cls, getattr(args, f"{name}_conf"), filled)


def parse(parser: ArgumentParser, cmd: list[str] | None = None) -> Namespace:
    """ESPnet's parsing of options, of which a YAML file may have a ``base``."""
    words = list(sys.argv[1:] if cmd is None else cmd)
    known, _ = super(ArgumentParser, parser).parse_known_args(words)
    if known.config is None:
        return parser.parse_args(words)
    with tempfile.NamedTemporaryFile("w", suffix=".yaml", encoding="utf-8") as merged:
        yaml.safe_dump(read_training_config(known.config), merged)
        merged.flush()
        refuse = parser.error
        parser.error = lambda text: refuse(text.replace(merged.name, known.config))
        args = parser.parse_args([*words, "--config", merged.name])
    args.config = known.config
    return args


def refuse_another(output_dir: Path, args: Namespace) -> None:
    """Stop before a training is resumed with options that make another one of it.

    The options as they are now, before parts fill in theirs (config.yaml has these,
    too), stay in the folder to be compared.

    Raises:
        ValueError: with the first such option, and the two ways out.
    """
    path = output_dir / OPTIONS
    new = yaml.safe_load(yaml.safe_dump(_plain(vars(args))))
    old = new
    if path.is_file() and (output_dir / "checkpoint.pth").is_file():
        old = yaml.safe_load(path.read_text(encoding="utf-8"))
    changed = [
        key
        for key in sorted(old.keys() & new.keys())
        if old[key] != new[key]
        and key not in RESUMABLE
        and not key.startswith(RESUMABLE_PREFIXES)
    ]
    if changed:
        key, more = changed[0], len(changed) - 1
        was, now = _difference(old[key], new[key], key)
        raise ValueError(
            f"{output_dir} was trained with {was}, not with {now}"
            f"{f' (and {more} more)' if more else ''}: train into a new folder (--tag "
            "new, --output_dir) or remove this one (--overwrite true)"
        )
    output_dir.mkdir(parents=True, exist_ok=True)
    write_text(path, yaml.safe_dump(new))


def _plain(value):
    """Tuples as config.yaml has them: lists."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return (
        [_plain(item) for item in value] if isinstance(value, tuple | list) else value
    )


def _difference(old, new, name: str) -> tuple[str, str]:
    """The first entry that differs, as both sides have it."""
    if isinstance(old, dict) and isinstance(new, dict):
        key = min(k for k in old.keys() | new.keys() if old.get(k) != new.get(k))
        return _difference(old.get(key), new.get(key), f"{name}.{key}")
    return f"{name} {old}", str(new)
