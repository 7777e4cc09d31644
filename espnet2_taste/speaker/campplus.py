"""`campplus` speaker encoder: CAM++ embeddings from the ONNX file CosyVoice publishes.

Wang et al., "CAM++: a fast and efficient network for speaker verification using
context-aware masking" (Interspeech 2023).
"""

import logging
from pathlib import Path

import numpy as np
import torch

from espnet2_taste.io.extras import import_extra
from espnet2_taste.io.onnx_files import EXTRA, copy_onnx, find_onnx
from espnet2_taste.speaker.abs_speaker_encoder import AbsSpeakerEncoder, at_least

FILE_NAMES = ("campplus.onnx", "speaker_embed.onnx", "cosyvoice/speaker_embed.onnx")
NUM_MELS = 80
MIN_SAMPLES = 3200  # 0.2 s; the statistics over time need several frames


class CampplusSpeakerEncoder(AbsSpeakerEncoder):
    """Kaldi filterbank, mean removed over time, through an onnxruntime session.

    The network has no mask: padding would change its statistics over time. Utterances
    therefore go together only where they have the same number of frames and the file
    leaves the batch size open; all others are runs of one.

    Args:
        session: onnxruntime session with one input (B, T, 80) and one output (B, S).
    """

    sample_rate = 16000

    def __init__(self, session):
        self.session = session
        self.input = session.get_inputs()[0]
        self.any_batch_size = not isinstance(self.input.shape[0], int)
        # Published files need not declare their width.
        self.embed_dim = self._run([fbank(torch.zeros(MIN_SAMPLES))]).shape[1]

    @classmethod
    def from_pretrained(
        cls, path: str, device: str = "cpu"
    ) -> "CampplusSpeakerEncoder":
        """Load a session.

        Args:
            path: ONNX file, or a folder that holds it under a published name.
            device: ``cuda``, with the onnxruntime-gpu package; else the CPU works.

        Raises:
            FileNotFoundError: no such file.
            ValueError: not ONNX, or not from 80-bin features to embeddings.
            RuntimeError: onnxruntime is not installed.
        """
        onnxruntime = import_extra("onnxruntime", EXTRA)
        file = find_onnx(path, FILE_NAMES)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.inter_op_num_threads = 1
        providers = ["CPUExecutionProvider"]
        if str(device).startswith("cuda"):
            if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
                providers.insert(0, cuda_provider(str(device)))
            else:
                logging.warning("campplus runs on the CPU: install onnxruntime-gpu")
        try:
            return cls(onnxruntime.InferenceSession(str(file), options, providers))
        except Exception as error:  # onnxruntime raises a dozen kinds
            reason = str(error).strip().partition("\n")[0]
            raise ValueError(
                f"{file} is no speaker encoder from {NUM_MELS}-bin features ({reason})"
            ) from None

    @classmethod
    def pack(cls, path: str, folder: Path) -> None:
        copy_onnx(path, FILE_NAMES, folder)

    def __call__(self, wavs: list[torch.Tensor]) -> torch.Tensor:
        """1-D float waveforms in [-1, 1] -> (B, embed_dim) float32, not normalised.

        Waveforms under 0.2 s are repeated; no samples count as silence.
        """
        features = [fbank(wav) for wav in wavs]
        groups: dict[int, list[int]] = {}
        for i, item in enumerate(features):
            groups.setdefault(len(item) if self.any_batch_size else i, []).append(i)
        result = torch.zeros(len(wavs), self.embed_dim)
        for rows in groups.values():
            result[rows] = torch.from_numpy(self._run([features[i] for i in rows]))
        return result

    def _run(self, features: list[np.ndarray]) -> np.ndarray:
        """(T, 80) features of one length -> (B, embed_dim)."""
        return self.session.run(None, {self.input.name: np.stack(features)})[0]


def cuda_provider(device: str) -> tuple[str, dict[str, str]]:
    """onnxruntime's name and options of ``cuda`` or ``cuda:N``."""
    number = device.partition(":")[2] or "0"
    # The default search tries every algorithm for each new length: seconds apiece.
    options = {"device_id": number, "cudnn_conv_algo_search": "HEURISTIC"}
    return "CUDAExecutionProvider", options


def fbank(wav: torch.Tensor) -> np.ndarray:
    """(N,) waveform in [-1, 1] at 16 kHz -> (T, 80) float32, zero mean over time."""
    from torchaudio.compliance import kaldi

    wav = at_least(wav, MIN_SAMPLES)
    features = kaldi.fbank(
        wav.unsqueeze(0), num_mel_bins=NUM_MELS, dither=0.0, sample_frequency=16000
    )
    return (features - features.mean(0, keepdim=True)).numpy()
