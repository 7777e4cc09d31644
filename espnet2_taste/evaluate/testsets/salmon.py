"""SALMON: is a model aware of how something is said? (arXiv 2409.07437)"""

import re
from collections import defaultdict
from pathlib import Path

from espnet2_taste.evaluate.testsets.abs_layout import (
    AbsLayout,
    Pair,
    TestSet,
    read_transcripts,
)

TASKS = (
    "sentiment_consistency",
    "speaker_consistency",
    "gender_consistency",
    "bg_domain_consistency",
    "bg_all_consistency",
    "rir_consistency",
    "sentiment_alignment",
    "bg_alignment",
)
_NAME = re.compile(r"sample_(\d+)_(\d+)")


class Salmon(AbsLayout):
    """``<task>/sample_<i>_<j>.wav``: j = 0 is the recording as it is, 1 the other.

    Tasks that are absent are left out. Where a sample has several distractors, it
    makes several pairs of one item.
    """

    files = "<task>/sample_<i>_<0|1>.wav of some of " + ", ".join(TASKS)

    def read(self, root: Path) -> TestSet:
        found = TestSet()
        text = read_transcripts(root)
        for task in TASKS:
            samples: dict[int, dict[int, Path]] = defaultdict(dict)
            for path in sorted((root / task).glob("*.wav")):
                match = _NAME.fullmatch(path.stem)
                if match is None:
                    found.skipped["no name like sample_3_0.wav"].append(str(path))
                else:
                    samples[int(match[1])][int(match[2])] = path
            for number, versions in sorted(samples.items()):
                self._add(found, f"{task}-sample_{number}", task, versions)
        if not found.pairs:
            raise self.missing(root, "no pair of SALMON")
        for path in found.wavs.values():
            key = path.relative_to(root).with_suffix("").as_posix()
            if key in text:
                found.text[f"{path.parent.name}-{path.stem}"] = text[key]
        return found

    @staticmethod
    def _add(found: TestSet, item: str, task: str, versions: dict[int, Path]) -> None:
        if 0 not in versions or len(versions) < 2:
            found.skipped["a side of the pair is missing"].append(item)
            return
        for version in sorted(versions.keys() - {0}):
            name = item if len(versions) == 2 else f"{item}_{version}"
            sides = f"{item}_0", f"{item}_{version}"
            files = (versions[0], versions[version])
            found.add_pair(
                Pair(name, task, *sides, item), dict(zip(sides, files, strict=True))
            )
