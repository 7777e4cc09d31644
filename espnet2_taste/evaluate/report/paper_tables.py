"""Results in the layout of tables 1 and 2 of arXiv 2504.07053."""

import numpy as np

#: Columns of table 1: metric key -> (heading, factor, digits after it).
RECONSTRUCTION = {
    "bitrate": ("Bitrate", 1, 0),
    "wer": ("WER (%) ↓", 100, 1),
    "utmos": ("UTMOS ↑", 1, 2),
    "dnsmos": ("DNSMOS ↑", 1, 2),
    "visqol": ("ViSQOL ↑", 1, 2),
    "duration_consistency": ("Drtn. Con. ↑", 1, 2),
    "speaker_similarity": ("Spkr. Sim. ↑", 1, 2),
}
#: Of table 2: continuation, then likelihood: heading -> sets, accuracy in percent.
CONTINUATION = {"judge": ("Judge ↑", 1, 2), "utmos": ("UTMOS ↑", 1, 2)}
LIKELIHOOD = {
    "SALMON ↑": ["salmon"],
    "StoryCloze ↑": ["sstorycloze", "tstorycloze"],
}
LANGUAGE_MODEL = "taslm"  # the row whose likelihoods were tested


def paper_tables(results: dict) -> list[list[list[str]]]:
    """Cells of both tables, first line the header; one without a value is left out.

    Human ratings are left out. Likelihood: the mean of those of the sets that were
    scored; overall: the mean of the columns, if none is missing.
    """
    reconstruction = [["Method", *(label for label, _, _ in RECONSTRUCTION.values())]]
    for name, row in results.get("reconstruction", {}).items():
        reconstruction.append([name, *_cells(row, RECONSTRUCTION)])
    spoken = [["Method", *(label for label, _, _ in CONTINUATION.values())]]
    spoken[0] += [*LIKELIHOOD, "Overall ↑"]
    tested = _likelihood(results.get("likelihood", {}))
    rows = {LANGUAGE_MODEL: {"metrics": {}}} | results.get("continuation", {})
    for name, row in rows.items():
        shares = tested if name == LANGUAGE_MODEL else [np.nan] * len(tested)
        cells = [_number(100 * share, 1) for share in shares]
        spoken.append([name, *_cells(row, CONTINUATION), *cells])
    return [
        cells
        for cells in (reconstruction, spoken)
        if any(cell != "n/a" for line in cells[1:] for cell in line[1:])
    ]


def _likelihood(tests: dict) -> list[float]:
    """Accuracies, 0..1, of the columns and overall; nan where no set was scored."""
    columns = []
    for names in LIKELIHOOD.values():
        known = [_mean(tests[name], "accuracy") for name in names if name in tests]
        columns.append(np.mean(known) if known else np.nan)
    return [*columns, np.mean(columns)]


def _cells(row: dict, columns: dict[str, tuple[str, float, int]]) -> list[str]:
    return [
        _number(factor * _mean(row, key), digits)
        for key, (_, factor, digits) in columns.items()
    ]


def _mean(row: dict, key: str) -> float:
    """A row's metric, nan if undefined."""
    mean = row["metrics"].get(key, {}).get("mean")
    return np.nan if mean is None else mean


def _number(value: float, digits: int) -> str:
    return f"{value:.{digits}f}" if np.isfinite(value) else "n/a"
