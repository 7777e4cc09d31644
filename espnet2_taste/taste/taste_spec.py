"""What TASTE codes are: the contract between who makes, models and says them."""

from dataclasses import asdict, dataclass, field
from pathlib import Path

import yaml

from espnet2_taste.io.config import read_yaml


@dataclass(frozen=True)
class TasteSpec:
    """A kind of TASTE codes.

    Attributes:
        num_codebooks: R, codes in a row.
        codebook_size: entries of each codebook.
        granularity: what a row stands for: a ``word``, or a ``token`` of the
            vocabulary that the codes were made with.
        vocabulary: fingerprint of that one, where a row stands for a token; "": not
            known. Two specs may differ in it.
    """

    #: of the file beside ``taste.scp``
    FILE = "taste_spec.yaml"

    num_codebooks: int
    codebook_size: int
    granularity: str = "word"
    vocabulary: str = field(default="", compare=False)

    @classmethod
    def of(cls, model) -> "TasteSpec":
        """Of the codes that a TASTE model makes, or a TASLM."""
        quantizer = model.quantizer
        return cls(quantizer.num_codebooks, quantizer.codebook_size, model.granularity)

    @classmethod
    def beside(cls, taste_scp: str | Path) -> "TasteSpec":
        """Of the codes in ``taste.scp``.

        Raises:
            FileNotFoundError: there is no ``taste_spec.yaml`` beside it.
            ValueError: it holds something else.
        """
        path = Path(taste_scp).parent / cls.FILE
        try:
            return cls(**read_yaml(path))
        except TypeError:
            raise ValueError(
                f"{path}: expected num_codebooks, codebook_size and granularity"
            ) from None

    def check(self, taste_scp: str | Path) -> None:
        """Refuse the codes of tokens of another vocabulary or another version of it.

        Args:
            taste_scp: whose ``taste_spec.yaml``, if there is one, says what they are.

        Raises:
            ValueError: in one line.
        """
        if not (Path(taste_scp).parent / self.FILE).is_file():
            return
        made = self.beside(taste_scp).vocabulary
        if made and self.vocabulary and made != self.vocabulary:
            raise ValueError(
                f"{taste_scp}: codes of tokens of another vocabulary, or version of it "
                f"(fingerprint {made}), than this model's ({self.vocabulary}): make "
                "them again (stage 6)"
            )

    def text(self) -> str:
        """The content of a ``taste_spec.yaml``."""
        return yaml.safe_dump(asdict(self), sort_keys=False)
