"""espeak-ng in this process: SSML in, samples and true word starts out."""

import _ctypes
import ctypes
import os
import tempfile
from pathlib import Path

import espeakng_loader
import numpy as np

SYNCHRONOUS, CHARS_UTF8, SSML, WORD_EVENT = 2, 1, 0x10, 1
RATE, PITCH, RANGE = 1, 3, 4


class _Event(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", ctypes.c_void_p),
    ]


_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int,
    ctypes.POINTER(ctypes.c_short),
    ctypes.c_int,
    ctypes.POINTER(_Event),
)


def _reproducible_data(folder: Path) -> Path:
    """espeak-ng's data as links, its voice variants without their breath noise.

    The breath filter of 1.52 starts from uninitialised memory, so a voice that has
    one differs from process to process.
    """
    source = Path(espeakng_loader.get_data_path())
    target = folder / source.name
    variants = target / "voices" / "!v"
    variants.mkdir(parents=True)
    for path in source.iterdir():
        if path.name != "voices":
            (target / path.name).symlink_to(path)
    for path in (source / "voices" / "!v").iterdir():
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        lines = [line for line in lines if not line.startswith("breath")]
        (variants / path.name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return target


class Espeak:
    """Says one sentence at a time; the result depends on the arguments only.

    Use as a context manager: it keeps a small temporary data folder.
    """

    def __enter__(self):
        self._folder = tempfile.TemporaryDirectory()
        self._data = os.fsencode(_reproducible_data(Path(self._folder.name)))
        self._callback = _CALLBACK(self._collect)
        return self

    def __exit__(self, *_):
        self._folder.cleanup()

    def _collect(self, wav, count, events):
        if wav and count:
            self._chunks.append(np.ctypeslib.as_array(wav, (count,)).copy())
        index = 0
        while events[index].type != 0:
            if events[index].type == WORD_EVENT:
                self._starts.append(events[index].sample)
            index += 1
        return 0

    def __call__(
        self, ssml: str, voice: str, wpm: int, pitch: int, pitch_range: int
    ) -> tuple[np.ndarray, list[int], int]:
        """Say ``ssml`` at ``wpm`` words a minute, pitch and range on 0..100.

        Returns the int16 samples, each word's first sample, and the rate in Hz.
        """
        self._chunks, self._starts = [], []
        # The engine keeps noise and oscillator state in static variables, so it is
        # loaded anew for every sentence (2 ms).
        lib = ctypes.CDLL(espeakng_loader.get_library_path())
        try:
            rate = lib.espeak_Initialize(SYNCHRONOUS, 0, self._data, 0)
            if rate <= 0:
                raise RuntimeError("espeak-ng cannot read its data")
            lib.espeak_SetSynthCallback(self._callback)
            if lib.espeak_SetVoiceByName(voice.encode()):
                raise ValueError(f"espeak-ng has no voice {voice!r}")
            lib.espeak_SetParameter(RATE, wpm, 0)
            lib.espeak_SetParameter(PITCH, pitch, 0)
            lib.espeak_SetParameter(RANGE, pitch_range, 0)
            text = ssml.encode() + b"\0"
            flags = CHARS_UTF8 | SSML
            if lib.espeak_Synth(text, len(text), 0, 0, 0, flags, None, None):
                raise RuntimeError(f"espeak-ng could not say {ssml!r}")
            lib.espeak_Terminate()
        finally:
            _ctypes.dlclose(lib._handle)
        return np.concatenate(self._chunks), self._starts, rate
