"""All steps' real-time factors, as the steps report them (``rtf.json``).

Definition: seconds of computing / seconds of audio that the step read or made; > 0,
below 1 is faster than real time. Shards are weighted by their audio.
"""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from espnet2_taste.io.rtf import Work, read_rtf


def read_steps(folder: Path) -> dict[str, Work]:
    """Work of the steps that made a folder.

    Of a continuation, ``generated/`` holds the TASLM's work; a TASLM does not know how
    long its words will be: its seconds of audio are those that were made of them.
    """
    work = read_rtf(folder)
    made = [done.audio_s for done in work.values()]
    for step, done in read_rtf(folder / "generated").items():
        if done.audio_s is None and made:
            done = replace(done, audio_s=made[0])
        work[step] = done
    return work


def real_time_factors(
    data: Iterable[Path], rows: Iterable[tuple[str, Path]]
) -> dict[str, dict]:
    """Real-time factors, devices and batch sizes.

    Args:
        data: folders of the data, and of its codes.
        rows: name and folder of each row; the seeds of a row are added up.

    Returns:
        ``"<step>"`` or ``"<row>: <step>"`` -> ``rtf``, ``device``, ``batch_size``;
        steps without a report are left out.
    """
    total: dict[str, Work] = {}
    found = [("", folder) for folder in data] + [(f"{name}: ", f) for name, f in rows]
    for name, folder in found:
        for step, work in read_steps(folder).items():
            key = name + step.replace("_", " ")
            total[key] = total[key] + work if key in total else work
    return {
        step: {
            "rtf": work.work_s / work.audio_s,
            "device": work.device,
            "batch_size": work.batch_size,
        }
        for step, work in total.items()
        if work.audio_s
    }
