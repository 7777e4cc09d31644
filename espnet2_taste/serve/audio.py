"""Recordings from strangers, and sound for them."""

import io

import numpy as np

from espnet2_taste.io.audio import (
    AudioError,
    load_audio,
    resample,
    to_mono,
    to_pcm16,
)

#: Samples a second of all channels together: what a second may take of memory.
_MOST_SAMPLES = 400_000
#: name -> media type, and libsndfile's format and subtype; None: raw samples.
FORMATS = {
    "wav": ("audio/wav", ("WAV", "PCM_16")),
    "flac": ("audio/flac", ("FLAC", "PCM_16")),
    "mp3": ("audio/mpeg", ("MP3", "MPEG_LAYER_III")),
    "pcm": ("audio/pcm", None),
}


class TooMuch(ValueError):
    """More than the server's limits allow; the message says the limit."""


def read_recording(content: bytes, sample_rate: int, max_seconds: float) -> np.ndarray:
    """A recording of any format that libsndfile reads.

    Args:
        content: of its file. What its header says of its length is not believed.
        sample_rate: Hz wanted; channels are averaged.
        max_seconds: it may last.

    Returns:
        (N,) float32.

    Raises:
        TooMuch: it is longer, or has very many samples a second.
        ValueError: it is no recording.
    """
    import soundfile

    try:
        info = soundfile.info(io.BytesIO(content))
        if info.channels * info.samplerate > _MOST_SAMPLES:
            raise TooMuch(
                f"the audio has {info.channels} channels of {info.samplerate} Hz: "
                f"together at most {_MOST_SAMPLES} samples a second"
            )
    except RuntimeError:  # load_audio says what is wrong
        pass
    try:
        wav, rate = load_audio(content, "audio", longest=max_seconds)
    except AudioError as error:
        raise ValueError(f"the audio {error.problem}{error.detail}") from None
    if len(wav) > max_seconds * rate:
        raise TooMuch(f"the audio is longer than {max_seconds:g} seconds")
    return resample(to_mono(wav), rate, sample_rate)


def as_file(wav: np.ndarray, sample_rate: int, kind: str) -> bytes:
    """(N,) float32 as a file of one of ``FORMATS``: the same 16-bit samples in each
    but mp3.

    Raises:
        ValueError: this libsndfile cannot write it.
    """
    import soundfile

    samples = to_pcm16(np.asarray(wav))
    form = FORMATS[kind][1]
    if form is None:
        return samples
    if form[0] not in soundfile.available_formats():
        raise ValueError(f"this server cannot write {kind}: ask for wav, flac or pcm")
    file = io.BytesIO()
    pcm = np.frombuffer(samples, "<i2")
    soundfile.write(file, pcm, sample_rate, form[1], format=form[0])
    return file.getvalue()
