"""`espnet_spk` speaker encoder: any model of ESPnet-SPK.

Jung et al., "ESPnet-SPK: full pipeline speaker embedding toolkit with reproducible
recipes, self-supervised front-ends, and off-the-shelf models" (Interspeech 2024).
"""

from pathlib import Path

import torch

from espnet2_taste.io.carrier import axis_names, pack_espnet_model
from espnet2_taste.io.checkpoint import build_model_from_file
from espnet2_taste.io.models import download, find_checkpoint
from espnet2_taste.speaker.abs_speaker_encoder import AbsSpeakerEncoder, at_least

MIN_SAMPLES = 16000  # encoders pool over time; a second suits all of them


class EspnetSpkSpeakerEncoder(AbsSpeakerEncoder):
    """An ESPnet-SPK model: frontend, encoder, pooling and projector.

    Not all of ESPnet's encoders mask padding: every utterance is a run of its own.

    Args:
        model: ESPnetSpeakerModel in eval mode, trained on 16 kHz audio.
    """

    sample_rate = 16000

    def __init__(self, model: torch.nn.Module):
        self.model = model
        self.embed_dim = self._embed(torch.zeros(MIN_SAMPLES)).shape[0]

    @classmethod
    def from_pretrained(
        cls, path: str, device: str = "cpu", cache_dir: str | None = None
    ) -> "EspnetSpkSpeakerEncoder":
        """Load a model strictly, without running code from its file.

        Args:
            path: checkpoint beside its config.yaml, a training folder (its best
                checkpoint), a packed zip, or a model-zoo / hub tag (downloaded).
            device: torch device.
            cache_dir: of downloads.

        Raises:
            FileNotFoundError: a folder without model.
            RuntimeError: a checkpoint that does not fit its configuration.
        """
        from espnet2.tasks.spk import SpeakerTask  # takes seconds to import

        config, checkpoint = find_files(path, cache_dir)
        model, _ = build_model_from_file(
            SpeakerTask.build_model, config, checkpoint, device
        )
        return cls(model)

    @classmethod
    def pack(cls, path: str, folder: Path) -> None:
        from espnet2.tasks.spk import SpeakerTask

        axes = axis_names(SpeakerTask.class_choices_list)
        used = [name for name in axes if not name.startswith("preprocessor")]
        names = ["spk_num", "input_size", "init", *used]
        config, checkpoint = find_files(path)
        pack_espnet_model(config, checkpoint, folder, names)

    def __call__(self, wavs: list[torch.Tensor]) -> torch.Tensor:
        """1-D float waveforms -> (B, embed_dim) float32 on the CPU.

        Waveforms under a second are repeated; no samples count as silence.
        """
        return torch.stack([self._embed(wav) for wav in wavs])

    @torch.inference_mode()
    def _embed(self, wav: torch.Tensor) -> torch.Tensor:
        """(N,) -> (embed_dim,)."""
        device = next(self.model.parameters()).device
        speech = at_least(wav, MIN_SAMPLES).unsqueeze(0).to(device)
        return self.model(speech=speech, extract_embd=True)[0].float().cpu()


def find_files(path: str | Path, cache_dir: str | None = None) -> tuple[Path, Path]:
    """config.yaml and checkpoint of what ``from_pretrained`` takes."""
    checkpoint = find_checkpoint(path)
    if checkpoint.suffix == ".pth":
        return checkpoint.parent / "config.yaml", checkpoint
    files = download(str(path), cache_dir)
    return Path(files["train_config"]), Path(files["model_file"])
