"""WORLD synthesis of features that arrive in pieces.

WORLD renders a whole utterance at once: a pulse per period (2 ms where unvoiced), each
with noise from one sequence that begins anew with every call. Here each piece is
rendered with a little of what came before it and of what follows. Its pulses go on
where those of the piece before end: the F0 of the first frame, which is not heard, is
set so that they do. The noise is another draw of the same kind; over it the pieces are
cross-faded. What would clip is made quieter from there on.
"""

import numpy as np

from espnet2_taste.units import world

FADE = 80  # samples: 5 ms
#: F0 frames (10 ms) that a piece is rendered from before its first sample: the frame
#: that sets the phase, and those whose pulses (half an FFT, 32 ms, each way) are heard
PAST = 8
#: F0 frames that must be known beyond the last sample
FUTURE = 5
_LOWEST_HZ = 20.0  # of the frame that sets the phase: above where WORLD says unvoiced
_UNVOICED_HZ = 500.0  # WORLD's rate of pulses there


class WorldStream:
    """The synthesis of one utterance.

    Its samples are as many as those of :func:`~espnet2_taste.units.world.synthesise`.

    Args:
        bandwidth: of the features.
    """

    def __init__(self, bandwidth: int = world.BANDWIDTH):
        self.bandwidth = bandwidth
        self.features: np.ndarray | None = None  # from frame ``first`` on
        self.first = 0  # F0 frames before ``features``
        self.phase: np.ndarray | None = None  # at each sample from ``first`` on
        self.done = 0  # samples given
        self.tail = np.zeros(0)  # rendered, to be faded into what follows
        self.gain = 1.0

    def push(self, features: np.ndarray, last: bool = False) -> np.ndarray:
        """The next features -> the next samples.

        Args:
            features: (T, D), possibly none, see the module ``world``.
            last: nothing follows.

        Returns:
            (N,) float32 in [-1, 1].
        """
        known = features if self.features is None else self.features
        if self.features is not None:
            known = np.concatenate([known, features])
        self.features = known
        if len(known) == 0:
            return np.zeros(0, np.float32)
        frames = self.first + len(known) * world.F0_PER_FRAME
        end = frames * world.F0_SHIFT
        if not last:  # the last row of power is known with the next features
            end -= (1 + FUTURE) * world.F0_SHIFT
        if end - FADE <= self.done + len(self.tail) and not last:
            return np.zeros(0, np.float32)
        wav = self._render(end, last)
        return self._level(wav)

    def _render(self, end: int, last: bool) -> np.ndarray:
        """Samples up to ``end``, but for those still to be faded."""
        f0, power, aperiodicity = world.synthesis_parameters(
            self.features, self.bandwidth
        )
        start = self.first * world.F0_SHIFT
        if self.first:
            f0[0] = self._aligning_f0(f0, self.done - start)
        phase = _phase(f0)
        wav = world.render(f0, power, aperiodicity)[self.done - start : end - start]
        size = len(self.tail)
        if size:
            share = (np.arange(size) + 0.5) / size
            wav[:size] = self.tail * (1 - share) + wav[:size] * share
        kept = 0 if last else FADE
        wav, self.tail = wav[: len(wav) - kept], wav[len(wav) - kept :].copy()
        self.done += len(wav)
        self._forget(phase)
        return wav

    def _forget(self, phase: np.ndarray) -> None:
        """Keep the features, and the phase, that the next piece is rendered from."""
        first = max(self.done // world.F0_SHIFT - PAST, 0)
        first -= first % world.F0_PER_FRAME
        rows = (first - self.first) // world.F0_PER_FRAME
        self.features = self.features[rows:]
        self.phase = phase[(first - self.first) * world.F0_SHIFT :]
        self.first = first

    def _aligning_f0(self, f0: np.ndarray, seam: int) -> float:
        """F0 of the first frame with which the phase at sample ``seam`` is the old one.

        There, not at the second frame: WORLD decides by rounding which side the middle
        between a voiced and an unvoiced frame is on, and may do so anew.
        """
        ends = []
        for hertz in (_LOWEST_HZ, 2 * _LOWEST_HZ):  # it is linear in between and beyond
            trial = np.append(hertz, f0[1:])
            ends.append(_phase(trial)[seam])
        missing = (self.phase[seam] - ends[0]) % (2 * np.pi)
        return _LOWEST_HZ * (1 + missing / (ends[1] - ends[0]))

    def _level(self, wav: np.ndarray) -> np.ndarray:
        """Quieter where it would clip, and from there on."""
        peak = np.abs(wav).max(initial=0.0)
        gain = min(self.gain, world.PEAK / peak) if peak else self.gain
        if self.done == len(wav):  # nothing was heard before it
            self.gain = gain
        if gain < 1:
            ramp = np.linspace(self.gain, gain, min(len(wav), world.F0_SHIFT))
            wav = wav * np.pad(ramp, (0, len(wav) - len(ramp)), mode="edge")
        self.gain = gain
        return np.clip(wav, -1, 1).astype(np.float32)


def _phase(f0: np.ndarray) -> np.ndarray:
    """(F,) Hz -> (F * F0_SHIFT,) radians at each sample, added up as WORLD does: a
    pulse is where a turn is full."""
    frame = np.arange(len(f0) + 1) * world.F0_PERIOD_S
    time = np.arange(len(f0) * world.F0_SHIFT) / world.SAMPLE_RATE
    index = (np.searchsorted(frame, time, side="right") - 1).clip(0, len(f0) - 1)
    share = (time - frame[index]) / (frame[index + 1] - frame[index])

    def between(values: np.ndarray) -> np.ndarray:
        following = 2 * values[-1] - values[-2] if len(values) > 1 else values[-1]
        values = np.append(values, following)
        return values[index] + share * (values[index + 1] - values[index])

    voiced = between((f0 > 0).astype(np.float64)) > 0.5
    hertz = np.where(voiced, between(f0), _UNVOICED_HZ)
    return np.cumsum(2 * np.pi * hertz / world.SAMPLE_RATE)
