"""Bits per second of a code stream: what the format costs, what the codes carry."""

import numpy as np


def entropies(codes: np.ndarray, codebook_sizes: list[int]) -> np.ndarray:
    """Empirical entropy of each codebook: (T, R) int codes -> (R,) bits per code.

    Definition: -sum_k p_k log2 p_k with p_k the relative frequency of entry k; range 0
    to log2 K. First order: neighbouring codes and codebooks count as independent, so
    it bounds the joint entropy from above. Source: C. Shannon (1948).
    """
    _check(codes, codebook_sizes)
    result = []
    for column, size in zip(codes.T, codebook_sizes, strict=True):
        p = np.bincount(column, minlength=size) / max(len(column), 1)
        p = p[p > 0]
        result.append(float(-(p * np.log2(p)).sum()) + 0.0)
    return np.array(result)


def nominal_bitrate(
    num_vectors: int, codebook_sizes: list[int], seconds: float
) -> float:
    """T * sum_r log2 K_r / seconds. Unit: bit/s. T code vectors of R codes."""
    return num_vectors * float(np.log2(codebook_sizes).sum()) / seconds


def entropy_bitrate(
    codes: np.ndarray, codebook_sizes: list[int], seconds: float
) -> float:
    """T * sum of ``entropies`` / seconds for (T, R) codes. Unit: bit/s."""
    return len(codes) * float(entropies(codes, codebook_sizes).sum()) / seconds


def _check(codes: np.ndarray, codebook_sizes: list[int]) -> None:
    if codes.ndim != 2 or codes.shape[1] != len(codebook_sizes):
        raise ValueError(
            f"codes of shape {codes.shape} do not fit {len(codebook_sizes)} codebooks"
        )
    if len(codes) and (codes.min() < 0 or (codes.max(0) >= codebook_sizes).any()):
        raise ValueError(
            f"codes range from {codes.min()} to {codes.max()}, the codebook sizes are "
            f"{codebook_sizes}: taste_spec.yaml is not of these codes"
        )
