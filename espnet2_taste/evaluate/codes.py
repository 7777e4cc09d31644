"""What the codes and units of the reference set cost and carry."""

from pathlib import Path

import numpy as np

from espnet2_taste.evaluate import bitrate, codebook
from espnet2_taste.evaluate.statistics import Statistics
from espnet2_taste.io.arks import read_arks, read_codes
from espnet2_taste.taste.taste_spec import TasteSpec
from espnet2_taste.units.unit_spec import UnitSpec


def read_code_set(scp: Path) -> tuple[dict[str, np.ndarray], list[int]]:
    """utt -> (S, R) codes and the R codebook sizes, from a ``taste.scp``.

    Raises:
        FileNotFoundError, ValueError: ``taste_spec.yaml`` beside it is missing or does
            not fit the codes.
    """
    spec = TasteSpec.beside(scp)
    sizes = [spec.codebook_size] * spec.num_codebooks
    return read_codes(scp, spec.num_codebooks), sizes


def score_codes(
    codes: dict[str, np.ndarray], sizes: list[int], seconds: dict[str, float]
) -> dict:
    """Bit rates and codebook use of the utterances whose length [s] is known.

    Raises:
        ValueError: there is none.
    """
    everything, seconds = _timed(codes, len(sizes), seconds)
    used = codebook.utilisation(everything, sizes)
    return {
        "num_codebooks": len(sizes),
        "codebook_size": sizes,
        "vectors_per_second": len(everything) / seconds,
        "nominal_bitrate": bitrate.nominal_bitrate(len(everything), sizes, seconds),
        "entropy_bitrate": bitrate.entropy_bitrate(everything, sizes, seconds),
        "entropy": bitrate.entropies(everything, sizes).tolist(),
        "utilisation": float(used.mean()),
        "utilisation_per_codebook": used.tolist(),
    }


def score_training_codes(codes: dict[str, np.ndarray], sizes: list[int]) -> dict:
    """Codebook use of the training set."""
    used = codebook.utilisation(_join(codes, len(sizes)), sizes)
    return {
        "train_utilisation": float(used.mean()),
        "train_utilisation_per_codebook": used.tolist(),
    }


def read_units(scp: Path) -> tuple[dict[str, np.ndarray], list[int]]:
    """utt -> (T, 1) speech units, and the size of their codebook.

    ``unit_spec.yaml`` beside ``units.scp`` says it, else the largest unit seen.
    """
    units = {utt: u[:, None] for utt, u in read_arks(scp).items()}
    spec = UnitSpec.beside(scp)
    if spec is not None:
        return units, [spec.num_units]
    return units, [1 + max((int(u.max()) for u in units.values() if u.size), default=0)]


def score_units(
    units: dict[str, np.ndarray], sizes: list[int], seconds: dict[str, float]
) -> dict:
    """Bit rates of speech units, see :func:`score_codes`."""
    everything, seconds = _timed(units, 1, seconds)
    return {
        "units_per_second": len(everything) / seconds,
        "unit_bitrate": bitrate.nominal_bitrate(len(everything), sizes, seconds),
        "unit_entropy_bitrate": bitrate.entropy_bitrate(everything, sizes, seconds),
    }


def bitrate_statistics(
    codes: dict[str, np.ndarray], sizes: list[int], seconds: dict[str, float]
) -> Statistics:
    """``bitrate``: what a row is made from besides text and speaker.

    Definition: vectors * sum_r log2 K_r over the originals' duration. Unit: bit/s,
    range >= 0. The text itself is not counted.
    """
    bits = float(np.log2(sizes).sum())
    ids = [utt for utt in codes if seconds.get(utt)]
    return Statistics("ratio", ids, [[len(codes[u]) * bits, seconds[u]] for u in ids])


def _timed(
    codes: dict[str, np.ndarray], width: int, seconds: dict[str, float]
) -> tuple[np.ndarray, float]:
    """Codes of the utterances with a length, and that of all these together."""
    known = {utt: rows for utt, rows in codes.items() if seconds.get(utt)}
    if not known:
        raise ValueError("no utterance has codes and audio: not of one set?")
    return _join(known, width), sum(seconds[utt] for utt in known)


def _join(codes: dict[str, np.ndarray], width: int) -> np.ndarray:
    parts = list(codes.values())
    return np.concatenate(parts) if parts else np.zeros((0, width), np.int64)
