"""What every test-set layout is read into."""

from abc import ABC, abstractmethod
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from espnet2_taste.io.tables import read_table


@dataclass(frozen=True)
class Pair:
    """Two recordings, of which a model should find ``positive`` likelier.

    Attributes:
        name: id.
        task: of its test set; accuracies are given per task.
        positive, negative: utterance ids.
        item: pairs of one item (a word said by several voices, say) count as one,
            with the mean of their results.
    """

    name: str
    task: str
    positive: str
    negative: str
    item: str


@dataclass
class TestSet:
    """A test set: recordings, and pairs of them or answers to them.

    Attributes:
        wavs: utterance -> audio file.
        text: utterance -> transcript, for those that have one.
        speakers: utterance -> speaker; an utterance that is absent is its own.
        pairs: of a likelihood test.
        answers: utterance (a spoken question) -> answers, each of them right.
        skipped: reason -> ids of what was left out.
    """

    __test__ = False  # no test of pytest's

    wavs: dict[str, Path] = field(default_factory=dict)
    text: dict[str, str] = field(default_factory=dict)
    speakers: dict[str, str] = field(default_factory=dict)
    pairs: list[Pair] = field(default_factory=list)
    answers: dict[str, list[str]] = field(default_factory=dict)
    skipped: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def add_pair(self, pair: Pair, wavs: dict[str, Path]) -> None:
        """Add a pair whose ``wavs`` (utterance -> file) exist, or skip it."""
        missing = [path for path in wavs.values() if not path.is_file()]
        if missing:
            self.skipped[f"no file, e.g. {missing[0]}"].append(pair.name)
            return
        self.pairs.append(pair)
        self.wavs |= wavs


class AbsLayout(ABC):
    """Reads a folder of one layout.

    Args:
        split: ``dev`` or ``test``, for the sets that have both.
    """

    #: What the root folder must hold, for messages and ``--help``.
    files: str

    def __init__(self, split: str = "dev"):
        self.split = split

    @abstractmethod
    def read(self, root: Path) -> TestSet:
        """Read the folder; ids are those of the set.

        Raises:
            FileNotFoundError, ValueError: it is not of this layout; names the file.
        """

    def missing(self, root: Path, what: str) -> FileNotFoundError:
        """The error of a folder that is not of this layout."""
        return FileNotFoundError(f"{what}: {root} should hold {self.files}")


def read_transcripts(root: Path) -> dict[str, str]:
    """``<root>/text``: a file's path in ``root`` without suffix, then its words.

    The public sets of audio have none; whoever knows what is said may add it.
    """
    path = root / "text"
    return read_table(path, allow_empty=True) if path.is_file() else {}
