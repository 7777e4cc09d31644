"""ESPnet's trainer, whose files are whole at any time and are read as data alone.

ESPnet writes checkpoints in place, sets links by removing them first and, up to 202511,
unpickles what it reads. Here ``torch.save`` writes by rename while a training runs, and
``torch.load`` takes data only. The checkpoint before the last one is kept, for when the
last one is damaged. What a kill after the last checkpoint kept from being done (the
epoch's weights, links to the best ones) is done when the training is resumed. Curves,
which take seconds to draw, are not drawn after every epoch of a minute.
"""

import datetime
import logging
import os
import pickle
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from espnet2.train.reporter import Reporter
from espnet2.train.trainer import Trainer, TrainerOptions

from espnet2_taste.io.atomic import replacing
from espnet2_taste.io.checkpoint import is_whole, save_tensors
from espnet2_taste.io.file_names import file_name

LAST, BEFORE = "checkpoint.pth", "checkpoint.before.pth"
CURVES_S = 60  # seconds between two drawings of the curves


class SavingTrainer(Trainer):
    """See the module; else ESPnet's."""

    @classmethod
    def run(cls, *args, trainer_options, distributed_option, **others) -> None:
        """See ESPnet's."""
        first = not distributed_option.distributed or distributed_option.dist_rank == 0
        with safe_files(), seldom_drawn():
            if first and trainer_options.resume:
                folder = Path(trainer_options.output_dir)
                repair(folder, trainer_options)
            super().run(
                *args,
                trainer_options=trainer_options,
                distributed_option=distributed_option,
                **others,
            )

    @staticmethod
    def resume(checkpoint, **others) -> None:
        """ESPnet's, of what :func:`repair` leaves, also while it is at work."""
        found = whole_checkpoint(Path(checkpoint).parent)
        if found is not None:
            Trainer.resume(checkpoint=found, **others)

    @classmethod
    def plot_attention(
        cls, model, output_dir, summary_writer, iterator, reporter, options
    ) -> None:
        """ESPnet's, in folders that no utterance's name can lead out of."""
        names = (([file_name(k, "") for k in keys], batch) for keys, batch in iterator)
        super().plot_attention(
            model, output_dir, summary_writer, names, reporter, options
        )


@contextmanager
def safe_files() -> Iterator[None]:
    """``torch.save`` and ``torch.load`` as a training uses them, made safe."""
    save, load = torch.save, torch.load

    def save_by_rename(state, file, *args, **others) -> None:
        if not isinstance(file, str | os.PathLike):
            return save(state, file, *args, **others)
        path = Path(file)
        if path.name == LAST and path.is_file():
            link(path.with_name(BEFORE), path)
        save_tensors(path, state)

    def load_data(file, *args, **others):
        try:
            with torch.serialization.safe_globals(_STATISTICS):
                return load(file, *args, **others | {"weights_only": True})
        except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
            raise ValueError(
                f"{file} is damaged, or no plain checkpoint of tensors, and was not "
                f"loaded ({type(error).__name__})"
            ) from None

    torch.save, torch.load = save_by_rename, load_data
    try:
        yield
    finally:
        torch.save, torch.load = save, load


@contextmanager
def seldom_drawn() -> Iterator[None]:
    """ESPnet's curves, ``images/*.png``: no more often than ``CURVES_S``, and at last;
    from the second epoch on (of one, a curve is a dot)."""
    draw, drawn, due = Reporter.matplotlib_plot, -np.inf, None

    def draw_seldom(reporter: Reporter, folder: str | Path) -> None:
        nonlocal drawn, due
        due = (reporter, folder) if reporter.get_epoch() > 1 else None
        if due and time.monotonic() > drawn + CURVES_S:
            draw(*due)
            drawn, due = time.monotonic(), None

    Reporter.matplotlib_plot = draw_seldom
    try:
        yield
    finally:
        Reporter.matplotlib_plot = draw
    if due:
        draw(*due)


#: What ESPnet 202511 keeps of its statistics in checkpoints, beside Python's numbers.
_STATISTICS = [
    datetime.timedelta,
    np.dtype,
    type(np.dtype("float64")),
    type(np.dtype("float32")),
    type(np.dtype("int64")),
    np.float64(0).__reduce__()[0],
]


def whole_checkpoint(folder: Path) -> Path | None:
    """The last checkpoint that is not damaged; None where training has to begin anew.

    Raises:
        ValueError: that would lose epochs that are done.
    """
    found = [folder / name for name in (LAST, BEFORE)]
    for path in found:
        if path.is_file() and is_whole(path):
            return path
    if any((folder / f"{epoch}epoch.pth").exists() for epoch in range(2, 10000)):
        raise ValueError(
            f"{folder / LAST} is damaged and there is none before it: train into a "
            "new folder (--tag new, --output_dir) or remove this one (--overwrite "
            "true). Its weights, *epoch.pth, can be used as they are"
        )
    return None


def repair(folder: Path, options: TrainerOptions) -> None:
    """Make a training's folder what it is just after its last whole checkpoint."""
    if not (folder / LAST).exists() and not (folder / BEFORE).exists():
        return
    found = whole_checkpoint(folder)
    if found is None:
        logging.warning("%s is damaged: training from the start", folder / LAST)
        return
    if found.name != LAST:
        logging.warning("%s is damaged: going on from %s", folder / LAST, found.name)
        link(folder / LAST, found)
    states = torch.load(found, map_location="cpu", mmap=True)
    reporter = Reporter()
    reporter.load_state_dict(states["reporter"])
    epoch = reporter.get_epoch()
    weights = folder / f"{epoch}epoch.pth"
    if not weights.is_file() or not is_whole(weights):
        save_tensors(weights, states["model"])
    names, kept = {"latest.pth": epoch}, {epoch}
    for phase, name, mode in options.best_model_criterion:
        if reporter.has(phase, name):
            order = reporter.sort_epochs(phase, name, mode)
            names[f"{phase}.{name}.best.pth"] = order[0]
            kept.update(order[: np.max(options.keep_nbest_models)])
    for name, number in names.items():
        path, target = folder / name, folder / f"{number}epoch.pth"
        if target.is_file() and path.resolve() != target.resolve():
            with replacing(path) as temporary:
                temporary.unlink(missing_ok=True)
                temporary.symlink_to(target.name)
    for number in set(range(1, epoch)) - kept:
        (folder / f"{number}epoch.pth").unlink(missing_ok=True)


def link(path: Path, target: Path) -> None:
    """Make ``path`` another name of a file, or a copy where that cannot be."""
    if path.exists() and path.samefile(target):
        return
    with replacing(path) as temporary:
        temporary.unlink(missing_ok=True)
        try:
            os.link(target, temporary)
        except OSError:
            shutil.copyfile(target, temporary)
