"""`pitch`: length and F0 of every recording, and how high an utterance is."""

import numpy as np

from espnet2_taste.evaluate.scorers.abs_scorer import (
    AbsScorer,
    Column,
    Recording,
    Row,
    Statistics,
)
from espnet2_taste.evaluate.scorers.prosody import f0_levels
from espnet2_taste.evaluate.scorers.reading import SAMPLE_RATE, f0_of, read_all
from espnet2_taste.units.world import F0_METHOD, world


class PitchScorer(AbsScorer):
    """Measures ``{"seconds", "f0", "frame_period"}``, or ``{"failure"}``.

    F0 by WORLD's DIO and StoneMask (Morise et al. 2016), Hz to three decimals.

    ``utterance_f0_corr``: x_u = mean ln F0 over the voiced frames of utterance u minus
    the mean of that value over the same speaker's utterances in the same row; Pearson's
    r over utterances between reference and row. Speakers with a single utterance are
    left out. Range -1 to 1, nan if undefined.
    """

    name = "pitch"
    columns = (
        Column(
            "utterance_f0_corr",
            "Utterance F0",
            "correlation of utterances' mean ln F0 minus the speaker's mean",
            group="prosody",
            table="reconstruction",
        ),
    )

    @property
    def identity(self) -> str:
        return f"WORLD (pyworld {world().__version__}: {F0_METHOD})"

    def __call__(self, recordings: list[Recording]) -> list[dict]:
        results, wavs = read_all(recordings)
        for i, wav in wavs.items():
            if not len(wav):
                results[i] = {"failure": "no audio"}
                continue
            f0, period = f0_of(wav)
            results[i] = {
                "seconds": len(wav) / SAMPLE_RATE,
                "f0": f0.round(3).tolist(),
                "frame_period": period,
            }
        return results

    def score(self, row: Row, original: Row) -> dict[str, Statistics]:
        for utt, line in row.lines.items():
            for side, source in (("reference", original), ("row", row)):
                measures = source.measures.get(utt)
                value = float("nan") if measures is None else measures.log_f0
                line[f"{side}_log_f0"] = value
        if row.table != "reconstruction":
            return {}
        ids = [utt for utt in original.measures if utt in row.measures]
        sides = [{u: side.measures[u].log_f0 for u in ids} for side in (original, row)]
        levels = [f0_levels(side, row.utt2spk) for side in sides]
        items = np.arange(len(ids))
        return {"utterance_f0_corr": Statistics.correlation(ids, *levels, items)}
