"""Pitch of words relative to their speaker's mean; imports no torch (seconds)."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from espnet2_taste.io.arks import ArkWriter, load_array, read_arks
from espnet2_taste.io.sorted_tables import join, sorted_entries


def subtract_speaker_mean(
    data_dir: Path, raw_dir: Path, known: str | None = None
) -> None:
    """Make column 0 of prosody relative to the speaker's mean log-F0.

    Reads ``prosody.scp`` and ``f0_sum.scp`` merged in ``raw_dir``, writes there
    ``relative/prosody.scp`` and, each speaker's (sum, frames), ``speakers.scp``.

    Args:
        data_dir: with utt2spk.
        raw_dir: see above.
        known: ``speakers.scp`` of another set, whose speakers keep their mean.
    """
    utt2spk, f0_sum = data_dir / "utt2spk", raw_dir / "f0_sum.scp"

    def rows(**more: Path) -> Iterator[tuple[str, str, np.ndarray, dict[str, str]]]:
        """Utterance, speaker, (sum, frames), entries: one after the other."""
        files = {"speaker": utt2spk, "sum": f0_sum} | more
        tables = {name: sorted_entries(file) for name, file in files.items()}
        for key, row in join(tables):
            if "sum" not in row:
                continue
            if "speaker" not in row:
                raise ValueError(f"{utt2spk}: {key} is missing")
            yield key, row["speaker"], load_array(f"{f0_sum}: {key}", row["sum"]), row

    totals: dict[str, np.ndarray] = {}
    for _, speaker, sums, _ in rows():
        totals[speaker] = totals.get(speaker, np.zeros(2)) + sums
    others = read_arks(known) if known else {}
    for speaker in totals:
        if speaker in others and others[speaker][1]:
            totals[speaker] = others[speaker]
    with ArkWriter(raw_dir, "speakers") as writer:
        for speaker in sorted(totals):
            writer[speaker] = totals[speaker]
    prosody = raw_dir / "prosody.scp"
    with ArkWriter(raw_dir / "relative", "prosody") as writer:
        for key, speaker, sums, row in rows(prosody=prosody):
            if "prosody" not in row:
                continue
            total, frames = totals[speaker]
            words = np.array(load_array(f"{prosody}: {key}", row["prosody"]))
            if sums[1]:
                words[:, 0] -= np.float32(total / frames)
            writer[key] = words
