"""Recogniser, aligner and pitch as things that measure recordings, as meters do."""

import json
import logging
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from espnet2_taste.asr.abs_aligner import AbsAligner, AlignmentError
from espnet2_taste.asr.abs_recogniser import AbsRecogniser
from espnet2_taste.asr.aligners import aligner_choices
from espnet2_taste.asr.recognisers import recogniser_choices
from espnet2_taste.evaluate.scorers.abs_meter import Recording
from espnet2_taste.evaluate.scorers.meters import meter_choices
from espnet2_taste.evaluate.scorers.reading import SAMPLE_RATE
from espnet2_taste.io.audio import NO_SAMPLES, read_audio
from espnet2_taste.io.class_conf import check_conf
from espnet2_taste.units.world import f0_contour, world

MIN_SAMPLES = 1600  # 0.1 s: less holds no word


class Instrument(Protocol):
    """What :mod:`measure` runs: an ``AbsMeter``, or one of this module."""

    on_device: bool
    needs_reference: bool
    needs_words: bool

    @property
    def identity(self) -> str:
        """Part of the key of what it measured."""

    def __call__(self, recordings: list[Recording]) -> list[dict]:
        """JSON-ready numbers of each recording."""


class Transcriber:
    """Recogniser -> ``{"text"}``, or ``{"failure"}`` without readable audio."""

    needs_reference = needs_words = False

    def __init__(self, recogniser: AbsRecogniser):
        self.recogniser = recogniser
        self.on_device = recogniser.on_device

    @property
    def identity(self) -> str:
        return self.recogniser.identity

    def __call__(self, recordings: list[Recording]) -> list[dict]:
        results, wavs = _read_all(recordings)
        heard = {i: wav for i, wav in wavs.items() if len(wav) >= MIN_SAMPLES}
        texts = self.recogniser(list(heard.values())) if heard else []
        for i in wavs:
            results[i] = {"text": ""}
        for i, text in zip(heard, texts, strict=True):
            results[i] = {"text": text}
        return results


class Timer:
    """Aligner -> ``{"starts", "durations", "pauses"}``, or ``{"failure": why}``."""

    needs_reference, needs_words = False, True

    def __init__(self, aligner: AbsAligner):
        self.aligner = aligner
        self.on_device = aligner.on_device

    @property
    def identity(self) -> str:
        return self.aligner.identity

    def __call__(self, recordings: list[Recording]) -> list[dict]:
        results, wavs = _read_all(recordings)
        for i, wav in list(wavs.items()):
            if not recordings[i].words or len(wav) < MIN_SAMPLES:
                reason = "no words" if len(wav) >= MIN_SAMPLES else "no audio"
                results[i] = {"failure": reason}
                del wavs[i]
        times = (
            self.aligner([recordings[i] for i in wavs], list(wavs.values()))
            if wavs
            else []
        )
        for i, entry in zip(wavs, times, strict=True):
            if isinstance(entry, AlignmentError):
                results[i] = {"failure": str(entry)}
            else:
                names = ("starts", "durations", "pauses")
                results[i] = {name: getattr(entry, name).tolist() for name in names}
            results[i]["words"] = list(recordings[i].words)
        return results


class Pitch:
    """Length and F0 -> ``{"seconds", "f0", "frame_period"}``, or ``{"failure"}``.

    F0 by WORLD's DIO and StoneMask (Morise et al. 2016), Hz to three decimals.
    """

    on_device = needs_reference = needs_words = False

    @property
    def identity(self) -> str:
        return f"WORLD (pyworld {world().__version__}: dio, stonemask)"

    def __call__(self, recordings: list[Recording]) -> list[dict]:
        results, wavs = _read_all(recordings)
        for i, wav in wavs.items():
            if not len(wav):
                results[i] = {"failure": "no audio"}
                continue
            f0, period = f0_contour(wav, SAMPLE_RATE)
            results[i] = {
                "seconds": len(wav) / SAMPLE_RATE,
                "f0": f0.round(3).tolist(),
                "frame_period": period,
            }
        return results


def _read_all(
    recordings: list[Recording],
) -> tuple[list[dict], dict[int, np.ndarray]]:
    """A failure for each recording, and the audio of those that can be read."""
    wavs = {}
    for i, recording in enumerate(recordings):
        try:
            wavs[i] = read_audio(recording.entry, recording.utt, SAMPLE_RATE)
        except (FileNotFoundError, ValueError) as error:
            logging.warning("%s", error)
            if getattr(error, "problem", "") == NO_SAMPLES:
                wavs[i] = np.zeros(0, np.float32)  # a failure of another name
    return [{"failure": "unreadable audio"} for _ in recordings], wavs


@dataclass(frozen=True)
class Choice:
    """How to make an instrument, in this process or another.

    Attributes:
        axis: recogniser, aligner, pitch or meter.
        name: of the axis' choices.
        conf: constructor arguments, as JSON: a choice can be a key and be sent.
    """

    axis: str
    name: str = ""
    conf: str = "{}"

    @classmethod
    def of(cls, axis: str, name: str = "", device: str = "cpu", **conf) -> "Choice":
        """With ``device`` for those that use one."""
        if axis != "pitch" and cls(axis, name).get_class().on_device:
            conf["device"] = device
        return cls(axis, name, json.dumps(conf, sort_keys=True))

    @property
    def folder(self) -> str:
        """Of its cache."""
        return self.name if self.axis == "meter" else self.axis

    def get_class(self) -> type:
        """The chosen class; importing it must need no extra package."""
        choices = {
            "recogniser": recogniser_choices,
            "aligner": aligner_choices,
            "meter": meter_choices,
        }
        return choices[self.axis].get_class(self.name)

    def build(self) -> Instrument:
        """Make it.

        Raises:
            Unavailable: a package or weights are not on this machine.
            ValueError: an argument it does not take.
        """
        if self.axis == "pitch":
            return Pitch()
        cls, conf = self.get_class(), json.loads(self.conf)
        check_conf(f"{self.axis} {self.name}", cls, conf)
        made = cls(**conf)
        wrap = {"recogniser": Transcriber, "aligner": Timer}.get(self.axis)
        return wrap(made) if wrap else made
