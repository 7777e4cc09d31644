"""DNSMOS: quality as its raters would have judged it, without a reference.

The networks are those of the package ``speechmos``; they run here on one core per
process, without its thread pool. Sources: C. Reddy et al., "DNSMOS P.835" (ICASSP 2022)
for overall, signal and background; "DNSMOS" (ICASSP 2021) for P.808.
"""

from functools import lru_cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import numpy as np

from espnet2_taste.evaluate.scorers.abs_scorer import (
    AbsScorer,
    Column,
    Recording,
    Unavailable,
)
from espnet2_taste.evaluate.scorers.reading import SAMPLE_RATE, read_speech
from espnet2_taste.io.extras import import_extra

EXTRA = "scoring"
WINDOW = 144160  # samples, 9.01 s, of the networks
HOP = SAMPLE_RATE
#: P.835 network's output -> polynomial from it to ratings, highest power first
CALIBRATION = {
    "dnsmos_sig": (-0.08397278, 1.22083953, 0.0052439),
    "dnsmos_bak": (-0.13166888, 1.60915514, -0.39604546),
    "dnsmos": (-0.06766283, 1.11546468, 0.04602535),
}


@lru_cache(maxsize=2)
def _sessions(folder: Path) -> tuple:
    """The P.835 and the P.808 network of a process."""
    onnxruntime = import_extra("onnxruntime", EXTRA)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return tuple(
        onnxruntime.InferenceSession(
            str(folder / name), options, ["CPUExecutionProvider"]
        )
        for name in ("sig_bak_ovr.onnx", "model_v8.onnx")
    )


def cut_windows(wav: np.ndarray, limit: int | None = None) -> list[np.ndarray]:
    """(N,) -> windows of 9.01 s, a second apart; shorter audio is doubled to fit.

    Args:
        limit: at most so many, evenly spread, the first among them; None: all.
    """
    while len(wav) < WINDOW:
        wav = np.concatenate([wav, wav])
    # As published: whole seconds less the window, rounded towards zero, and one.
    count = int(len(wav) // SAMPLE_RATE - WINDOW / SAMPLE_RATE) + 1
    starts = np.arange(count) * HOP
    starts = starts[starts + WINDOW <= len(wav)]
    if limit is not None and len(starts) > limit:
        starts = starts[np.linspace(0, len(starts) - 1, limit).round().astype(int)]
    return [wav[start : start + WINDOW] for start in starts]


def log_mel(window: np.ndarray) -> np.ndarray:
    """A window -> (900, 120) for the P.808 network: dB below the loudest, scaled."""
    from librosa import power_to_db  # seconds
    from librosa.feature import melspectrogram

    size = {"n_fft": 321, "hop_length": HOP // 100, "n_mels": 120}
    mel = melspectrogram(y=window[:-160], sr=SAMPLE_RATE, **size)
    return ((power_to_db(mel, ref=np.max) + 40) / 40).T.astype(np.float32)


class DnsmosScorer(AbsScorer):
    """`dnsmos`: predicted ratings, 1 to 5, means over the windows of a recording.

    Args:
        windows: at most so many windows of a recording (each takes a core 0.2 s). None:
            all, as published. One alone gave 0.03 more on average over short sentences.
            Named in the results.
    """

    name = "dnsmos"
    columns = (
        Column("dnsmos", "DNSMOS", "predicted overall quality, 1 to 5", digits=2),
        *(
            Column(key, label, f"predicted {meaning}, 1 to 5", digits=2, detail=True)
            for key, label, meaning in (
                ("dnsmos_sig", "DNSMOS sig.", "quality of the speech signal"),
                ("dnsmos_bak", "DNSMOS bak.", "quality of the background"),
                ("dnsmos_p808", "DNSMOS P.808", "overall quality, of P.808"),
            )
        ),
    )

    def __init__(self, windows: int | None = None):
        if windows is not None and windows < 1:
            raise ValueError(f"windows: {windows}, expected 1 or more")
        self.windows = windows
        try:
            import_extra("onnxruntime", EXTRA)
            package = distribution("speechmos")
        except (RuntimeError, PackageNotFoundError):
            raise Unavailable(
                f"DNSMOS: pip install 'espnet2_taste[{EXTRA}]' (speechmos, onnxruntime)"
            ) from None
        # Not imported: a torch.hub package of the same name may be (see utmos).
        self.folder = Path(package.locate_file("speechmos/dnsmos_models"))
        self.version = package.version

    @property
    def identity(self) -> str:
        windows = f", at most {self.windows} window(s)" if self.windows else ""
        return f"DNSMOS P.835 and P.808 (speechmos {self.version}{windows})"

    def __call__(self, recordings: list[Recording]) -> list[dict[str, list[float]]]:
        return [self._measure(recording) for recording in recordings]

    def _measure(self, recording: Recording) -> dict[str, list[float]]:
        wav = read_speech(recording.entry, recording.utt)
        if wav is None:
            return {}
        p835, p808 = _sessions(self.folder)
        # One at a time: several run slower for want of cache.
        raw, overall = [], []
        for window in cut_windows(np.clip(wav, -1.0, 1.0), self.windows):
            raw.append(p835.run(None, {"input_1": window[None]})[0][0])
            overall.append(p808.run(None, {"input_1": log_mel(window)[None]})[0][0, 0])
        scores = {
            key: np.polyval(polynomial, np.array(raw, np.float64)[:, i]).mean()
            for i, (key, polynomial) in enumerate(CALIBRATION.items())
        }
        scores["dnsmos_p808"] = np.mean(overall)
        return {key: [float(score), 1.0] for key, score in scores.items()}
