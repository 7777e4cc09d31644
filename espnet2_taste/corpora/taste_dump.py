"""TASTE-Dump: the reference's training data with its units and speaker embeddings."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from espnet2_taste.corpora.abs_corpus import Utterance
from espnet2_taste.corpora.huggingface import HuggingFace
from espnet2_taste.corpora.store import Store
from espnet2_taste.io.atomic import write_text

#: Of its ``s3_token``: CosyVoice 1's.
UNIT_SPEC = "num_units: 4096\nunit_rate: 50.0\nsample_rate: 16000\n"


class TasteDump(HuggingFace):
    """``data/{train,dev,test}/*.arrow`` (Arrow streams): mp3, text, ``s3_token`` and
    ``spk_emb``.

    ``units.scp``, ``unit_spec.yaml`` and ``spk_emb.scp`` are written beside the tables;
    a recipe takes them instead of extracting. Units are those of the first 30 s.

    Args:
        arrays: whether to take units and embeddings over.
    """

    files = "data/<train|dev|test>/*.arrow"
    parts = "train, dev, test"

    def __init__(self, arrays: bool = True):
        super().__init__("mp3", "json.text", "__key__", "json.speaker", "json.duration")
        self.with_arrays = arrays

    def read(self, root: Path, parts: list[str], store: Store) -> Iterator[Utterance]:
        if self.with_arrays:
            write_text(store.written / "unit_spec.yaml", UNIT_SPEC)
        yield from super().read(root, parts, store)

    def file(self, path: Path, part: str, store: Store) -> Iterator[Utterance]:
        for utterance in super().file(path, part, store):
            units, vector = (utterance.arrays.get(n) for n in ("units", "spk_emb"))
            if not self.with_arrays:
                yield utterance
            elif units is None or not len(units) or vector is None or not len(vector):
                self.skip("no s3_token or spk_emb", utterance.name)
            elif (
                units.min() < 0 or units.max() >= 4096 or not np.isfinite(vector).all()
            ):
                self.skip("s3_token or spk_emb out of range", utterance.name)
            else:
                yield utterance

    def arrays(self, row: dict) -> dict:
        if not self.with_arrays:
            return {}
        units, vector = row.get("s3_token") or [], row.get("spk_emb") or []
        return {
            "units": np.array(units, np.int32),
            "spk_emb": np.array(vector, np.float32),
        }

    def warn_absent(self, path: Path, files: list[Path]) -> None:
        """Nothing: the numbers run over all splits."""
