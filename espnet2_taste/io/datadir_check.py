"""Is a Kaldi data directory (:mod:`~espnet2_taste.io.datadir`) as ESPnet reads it?"""

from itertools import zip_longest
from pathlib import Path

from espnet2_taste.io.datadir import open_tables, spk2utt
from espnet2_taste.io.segments import iterate_segments
from espnet2_taste.io.sorted_tables import grouped, join, sorted_entries


def validate(folder: Path, text: bool = True) -> int:
    """Check a directory, which may lack ``text`` if so wanted; return its utterances.

    Raises:
        ValueError, FileNotFoundError: the first thing wrong, with file, id and cure.
    """
    cure = f"run: python -m espnet2_taste.bin.datadir fix {folder}"
    tables = open_tables(folder, text, cure)
    count, lack = 0, {name: [0, ""] for name in tables}
    for key, row in join(tables):
        if key.split() != [key]:
            raise ValueError(
                f"{folder}/utt2spk: white space in id {key!r}, where ESPnet would end "
                "it"
            )
        for name, value in row.items():
            if not value:
                what = "empty text" if name == "text" else "no value"
                raise ValueError(f"{folder}/{name}: {key} has {what}; {cure}")
        has = "utt2spk" in row
        count += has
        for name in tables if len(row) < len(tables) else ():
            if (name in row) != has:
                where = ("utt2spk", name) if has else (name, "utt2spk")
                lack[name][0] += 1
                lack[name][1] = lack[name][1] or "{} is in {} but not in {}".format(
                    key, *where
                )
    if not count:
        raise ValueError(f"{folder}/utt2spk has no utterance")
    for name, (different, first) in lack.items():
        if different:
            raise ValueError(
                f"{folder}: {different} ids differ between utt2spk and {name}, e.g. "
                f"{first}; {cure}"
            )
    if (folder / "segments").is_file():
        check_segments(folder)
    written, right = folder / "spk2utt", spk2utt(sorted_entries(folder / "utt2spk"))
    if not written.is_file() or any(
        pair != other for pair, other in zip_longest(sorted_entries(written), right)
    ):
        raise ValueError(f"{written} does not match utt2spk; {cure}")
    return count


def check_segments(folder: Path) -> None:
    """Refuse segments of recordings that are not there.

    Raises:
        ValueError: names the first, or a line of another form.
    """
    spans = ((key, span.recording) for key, span in iterate_segments(folder))
    named = ((recording, utts[0]) for recording, utts in grouped(spans))
    there = ((key, "") for key, _ in sorted_entries(folder / "wav.scp"))
    for recording, row in join({"segments": named, "wav.scp": there}):
        if "wav.scp" not in row:
            raise ValueError(
                f"{folder}/segments: {row['segments']} is cut from {recording}, which "
                "wav.scp does not have"
            )
