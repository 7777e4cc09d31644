"""`espnet` recogniser: any ASR model of ESPnet."""

import re
from functools import cached_property
from importlib.metadata import version
from pathlib import Path

import numpy as np

from espnet2_taste.asr.abs_recogniser import AbsRecogniser
from espnet2_taste.asr.recording import Unavailable
from espnet2_taste.asr.transcript import Transcript
from espnet2_taste.io.identity import weights_identity

#: Options of ``Speech2Text`` that name weights.
_WEIGHTS = ("asr_model_file", "lm_file", "word_lm_file")
#: What only some versions of ESPnet save, and what a model has for training alone.
_SPARE = r".*\.pe|.*\.num_batches_tracked|postdecoder\..*"
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
        from espnet2_taste.io.checkpoint import load_state

        given = {**self.files, **self.conf}
        try:  # before ESPnet does, which up to 202511 runs code from them
            weights = {k: load_state(given[k]) for k in _WEIGHTS if given.get(k)}
            made = Speech2Text(device=self.device, **given)
            for option, state in weights.items():
                if not given.get(f"quantize_{option.removesuffix('_file')}"):
                    _check(made, option, state, given[option])
        except (AttributeError, KeyError, RuntimeError, TypeError) as error:
            reason = str(error).partition("\n")[0]
            raise ValueError(
                f"{self.files['asr_model_file']} is no ASR model of ESPnet, or "
                f"--asr_conf does not suit it ({reason})"
            ) from error
        return made

    def transcribe(self, wavs: list[np.ndarray]) -> list[Transcript]:
        return [Transcript.of(self._recognise(wav)) for wav in wavs]

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


def _check(speech2text, option: str, state: dict, path: str) -> None:
    """RuntimeError for weights of another model, which ESPnet takes in silence."""
    from espnet2_taste.io.checkpoint import describe_mismatch, shapes

    scorers = getattr(speech2text.beam_search, "scorers", {})  # none of transducers
    parts = {"asr_model_file": ("", speech2text.asr_model)}
    parts["lm_file"] = ("lm.", scorers.get("lm"))
    prefix, part = parts.get(option, ("", None))
    if part is None:
        return
    wanted = {prefix + k: size for k, size in shapes(part.state_dict()).items()}
    found = shapes(state)
    for name in wanted.keys() ^ found.keys():
        if re.fullmatch(_SPARE, name):
            wanted.pop(name, None), found.pop(name, None)
    if differences := describe_mismatch(wanted, found):
        raise RuntimeError(f"{path}: {differences}")


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
