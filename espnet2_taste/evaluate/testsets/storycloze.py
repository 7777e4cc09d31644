"""Spoken StoryCloze: does a story's end fit? (arXiv 2305.13009)"""

import re
from collections import defaultdict
from pathlib import Path

from espnet2_taste.evaluate.testsets.abs_layout import (
    AbsLayout,
    Pair,
    TestSet,
    read_transcripts,
)

_NAME = re.compile(r"(?:(\d+)_)?(.*?)_?(in)?correct")


class StoryCloze(AbsLayout):
    """``<n>_<story>_correct.wav`` and ``<n + 1>_<story>_incorrect.wav``.

    Both sStoryCloze and tStoryCloze; the files lie in the folder or in folders in it.
    ``<n>_correct.wav`` and ``<n>_incorrect.wav`` do, too.
    """

    files = "<n>_<story>_correct.wav and <n + 1>_<story>_incorrect.wav"

    def read(self, root: Path) -> TestSet:
        found = TestSet()
        text = read_transcripts(root)
        stories: dict[str, dict[bool, list[Path]]] = defaultdict(dict)
        for path in sorted(root.glob("**/*.wav")):
            match = _NAME.fullmatch(path.stem)
            if match is None:
                found.skipped["no name like 0_story_correct.wav"].append(str(path))
                continue
            number, story, wrong = match.groups()
            folder = path.parent.relative_to(root).as_posix()
            key = (story or number or "").strip("_")
            key = key if folder == "." else f"{folder}/{key}"
            stories[key].setdefault(not wrong, []).append(path)
        for story, sides in sorted(stories.items()):
            twice = [files[1] for files in sides.values() if len(files) > 1]
            if twice:
                raise ValueError(f"{twice[0]}: story {story} has this end twice")
            if len(sides) < 2:
                found.skipped["a side of the pair is missing"].append(story)
                continue
            ids = f"{story}-correct", f"{story}-incorrect"
            files = sides[True][0], sides[False][0]
            found.add_pair(
                Pair(story, "storycloze", *ids, story),
                dict(zip(ids, files, strict=True)),
            )
            for utt, path in zip(ids, files, strict=True):
                key = path.relative_to(root).with_suffix("").as_posix()
                if key in text:
                    found.text[utt] = text[key]
        if not found.pairs:
            raise self.missing(root, "no pair of StoryCloze")
        return found
