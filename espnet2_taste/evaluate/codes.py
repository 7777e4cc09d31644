"""What codes, units and texts of the reference set cost and carry, in bits.

A *nominal* rate is what the format costs, an *entropy* rate what the codes carry: the
first-order entropy -sum_k p_k log2 p_k of each codebook, p_k the relative frequency of
entry k (C. Shannon 1948). Neighbouring codes and codebooks count as independent, so it
bounds the joint entropy from above. *Utilisation* is the share of a codebook's entries
that occur at least once; it grows with the set.
"""

from pathlib import Path

import numpy as np

from espnet2_taste.io.arks import read_arks, read_codes
from espnet2_taste.taste.taste_spec import TasteSpec
from espnet2_taste.units.unit_spec import UnitSpec

#: quantity -> what tables call it, and its form
LABELS = {
    "num_codebooks": ("codebooks", "{:d}"),
    "codebook_size": ("entries per codebook", "{:d}"),
    "vectors_per_second": ("code vectors (words) per second", "{:.2f}"),
    "nominal_bitrate": ("nominal bits per second", "{:.1f}"),
    "entropy_bitrate": ("bits per second, measured entropy", "{:.1f}"),
    "text_bitrate": ("bits per second of the text, UTF-8", "{:.1f}"),
    "text_entropy_bitrate": ("bits per second of the text, its entropy", "{:.1f}"),
    "entropy": ("entropy per codebook (bits)", "{:.2f}"),
    "utilisation": ("codebook utilisation, test, mean", "{:.3f}"),
    "utilisation_per_codebook": ("codebook utilisation, test, each", "{:.3f}"),
    "train_utilisation": ("codebook utilisation, training, mean", "{:.3f}"),
    "train_utilisation_per_codebook": (
        "codebook utilisation, training, each",
        "{:.3f}",
    ),
    "units_per_second": ("speech units per second", "{:.2f}"),
    "unit_entropy_bitrate": ("bits per second of the speech units", "{:.1f}"),
}
#: utterance -> (S, R) codes, and the R codebook sizes
CodeSet = tuple[dict[str, np.ndarray], list[int]]


def read_code_set(scp: Path) -> CodeSet:
    """Codes of a ``taste.scp``.

    Raises:
        FileNotFoundError, ValueError: ``taste_spec.yaml`` beside it is missing or does
            not fit the codes.
    """
    spec = TasteSpec.beside(scp)
    sizes = [spec.codebook_size] * spec.num_codebooks
    return read_codes(scp, spec.num_codebooks), sizes


def read_units(scp: Path) -> CodeSet:
    """(T, 1) speech units of a ``units.scp``.

    ``unit_spec.yaml`` beside it says the size of their codebook, else the largest unit
    seen.
    """
    units = {utt: u[:, None] for utt, u in read_arks(scp).items()}
    spec = UnitSpec.beside(scp)
    if spec is not None:
        return units, [spec.num_units]
    return units, [1 + max((int(u.max()) for u in units.values() if u.size), default=0)]


def bits(codes: CodeSet) -> dict[str, float]:
    """Utterance -> nominal bits: vectors * sum_r log2 K_r."""
    each = float(np.log2(codes[1]).sum())
    return {utt: len(vectors) * each for utt, vectors in codes[0].items()}


def entropies(codes: np.ndarray, codebook_sizes: list[int]) -> np.ndarray:
    """Empirical entropy of each codebook: (T, R) int codes -> (R,) bits per code.

    Range 0 to log2 K; see the module.

    Raises:
        ValueError: the codes are not of such codebooks.
    """
    if codes.ndim != 2 or codes.shape[1] != len(codebook_sizes):
        raise ValueError(
            f"codes of shape {codes.shape} do not fit {len(codebook_sizes)} codebooks"
        )
    if len(codes) and (codes.min() < 0 or (codes.max(0) >= codebook_sizes).any()):
        raise ValueError(
            f"codes range from {codes.min()} to {codes.max()}, the codebook sizes are "
            f"{codebook_sizes}: taste_spec.yaml is not of these codes"
        )
    result = []
    for column, size in zip(codes.T, codebook_sizes, strict=True):
        p = np.bincount(column, minlength=size) / max(len(column), 1)
        p = p[p > 0]
        result.append(float(-(p * np.log2(p)).sum()) + 0.0)
    return np.array(result)


