"""ESPnet's trainer with statistics of whole epochs and maps of our attention."""

import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from espnet2.torch_utils.device_funcs import to_device
from espnet2.train.reporter import SubReporter, to_reported_value
from espnet2.train.trainer import TrainerOptions, autocast_args
from espnet2.utils.build_dataclass import build_dataclass

from espnet2_taste.io.file_names import file_name
from espnet2_taste.io.tables import read_table
from espnet2_taste.nn.flops import FlopCounter, matmul_rate
from espnet2_taste.tasks.saving_trainer import SavingTrainer
from espnet2_taste.text.segmenters import SEGMENTERS


@dataclass
class TasteTrainerOptions(TrainerOptions):
    """ESPnet's options and the validation set, whose transcripts label the maps."""

    valid_data_path_and_name_and_type: list
    segmenter = "whitespace"  # no field: not every task has it


class TasteTrainer(SavingTrainer):
    """Trainer of all our tasks.

    What a model says of a whole epoch (``epoch_statistics() -> {name: value}``, called
    on every rank), the effective batch size, units a second, padding, use of the device
    and the number of trainable parameters go to ESPnet's reporter (see
    :mod:`~espnet2_taste.tasks.statistics`). Of a model with
    ``attention_maps(**batch)``, those of the first ``num_att_plot`` utterances of the
    validation set are drawn after every epoch.
    """

    @classmethod
    def build_options(cls, args) -> TasteTrainerOptions:
        """See ESPnet's."""
        options = build_dataclass(TasteTrainerOptions, args)
        options.segmenter = getattr(args, "segmenter", None) or options.segmenter
        return options

    @classmethod
    def train_one_epoch(cls, model, iterator, reporter, options, **others) -> bool:
        """ESPnet's epoch, then its statistics."""
        start = time.perf_counter()
        with closing(Counted(iterator)) as counted:
            invalid = super().train_one_epoch(
                model=model,
                iterator=counted,
                reporter=reporter,
                options=options,
                **others,
            )
        seconds = time.perf_counter() - start
        distributed = others["distributed_option"]
        ranks = distributed.dist_world_size if distributed.distributed else 1
        # With several ranks, the weights are already sums over them.
        sizes = [value.weight for value in reporter.stats["loss"]]
        batch_size = float(np.mean(sizes)) if sizes else float("nan")
        trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
        found = epoch_statistics(model)
        found["effective_batch_size"] = batch_size * options.accum_grad
        found["trainable_parameters"] = float(trainable)
        found["units_per_second"] = ranks * counted.units / seconds
        found["padding"] = counted.padding
        if options.ngpu < 2:  # each rank's; of DataParallel's threads nothing is seen
            rate = matmul_rate(*where_and_how(model, options.use_amp))
            found["mfu"] = counted.flops / seconds / rate
        report(reporter, found)
        return invalid

    @classmethod
    def validate_one_epoch(cls, model, reporter, **others) -> None:
        """ESPnet's validation, then its statistics."""
        super().validate_one_epoch(model=model, reporter=reporter, **others)
        report(reporter, epoch_statistics(model))

    @classmethod
    @torch.no_grad()
    def plot_attention(
        cls, model, output_dir, summary_writer, iterator, reporter, options
    ) -> None:
        """Draw ``<output_dir>/<utterance>/<epoch>ep.png``, and into tensorboard."""
        if not getattr(model, "has_attention", False) or options.no_forward_run:
            return
        from PIL import Image

        model.eval()
        files = {n: path for path, n, _ in options.valid_data_path_and_name_and_type}
        texts = read_table(files["text"])
        epoch = reporter.get_epoch()
        for keys, batch in iterator:
            batch = to_device(batch, "cuda" if options.ngpu > 0 else "cpu")
            for key, attention in zip(keys, model.attention_maps(**batch), strict=True):
                words = SEGMENTERS[options.segmenter].words(texts[key])
                title = f"{key}, epoch {epoch}"
                picture = draw_attention(attention.cpu().numpy(), words, title)
                path = Path(output_dir) / file_name(key, f"/{epoch}ep.png")
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(picture).save(path)
                if summary_writer is not None:
                    name = f"attention/{key}"
                    summary_writer.add_image(name, picture, epoch, dataformats="HWC")


class Counted:
    """Batches as they come, and what there was in them.

    Positions are those of the first of :attr:`NAMES` that the data have. The operations
    of the first batch, until the next is asked for, are counted.

    Args:
        batches: of the loader: names and tensors.

    Attributes:
        units: positions so far that are no padding.
        positions: all of them.
    """

    NAMES = ("units", "text", "feats", "speech")

    def __init__(self, batches: Iterable[tuple[list[str], dict[str, torch.Tensor]]]):
        self.batches = batches
        self.units = self.positions = 0
        self._iterator: Iterator | None = None
        self._flops_per_position = 0.0

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[tuple[list[str], dict[str, torch.Tensor]]]:
        self._iterator = self._counting()
        return self._iterator

    def _counting(self):
        for index, (names, batch) in enumerate(self.batches):
            for name in self.NAMES:
                if name in batch:  # still on the CPU: nothing waits
                    self.units += int(batch[f"{name}_lengths"].sum())
                    self.positions += batch[name].shape[:2].numel()
                    break
            if index > 0:
                yield names, batch
                continue
            with torch.compiler.set_stance("force_eager"), FlopCounter() as counter:
                yield names, batch
            self._flops_per_position = counter.total / max(self.positions, 1)

    def close(self) -> None:
        """Count no longer, also where an error has kept the next batch from coming."""
        if self._iterator is not None:
            self._iterator.close()

    @property
    def padding(self) -> float:
        """Share of the positions."""
        return 1 - self.units / self.positions if self.positions else float("nan")

    @property
    def flops(self) -> float:
        """Operations that the positions without the padding need."""
        return self._flops_per_position * self.units


def where_and_how(
    model: torch.nn.Module, use_amp: bool
) -> tuple[torch.device, torch.dtype]:
    """Device and dtype of most of a training's arithmetic."""
    sizes: dict[torch.dtype, int] = {}
    for parameter in model.parameters():
        sizes[parameter.dtype] = sizes.get(parameter.dtype, 0) + parameter.numel()
    if use_amp and parameter.is_cuda:  # ESPnet's autocast is for CUDA alone
        return parameter.device, autocast_args.get("dtype", torch.float16)
    return parameter.device, max(sizes, key=sizes.__getitem__)


def epoch_statistics(model: torch.nn.Module) -> dict[str, float]:
    """What the model, perhaps wrapped for several ranks, says of its epoch."""
    model = getattr(model, "module", model)
    return model.epoch_statistics() if hasattr(model, "epoch_statistics") else {}


def report(reporter: SubReporter, values: dict[str, float]) -> None:
    """Give values of the whole epoch to the reporter.

    ``reporter.register`` would count them as one more batch.
    """
    for name, value in values.items():
        reporter.stats[name].append(to_reported_value(value))


def draw_attention(attention: np.ndarray, words: list[str], title: str) -> np.ndarray:
    """Picture of attention, a row per word and a column per encoder frame.

    Args:
        attention: (W, F) in 0..1.
        words: W.
        title: above it.

    Returns:
        (height, width, 3) uint8.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 1.2 + 0.25 * len(words)), dpi=80, layout="tight")
    canvas = FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.imshow(attention, aspect="auto", interpolation="nearest", cmap="gray_r")
    # Whatever is in them is text, "$" too.
    axes.set_yticks(range(len(words)), words, parse_math=False)
    axes.set_title(title, parse_math=False)
    axes.set_xlabel("encoder frame")
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
