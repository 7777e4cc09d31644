"""What speech units are: the contract between who makes, models and says them."""

import argparse
from dataclasses import asdict, dataclass
from pathlib import Path

import yaml

from espnet2_taste.io.class_conf import check_conf
from espnet2_taste.io.config import read_yaml


@dataclass(frozen=True)
class UnitSpec:
    """A kind of speech units.

    Attributes:
        num_units: size of the vocabulary (no special symbols).
        unit_rate: units per second; None: not known, an old model's.
        sample_rate: Hz of the speech that they are made from; None likewise.
    """

    #: of the file beside ``units.scp``
    FILE = "unit_spec.yaml"

    num_units: int
    unit_rate: float | None = None
    sample_rate: int | None = None

    @classmethod
    def of(cls, args: argparse.Namespace) -> "UnitSpec":
        """Of a TASTE model's options; the oldest ones have ``num_units`` alone."""
        if getattr(args, "unit_spec", None):
            check_conf("unit_spec", cls, args.unit_spec)
            return cls(**args.unit_spec)
        if getattr(args, "num_units", None):
            return cls(args.num_units)
        return S3

    @classmethod
    def read(cls, path: str | Path) -> "UnitSpec":
        """Read a ``unit_spec.yaml``.

        Raises:
            FileNotFoundError: no such file.
            ValueError: it holds something else.
        """
        try:
            return cls(**read_yaml(path))
        except TypeError:
            raise ValueError(
                f"{path}: expected num_units, unit_rate and sample_rate"
            ) from None

    @classmethod
    def beside(cls, units_scp: str | Path) -> "UnitSpec | None":
        """Of the units in ``units.scp``; None: nothing beside it says."""
        path = Path(units_scp).parent / cls.FILE
        return cls.read(path) if path.is_file() else None

    def text(self) -> str:
        """The content of a ``unit_spec.yaml``."""
        return yaml.safe_dump(asdict(self), sort_keys=False)


#: CosyVoice 1's, which the paper uses
S3 = UnitSpec(4096, 50.0, 16000)


def check_fit(
    taker: str,
    wanted: UnitSpec | None,
    giver: str,
    given: UnitSpec | None,
    widths: tuple[int | None, int | None] = (None, None),
) -> None:
    """Refuse parts that do not belong together; what is not known fits everything.

    Args:
        taker: who takes the units, for the message.
        wanted: what it was trained with.
        giver: who makes them.
        given: what it makes.
        widths: of the speaker embeddings, wanted and given.

    Raises:
        ValueError: one line with all that differs.
    """
    pairs = {"speaker embeddings of {} dimensions instead of {}": widths}
    if wanted is not None and given is not None:
        pairs |= {
            "{} units instead of {}": (wanted.num_units, given.num_units),
            "{} units a second instead of {}": (wanted.unit_rate, given.unit_rate),
            "units of {} Hz speech instead of {} Hz": (
                wanted.sample_rate,
                given.sample_rate,
            ),
        }
    problems = [
        text.format(*(f"{value:g}" if value < 1e5 else value for value in pair[::-1]))
        for text, pair in pairs.items()
        if None not in pair and pair[0] != pair[1]
    ]
    if problems:
        raise ValueError(
            f"{giver} does not fit {taker}: {', '.join(problems)}; take parts that "
            "were made for each other"
        )
