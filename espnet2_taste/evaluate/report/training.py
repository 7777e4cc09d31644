"""The Training section: ESPnet's own curves and attention pictures of experiments."""

import re
from dataclasses import dataclass, field
from pathlib import Path

from espnet2_taste.evaluate.report.plots import picture
from espnet2_taste.io.file_names import key_of

NUM_UTTERANCES = 2  # whose attention is shown
_EPOCH = re.compile(r"(\d+)ep\.png")


@dataclass
class Training:
    """Of one experiment.

    Attributes:
        curves: statistic -> URI of its picture in ``images``: the losses.
        maps: utterance -> [(epoch, URI)]: attention at the first, middle and last.
    """

    curves: dict[str, str] = field(default_factory=dict)
    maps: dict[str, list[tuple[int, str]]] = field(default_factory=dict)

    @classmethod
    def read(cls, exp_dir: Path) -> "Training":
        """Whatever the folder has."""
        found = sorted((exp_dir / "images").glob("loss*.png"))
        curves = {path.stem: picture(path, 320) for path in found}
        return cls(curves, read_maps(exp_dir))


def read_maps(exp_dir: Path) -> dict[str, list[tuple[int, str]]]:
    """Pictures ``att_ws/<utt>/<epoch>ep.png`` of the first utterances."""
    maps = {}
    root = exp_dir / "att_ws"
    folders = sorted({p.parent for p in root.glob("**/*ep.png") if p.is_file()})
    for folder in folders[:NUM_UTTERANCES]:
        found = {
            int(match[1]): path
            for path in folder.iterdir()
            if (match := _EPOCH.fullmatch(path.name))
        }
        if epochs := sorted(found):
            chosen = sorted({epochs[0], epochs[len(epochs) // 2], epochs[-1]})
            utt = key_of(folder.relative_to(root).as_posix(), "")
            maps[utt] = [(epoch, picture(found[epoch])) for epoch in chosen]
    return maps
