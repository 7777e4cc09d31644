"""`s3` units: CosyVoice's supervised semantic speech tokens, through `s3tokenizer`.

Du et al., "CosyVoice: a scalable multilingual zero-shot text-to-speech synthesizer"
(2024). The package s3tokenizer reads the published ONNX file into a PyTorch model with
masks; sizes and rate are taken from the file, windows over long audio are made here.
"""

from pathlib import Path

import torch

from espnet2_taste.io.audio import as_speech
from espnet2_taste.io.checkpoint import check_finite, load_strictly
from espnet2_taste.io.extras import import_extra
from espnet2_taste.io.onnx_files import EXTRA, copy_onnx, find_onnx
from espnet2_taste.units.abs_unit_extractor import AbsUnitExtractor

FILE_NAMES = (
    "speech_tokenizer_v1.onnx",
    "speech_tokenizer_v2.onnx",
    "cosyvoice/speech_tokenizer_v1.onnx",
)
FRAME_RATE = 100  # mel frames a second
MIN_SAMPLES = 400  # one window of the mel spectrogram
WINDOW = 3000  # frames: what the network was trained on
OVERLAP = 400  # frames that neighbouring windows share
HEAD_SIZE = 64
V2_ATTENTION_NORM_EPS = 1e-6


class S3UnitExtractor(AbsUnitExtractor):
    """S3 tokenizer of CosyVoice (50 Hz, 4096 units), or CosyVoice 2 (25 Hz, 6561).

    The spectrogram is that of the audio as it is, floored 80 dB below its own maximum,
    without Whisper's padding to 30 s. Audio over 30 s goes through windows of 30 s that
    share 4 s, of which each keeps the inner half: N samples give the units of N samples
    (the reference gives none and warns; s3tokenizer's own windows may lose some at the
    end).

    Args:
        model: of s3tokenizer, S3Tokenizer or S3TokenizerV2.
        device: torch device.
    """

    sample_rate = 16000

    def __init__(self, model: torch.nn.Module, device: str = "cpu"):
        self.tools = import_extra("s3tokenizer", EXTRA)
        self.model = model.to(device).eval()
        self.device = device
        self.num_units = model.quantizer.codebook_size
        self.frames_per_unit = 2 * model.encoder.stride
        self.unit_rate = FRAME_RATE / self.frames_per_unit

    @classmethod
    def from_pretrained(cls, path: str, device: str = "cpu") -> "S3UnitExtractor":
        """Load weights.

        Args:
            path: ONNX file as published, a folder that holds it, or a name that
                s3tokenizer downloads (``speech_tokenizer_v1``, ...).
            device: torch device.

        Raises:
            FileNotFoundError: no such file, and no such name.
            ValueError: not an S3 tokenizer of version 1 or 2.
            RuntimeError: s3tokenizer is not installed.
        """
        tools = import_extra("s3tokenizer", EXTRA)
        names = [name for name in tools.available_models() if "_v3" not in name]
        if path in names:
            return cls(tools.load_model(path), device)
        try:
            return cls(load_onnx(find_onnx(path, FILE_NAMES)), device)
        except FileNotFoundError as error:
            raise FileNotFoundError(
                f"{error}; names to download: {', '.join(names)}"
            ) from None

    @classmethod
    def pack(cls, path: str, folder: Path) -> None:
        copy_onnx(path, FILE_NAMES, folder)

    @torch.inference_mode()
    def __call__(self, wavs: list[torch.Tensor]) -> list[torch.Tensor]:
        """Extract; a batch gives what single calls give.

        Args:
            wavs: 1-D float waveforms in [-1, 1] at 16 kHz, any lengths.

        Returns:
            1-D int64 units on the CPU: one per ``frames_per_unit`` frames of 160
            samples, rounded up; at least one, but none for no samples.
        """
        windows = []  # (utterance, first unit kept, end, (n_mels, T) spectrogram)
        for i, wav in enumerate(wavs):
            if len(wav):
                windows += [(i, *window) for window in self._windows(self._mel(wav))]
        pieces: list[torch.Tensor | None] = [None] * len(windows)
        # Similar lengths together; memory is that of len(wavs) windows.
        order = sorted(range(len(windows)), key=lambda j: windows[j][-1].shape[1])
        for first in range(0, len(order), max(len(wavs), 1)):
            batch = order[first : first + len(wavs)]
            mel, lengths = self.tools.padding([windows[j][-1] for j in batch])
            codes, code_lengths = self.model.quantize(mel, lengths.to(self.device))
            codes = codes.long().cpu()
            for j, row, length in zip(batch, codes, code_lengths.tolist(), strict=True):
                _, start, end, _ = windows[j]
                pieces[j] = row[:length][start:end]
        units: list[list[torch.Tensor]] = [[] for _ in wavs]
        for (i, *_), piece in zip(windows, pieces, strict=True):
            units[i].append(piece)
        empty = torch.zeros(0, dtype=torch.int64)
        return [torch.cat([empty, *row]) for row in units]

    def _mel(self, wav: torch.Tensor) -> torch.Tensor:
        """(N,) -> (n_mels, N // 160) log-mel; less than one window is zero padded."""
        wav = torch.from_numpy(as_speech(wav)).to(self.device)
        wav = torch.nn.functional.pad(wav, (0, max(0, MIN_SAMPLES - len(wav))))
        return self.tools.log_mel_spectrogram(wav, self.model.config.n_mels)

    def _windows(self, mel: torch.Tensor) -> list[tuple[int, int | None, torch.Tensor]]:
        """Parts of a spectrogram and which of their units count.

        Every window but the first is longer than the overlap, so nothing is lost.
        """
        num_frames = mel.shape[1]
        starts = range(0, max(num_frames - OVERLAP, 1), WINDOW - OVERLAP)
        half = OVERLAP // 2 // self.frames_per_unit
        inner_end = WINDOW // self.frames_per_unit - half
        return [
            (
                half if start > 0 else 0,
                inner_end if start != starts[-1] else None,
                mel[:, start : start + WINDOW],
            )
            for start in starts
        ]


