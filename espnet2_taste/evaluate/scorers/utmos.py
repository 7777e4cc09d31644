"""UTMOS: naturalness as listeners of synthetic speech would have judged it.

Source: T. Saeki et al., "UTMOS: UTokyo-SaruLab system for VoiceMOS Challenge 2022"
(Interspeech 2022); its strong learner as SpeechMOS publishes it.
"""

from collections import defaultdict
from functools import cached_property
from pathlib import Path

import torch

from espnet2_taste.evaluate.scorers.abs_scorer import (
    AbsScorer,
    Column,
    Recording,
    Unavailable,
    loaded,
)
from espnet2_taste.evaluate.scorers.reading import SAMPLE_RATE, read_speech
from espnet2_taste.io.checkpoint import check_finite, load_state, load_strictly
from espnet2_taste.io.identity import weights_identity
from espnet2_taste.io.published import models_dir

REPOSITORY, ENTRY = "tarepan/SpeechMOS:v1.2.0", "utmos22_strong"
CODE = "tarepan_SpeechMOS_v1.2.0"  # of the repository in the hub's folder
HUB = "torch_hub"  # the hub's folder in $TASTE_MODELS, where bin.download has filled it
WEIGHTS = "utmos22_strong_step7459_v1.pt"
FETCH = (
    f'python -c \'import torch; torch.hub.load("{REPOSITORY}", "{ENTRY}", '
    "trust_repo=True)'"
)


def download_utmos() -> None:
    """Have torch.hub fetch what it lacks, into its folder.

    Raises:
        Unavailable: it cannot.
    """
    try:
        torch.hub.load(REPOSITORY, ENTRY, trust_repo=True)
    except Exception as error:  # of urllib, zipfile, ...
        reason = " ".join(str(error).split())[:200]
        raise Unavailable(f"UTMOS: {FETCH} ({reason})") from None


class UtmosScorer(AbsScorer):
    """`utmos`: predicted naturalness. Unit: none, 1 to 5. Mean over recordings.

    The network has no mask for padding: recordings of one length go together, all
    others alone.

    Args:
        model: what maps (B, N) audio (and its rate) to (B,) ratings: a TorchScript
            file, or a checkout of SpeechMOS whose weights lie in it or in torch.hub's
            folder. None: what ``bin.download`` or torch.hub has downloaded before.
        download: let torch.hub download what is missing.
        device: torch device.
    """

    name = "utmos"
    columns = (Column("utmos", "UTMOS", "predicted naturalness, 1 to 5", digits=2),)
    on_device = True

    def __init__(
        self, model: str | None = None, download: bool = False, device: str = "cpu"
    ):
        self.device = device
        hub = models_dir() / HUB if models_dir() else None
        if hub is None or not hub.is_dir():
            hub = Path(torch.hub.get_dir())
        self.code = Path(model) if model else hub / CODE
        stored = hub / "checkpoints" / WEIGHTS
        if not model and download and not (self.code.is_dir() and stored.is_file()):
            download_utmos()
        inside = self.code / WEIGHTS
        self.weights = inside if inside.is_file() else stored
        if self.code.is_file():
            self.weights = self.code
        elif not ((self.code / "hubconf.py").is_file() and self.weights.is_file()):
            missing = self.weights.name if self.code.is_dir() else self.code.name
            raise Unavailable(
                f"UTMOS ({missing}): {FETCH}, or --meter_conf utmos.model=<TorchScript "
                "file or SpeechMOS checkout>"
            )

    @cached_property
    def identity(self) -> str:
        return f"UTMOS strong learner, {weights_identity(self.weights)}"

    @cached_property
    def model(self) -> torch.nn.Module:
        """In eval mode on the device.

        Raises:
            Unavailable: the file is no such model.
        """
        return loaded(self._open, f"UTMOS: {self.weights.name}").to(self.device).eval()

    def _open(self) -> torch.nn.Module:
        if self.code.is_file():
            model = torch.jit.load(self.code, map_location=self.device)
        else:
            options = {"source": "local", "pretrained": False}
            model = torch.hub.load(str(self.code), ENTRY, **options)
            load_strictly(model, load_state(self.weights), "weights of another model")
        check_finite(model.state_dict(), self.weights)
        return model

    @cached_property
    def takes_rate(self) -> bool:
        """Scripted models may take audio alone."""
        if not isinstance(self.model, torch.jit.ScriptModule):
            return True
        return len(self.model.forward.schema.arguments) > 2

    def __call__(self, recordings: list[Recording]) -> list[dict[str, list[float]]]:
        results: list[dict[str, list[float]]] = [{} for _ in recordings]
        groups = defaultdict(dict)
        for i, recording in enumerate(recordings):
            wav = read_speech(recording.entry, recording.utt)
            if wav is not None:
                groups[len(wav)][i] = torch.from_numpy(wav)
        for wavs in groups.values():
            scores = self._rate(torch.stack(list(wavs.values())))
            for i, score in zip(wavs, scores, strict=True):
                results[i] = {"utmos": [score, 1.0]}
        return results

    @torch.inference_mode()
    def _rate(self, wavs: torch.Tensor) -> list[float]:
        """(B, N) -> B ratings."""
        rate = (SAMPLE_RATE,) if self.takes_rate else ()
        return self.model(wavs.to(self.device), *rate).reshape(-1).tolist()
