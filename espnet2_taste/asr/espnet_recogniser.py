"""`espnet` recogniser: any ASR model of ESPnet."""

from functools import cached_property
from importlib.metadata import version
from pathlib import Path

import numpy as np

from espnet2_taste.asr.abs_recogniser import AbsRecogniser
from espnet2_taste.asr.recording import Unavailable
from espnet2_taste.io.identity import weights_identity

_MIN_SAMPLES = 1600  # 0.1 s: subsampling leaves nothing of less


class EspnetRecogniser(AbsRecogniser):
    """ESPnet's ``Speech2Text``, one recording after the other.

    Args:
        model: checkpoint beside its config.yaml, a training folder (its best
            checkpoint), a packed zip, or a model-zoo or hub tag (downloaded).
        device: torch device.
        cache_dir: of downloads.
        conf: other arguments of ``Speech2Text``; a CTC model needs ``ctc_weight=1.0``.

    Raises:
        Unavailable: the tag cannot be downloaded.
        FileNotFoundError: a folder without model.
        ValueError: another kind of model, when it is first used.
    """

    on_device = True

    def __init__(
        self, model: str, device: str = "cpu", cache_dir: str | None = None, **conf
    ):
        self.device, self.conf = device, conf
        self.files = _find_files(model, cache_dir)
        self.name = Path(model).name if Path(model).exists() else model

    @property
    def identity(self) -> str:
        weights = weights_identity(self.files["asr_model_file"])
        settings = "".join(f", {k} {v}" for k, v in sorted(self.conf.items()))
        return f"ESPnet {version('espnet')} {self.name} {weights}{settings}"

    @cached_property
    def speech2text(self):
        """ESPnet's inference class; imports take 10 s."""
        from espnet2.bin.asr_inference import Speech2Text

        from espnet2_taste.asr.espnet_asr import register_frontend

        register_frontend()
        given = {**self.files, **self.conf}
        try:
            made = Speech2Text(device=self.device, **given)
            self._check(made, given)
        except (AttributeError, KeyError, RuntimeError, TypeError) as error:
            reason = str(error).partition("\n")[0]
            raise ValueError(
                f"{self.files['asr_model_file']} is no ASR model of ESPnet, or "
                f"--asr_conf does not suit it ({reason})"
            ) from error
        return made

    @staticmethod
    def _check(made, given: dict) -> None:
        """RuntimeError for weights of another model, which ESPnet takes in silence."""
        from espnet2_taste.io.checkpoint import describe_mismatch, load_state, shapes

        parts = {"asr_model_file": ("", made.asr_model)}
        if given.get("lm_file"):
            parts["lm_file"] = ("lm.", made.beam_search.scorers["lm"])
        for option, (prefix, part) in parts.items():
            if given.get(f"quantize_{option.removesuffix('_file')}"):
                continue  # other tensors than the file's
            wanted = {prefix + k: s for k, s in shapes(part.state_dict()).items()}
            found = shapes(load_state(given[option]))
            if differences := describe_mismatch(wanted, found):
                raise RuntimeError(f"{given[option]}: {differences}")

    def __call__(self, wavs: list[np.ndarray]) -> list[str]:
        return [self._recognise(wav) for wav in wavs]

    def _recognise(self, wav: np.ndarray) -> str:
        import torch

        # its own module is named espnet.nets or espnet2.legacy.nets, by version
        from espnet2.asr.encoder.transformer_encoder import TooShortUttError

        if len(wav) < _MIN_SAMPLES:
            return ""
        try:
            with torch.inference_mode():
                results = self.speech2text(wav)
        except TooShortUttError:
            return ""
        if isinstance(results, tuple):  # with intermediate CTC
            results = results[0]
        return results[0][0] or ""


def _find_files(model: str, cache_dir: str | None) -> dict[str, str]:
    """Arguments of ``Speech2Text`` that name the model's files."""
    from espnet2_taste.io.models import download, find_checkpoint

    path = find_checkpoint(model)
    if path.suffix == ".pth":
        config = path.parent / "config.yaml"
        if not config.is_file():
            raise FileNotFoundError(f"no file {config} beside {path.name}")
        return {"asr_train_config": str(config), "asr_model_file": str(path)}
    try:
        return download(model, cache_dir)
    except (OSError, RuntimeError) as error:
        raise Unavailable(f"ESPnet model {model}: {error}") from None
