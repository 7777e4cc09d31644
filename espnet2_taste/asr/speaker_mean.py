"""Pitch of words relative to their speaker's mean; imports no torch (seconds)."""

from pathlib import Path

import numpy as np

from espnet2_taste.io.arks import ArkWriter, read_arks
from espnet2_taste.io.tables import check_keys, read_table


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
    utt2spk = read_table(data_dir / "utt2spk")
    sums = read_arks(raw_dir / "f0_sum.scp")
    check_keys(data_dir / "utt2spk", utt2spk, sums)
    prosody = read_arks(raw_dir / "prosody.scp")
    totals: dict[str, np.ndarray] = {}
    for key in sums:
        speaker = utt2spk[key]
        totals[speaker] = totals.get(speaker, np.zeros(2)) + sums[key]
    others = read_arks(known) if known else {}
    for speaker in totals:
        if speaker in others and others[speaker][1]:
            totals[speaker] = others[speaker]
    with ArkWriter(raw_dir, "speakers") as writer:
        for speaker in sorted(totals):
            writer[speaker] = totals[speaker]
    with ArkWriter(raw_dir / "relative", "prosody") as writer:
        for key in sorted(prosody):
            total = totals[utt2spk[key]]
            rows = np.array(prosody[key])
            if sums[key][1]:
                rows[:, 0] -= np.float32(total[0] / total[1])
            writer[key] = rows