def load_onnx(file: Path) -> torch.nn.Module:
    """Build the PyTorch model of a published ONNX file, of the file's own sizes.

    Raises:
        ValueError: not ONNX, or not an S3 tokenizer of version 1 or 2.
    """
    onnx = import_extra("onnx", EXTRA)
    tools = import_extra("s3tokenizer", EXTRA)
    try:
        graph = onnx.load(str(file)).graph
        # Two files called speech_tokenizer_v1.onnx differ in the first convolution.
        conv = next(node for node in graph.node if node.op_type == "Conv")
        stride = next(a.ints[0] for a in conv.attribute if a.name == "strides")
        model = build_model(tools.onnx2torch(str(file)), stride)
    except Exception as error:  # whatever parsing a foreign file leads to
        reason = str(error).partition("\n")[0]
        raise ValueError(
            f"{file} is no S3 tokenizer of version 1 or 2 "
            f"({type(error).__name__}: {reason})"
        ) from None
    return model


def build_model(state: dict[str, torch.Tensor], stride: int) -> torch.nn.Module:
    """The s3tokenizer model whose weights are ``state``.

    Args:
        state: as s3tokenizer's ``onnx2torch`` returns it.
        stride: of the first convolution; 1 gives 50 units a second, 2 gives 25.
    """
    from s3tokenizer import model, model_v2

    width, num_mels, _ = state["encoder.conv1.weight"].shape
    blocks = {key.split(".")[2] for key in state if key.startswith("encoder.blocks.")}
    sizes = {
        "n_mels": num_mels,
        "n_audio_state": width,
        "n_audio_head": width // HEAD_SIZE,
        "n_audio_layer": len(blocks),
        "use_sdpa": True,
    }
    if "quantizer._codebook.embed" in state:
        config = model.ModelConfig(
            n_audio_ctx=len(state["encoder.positional_embedding"]),
            n_codebook_size=len(state["quantizer._codebook.embed"]),
            **sizes,
        )
        name = "speech_tokenizer_v1" if stride == 1 else "speech_tokenizer_v1_25hz"
        network = model.S3Tokenizer(name, config)
    else:
        config = model_v2.ModelConfig(**sizes)
        network = model_v2.S3TokenizerV2("speech_tokenizer_v2_25hz", config)
        for block in network.encoder.blocks:  # as published; some releases have 1e-5
            block.attn_ln.eps = V2_ATTENTION_NORM_EPS
    load_strictly(network, state, "weights of another network")
    check_finite(state, "its weights")
    return network
