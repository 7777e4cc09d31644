"""Fetch published parts by name into one folder: what the paper's recipes start from.

    python -m espnet2_taste.bin.download paper --models_dir models

A part lies in ``<models_dir>/<its repository's name>`` afterwards, where recipes look
for it (``$TASTE_MODELS``). What is there and whole is not fetched again, and a download
that was cut goes on. Large files are compared with the hub's SHA-256. Gated parts
(Llama) need their licence accepted on the hub and ``hf auth login`` or ``HF_TOKEN``;
what one name lacks does not keep the others from being fetched.
"""

import argparse
import logging
from pathlib import Path
from typing import NamedTuple

from espnet2_taste.asr.recording import Unavailable
from espnet2_taste.bin import command, run
from espnet2_taste.io.identity import sha256
from espnet2_taste.io.published import models_dir


class Published(NamedTuple):
    """A repository of the hub, and which of its files are used."""

    repository: str
    files: tuple[str, ...]
    use: str


_TRANSFORMERS = ("*.json", "*.txt", "model.safetensors")
PARTS = {
    "whisper": Published("openai/whisper-large-v3", _TRANSFORMERS, "encoder, ASR"),
    "distil_whisper": Published(
        "distil-whisper/distil-large-v3", _TRANSFORMERS, "initial aggregator"
    ),
    "cosyvoice": Published(
        "FunAudioLLM/CosyVoice-300M",
        ("speech_tokenizer_v1.onnx", "campplus.onnx", "flow.pt", "hift.pt"),
        "units, speaker encoder, vocoder",
    ),
    "cosyvoice2": Published(
        "FunAudioLLM/CosyVoice2-0.5B",
        ("speech_tokenizer_v2.onnx", "campplus.onnx", "flow.pt", "hift.pt", "llm.pt"),
        "units, speaker encoder, vocoder, unit LM that stream",
    ),
    "llama": Published("meta-llama/Llama-3.2-1B", _TRANSFORMERS, "TASLM, gated"),
    "taste": Published(
        "MediaTek-Research/Llama-1B-TASTE-V0", ("*",), "all of it, for bin.convert"
    ),
}
UTMOS = "utmos"
SETS = {"paper": ("whisper", "distil_whisper", "cosyvoice", "llama", UTMOS)}


def get_parser() -> argparse.ArgumentParser:
    """Command-line options."""
    lines = [
        f"  {name}: {part.repository} ({part.use})" for name, part in PARTS.items()
    ]
    lines += [f"  {UTMOS}: tarepan/SpeechMOS (naturalness)"]
    lines += [f"  {name}: {', '.join(parts)}" for name, parts in SETS.items()]
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="\n".join(["names:", *lines]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = [*PARTS, UTMOS, *SETS]
    add = parser.add_argument
    add("names", nargs="+", choices=names, metavar="name", help="see below")
    add(
        "--models_dir",
        type=Path,
        default=models_dir(),
        help="default: $TASTE_MODELS",
    )
    return parser


@command(get_parser)
def main(args: argparse.Namespace) -> None:
    if args.models_dir is None:
        raise ValueError("where to? Give --models_dir, or set TASTE_MODELS")
    names = [part for name in args.names for part in SETS.get(name, (name,))]
    lacking = []
    for name in dict.fromkeys(names):
        try:
            if name == UTMOS:
                fetch_utmos(args.models_dir)
            else:
                folder = fetch(PARTS[name], args.models_dir)
                logging.info("%s: %s", name, folder)
        except (ValueError, Unavailable) as error:
            lacking.append(str(error))
    if lacking:
        raise ValueError("; ".join(lacking))


def fetch_utmos(models_dir: Path) -> None:
    """Have torch.hub download it into a folder of ours.

    Raises:
        Unavailable: it cannot.
    """
    import torch

    from espnet2_taste.evaluate.scorers.utmos import HUB, download_utmos

    (models_dir / HUB).mkdir(parents=True, exist_ok=True)
    torch.hub.set_dir(str(models_dir / HUB))
    download_utmos()


def fetch(part: Published, models_dir: Path) -> Path:
    """Download a part's files and check the large ones; returns their folder.

    Raises:
        ValueError: the hub cannot be reached, or wants a licence accepted, or a file is
            not what the hub has (it is deleted).
    """
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import GatedRepoError

    folder = models_dir / part.repository.rpartition("/")[2]
    try:
        known = HfApi().model_info(part.repository, files_metadata=True)
        snapshot_download(
            part.repository,
            revision=known.sha,
            local_dir=folder,
            allow_patterns=list(part.files),
        )
    except GatedRepoError:
        raise ValueError(
            f"{part.repository} is gated: accept its licence at https://huggingface.co/"
            f"{part.repository}, then run `hf auth login` or set HF_TOKEN"
        ) from None
    except Exception as error:  # of the hub's client, which changes its HTTP library
        reason = " ".join(str(error).split())[:200]
        raise ValueError(
            f"{part.repository}: not downloaded ({reason}). No network here: run `hf "
            f"download {part.repository} --local-dir {folder}` where there is one, and "
            "copy the folder"
        ) from None
    for sibling in known.siblings:
        file = folder / sibling.rfilename
        if sibling.lfs and file.is_file() and sha256(file) != sibling.lfs.sha256:
            file.unlink()
            raise ValueError(f"{file}: damaged on its way, now deleted; run this again")
    return folder


if __name__ == "__main__":
    run(main)
