"""What a training set and a test set must not have in common."""

import logging
from pathlib import Path

from espnet2_taste.io.tables import read_entries, read_table
from espnet2_taste.text.normalise import normalise_words


def check_disjoint(
    train: Path, test: Path, shared_speakers: bool = False, sentences: bool = False
) -> None:
    """Refuse a test set that was trained on; say how many of its speakers and sentences
    were.

    Args:
        train, test: Kaldi data directories; the first may be long.
        shared_speakers: whether speakers may be in both.
        sentences: whether to refuse sentences that are in both, too; they are compared
            in lower case and without punctuation.

    Raises:
        ValueError: an utterance, recording, speaker or sentence of both; names the
            first.
    """
    utt2spk = read_table(test / "utt2spk")
    wavs = {entry: key for key, entry in read_table(test / "wav.scp").items()}
    speakers, both = set(utt2spk.values()), set()
    for _, key, speaker in read_entries(train / "utt2spk"):
        if key in utt2spk:
            raise ValueError(f"{test}: utterance {key} is in {train}, too")
        if speaker in speakers:
            both.add(speaker)
            if not shared_speakers:
                raise ValueError(
                    f"{test}: speaker {speaker} is in {train}, too (there: {key})"
                )
    for _, _, entry in read_entries(train / "wav.scp"):
        if entry in wavs:
            raise ValueError(
                f"{test}: audio {entry} of {wavs[entry]} is in {train}, too"
            )
    logging.info(
        "%s shares %d of its %d speakers with %s, no utterance and no recording",
        test,
        len(both),
        len(speakers),
        train,
    )
    if not all((folder / "text").is_file() for folder in (train, test)):
        return  # speech alone
    said = {key: _sentence(text) for key, text in read_table(test / "text").items()}
    wanted = set(said.values()) - {""}
    texts = (_sentence(text) for _, _, text in read_entries(train / "text", True))
    known = {sentence for sentence in texts if sentence in wanted}
    shared = [key for key, sentence in said.items() if sentence in known]
    if shared:
        message = (
            f"{test}: {len(shared)} of {len(said)} utterances say a sentence of "
            f"{train}, e.g. {shared[0]}"
        )
        if sentences:
            raise ValueError(message)
        logging.warning(message)


def _sentence(text: str) -> str:
    return " ".join(normalise_words(text))