def utilisation(codes: np.ndarray, codebook_sizes: list[int]) -> np.ndarray:
    """Share of each codebook's entries that occur: (T, R) int codes -> (R,), 0 to 1."""
    pairs = zip(codes.T, codebook_sizes, strict=True)
    return np.array([len(np.unique(column)) / size for column, size in pairs])


def score_all(
    taste: Path | None,
    train_taste: Path | None,
    units: Path,
    texts: dict[str, str],
    seconds: dict[str, float],
) -> tuple[dict, dict[str, CodeSet]]:
    """Bit rates and codebook use of a test set; its ``codes`` and ``units``.

    Args:
        taste, train_taste: ``taste.scp`` of the test and of the training set.
        units: ``units.scp`` of the test set, which may be absent.
        texts: of its utterances.
        seconds: of their audio.
    """
    result, found = {}, {}
    if taste:
        found["codes"] = read_code_set(taste)
        result |= score_codes(found["codes"], seconds) | score_text(texts, seconds)
    if train_taste:
        known, sizes = read_code_set(train_taste)
        used = utilisation(_join(known, len(sizes)), sizes)
        result["train_utilisation"] = float(used.mean())
        result["train_utilisation_per_codebook"] = used.tolist()
    if units.exists():
        found["units"] = read_units(units)
        rates = score_codes(found["units"], seconds)
        result["units_per_second"] = rates["vectors_per_second"]
        result["unit_bitrate"] = rates["nominal_bitrate"]
        result["unit_entropy_bitrate"] = rates["entropy_bitrate"]
    return result, found


def score_codes(codes: CodeSet, seconds: dict[str, float]) -> dict:
    """Bit rates and codebook use of the utterances whose length [s] is known.

    Raises:
        ValueError: there is none.
    """
    everything, length = _timed(codes, seconds)
    sizes, used = codes[1], utilisation(everything, codes[1])
    entropy = entropies(everything, sizes)
    rate = len(everything) / length
    return {
        "num_codebooks": len(sizes),
        "codebook_size": sizes,
        "vectors_per_second": rate,
        "nominal_bitrate": len(everything) * float(np.log2(sizes).sum()) / length,
        "entropy_bitrate": len(everything) * float(entropy.sum()) / length,
        "entropy": entropy.tolist(),
        "utilisation": float(used.mean()),
        "utilisation_per_codebook": used.tolist(),
    }


def score_text(texts: dict[str, str], seconds: dict[str, float]) -> dict:
    """Bit rates of the texts: 8 bits a byte of UTF-8; the entropy of their characters.

    What a row is made from besides its codes, however its text is sent.
    """
    known = [text for utt, text in texts.items() if seconds.get(utt)]
    length = sum(seconds[utt] for utt in texts if seconds.get(utt))
    characters = np.array([ord(c) for text in known for c in text], np.int64)
    if not len(characters):
        return {}
    _, index = np.unique(characters, return_inverse=True)
    entropy = entropies(index[:, None], [int(index.max()) + 1])[0]
    return {
        "text_bitrate": 8 * sum(len(text.encode()) for text in known) / length,
        "text_entropy_bitrate": len(characters) * float(entropy) / length,
    }


def _timed(codes: CodeSet, seconds: dict[str, float]) -> tuple[np.ndarray, float]:
    """Codes of the utterances with a length, and that of all these together."""
    known = {utt: rows for utt, rows in codes[0].items() if seconds.get(utt)}
    if not known:
        raise ValueError("no utterance has codes and audio: not of one set?")
    return _join(known, len(codes[1])), sum(seconds[utt] for utt in known)


def _join(codes: dict[str, np.ndarray], width: int) -> np.ndarray:
    parts = list(codes.values())
    return np.concatenate(parts) if parts else np.zeros((0, width), np.int64)


def code_cells(codes: dict) -> list[list[str]]:
    """The table of what :func:`score_all` found."""
    lines = [["Quantity", "Value"]]
    for key, (label, form) in LABELS.items():
        value = codes.get(key)
        if isinstance(value, list):
            lines.append([label, ", ".join(form.format(v) for v in value)])
        elif value is not None:
            lines.append([label, form.format(value)])
    return lines
