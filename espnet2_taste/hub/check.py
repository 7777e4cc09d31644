"""Opening a packed folder before it is handed on, to describe and check its parts."""

import logging
from pathlib import Path

import torch

from espnet2_taste.hub.pack import BACKBONES
from espnet2_taste.inference import SpeechToTaste, TaslmLikelihood, load_part
from espnet2_taste.io.config import read_yaml
from espnet2_taste.io.models import read_parts
from espnet2_taste.taste.tokenizer.abs_quantizer import AbsQuantizer
from espnet2_taste.units.unit_spec import check_fit


def open_parts(folder: Path) -> dict[str, str]:
    """Open every part and check that they belong to one system.

    Args:
        folder: of the packed model.

    Returns:
        part -> what it is, in words.

    Raises:
        ValueError: two parts do not fit together; the message says which and why.
    """
    parts = read_parts(folder)
    taste = SpeechToTaste(model_file=folder)
    facts = {"taste": _describe_taste(folder, taste)}
    model, options = taste.model, taste.args
    if "taslm" in parts:
        taslm = TaslmLikelihood(model_file=folder)
        if not same_codes(model.quantizer, taslm.model.quantizer):
            raise ValueError(
                "--taslm was trained on the codes of another tokenizer, for its "
                "codebooks are not those of --taste: give two that belong together"
            )
        facts["taslm"] = ", ".join(
            [
                f"{taslm.args.lm} language model",
                f"{taslm.args.speech_head} speech head",
                *_common(folder, "taslm", taslm.model),
            ]
        )
    for part in ("units", "speaker", "vocoder"):
        if part not in parts:
            continue
        loaded = load_part(folder, part)
        if part == "units":
            check_fit("--taste", taste.unit_spec, "--units", loaded.spec)
            facts[part] = f"{loaded.num_units} units, {loaded.unit_rate:g} a second"
        elif part == "speaker":
            widths = options.spk_embed_dim, loaded.embed_dim
            check_fit("--taste", None, "--speaker", None, widths)
            facts[part] = f"{loaded.embed_dim} dimensions"
        else:
            widths = loaded.spk_embed_dim, options.spk_embed_dim
            check_fit("--vocoder", loaded.unit_spec, "--taste", taste.unit_spec, widths)
            facts[part] = f"waveforms of {loaded.sample_rate} Hz"
        if part != "vocoder":
            facts[part] += f", from speech of {loaded.sample_rate} Hz"
        facts[part] = f"`{parts[part]}`, {facts[part]}"
        logging.info("%s: %s", part, facts[part])
    return facts


def same_codes(first: AbsQuantizer, second: AbsQuantizer) -> bool:
    """Whether two quantisers turn every codebook entry into the same vector."""
    sizes = [(q.num_codebooks, q.codebook_size, q.dim) for q in (first, second)]
    if sizes[0] != sizes[1]:
        return False
    books, entries, _ = sizes[0]
    codes = torch.full((books, entries, books), 0)
    for book in range(books):
        codes[book, :, book] = torch.arange(entries)
    with torch.inference_mode():
        vectors = [q.codes_to_embeddings(codes) for q in (first, second)]
    return torch.equal(*vectors)


def remote_names(folder: Path) -> list[str]:
    """Hub ids that a packed model's configurations still name."""
    names = []
    for part, section in BACKBONES.items():
        if not (folder / part).is_dir():
            continue
        config = read_yaml(folder / part / "config.yaml")
        names.append((config.get(section) or {}).get("model"))
        for options in (config, *(config.get("vocabularies") or {}).values()):
            if options.get("token_type") == "hf":
                names.append(options["token_model"])
    local = (None, "")
    found = (n for n in names if n not in local and not n.startswith("./"))
    return list(dict.fromkeys(found))


def _describe_taste(folder: Path, taste: SpeechToTaste) -> str:
    quantizer, args = taste.model.quantizer, taste.args
    codes = "no codes (no quantiser)"
    if quantizer.num_codebooks:
        codes = (
            f"{quantizer.num_codebooks} codebooks ({args.quantizer}) of "
            f"{quantizer.codebook_size} entries, one code of each a "
            f"{taste.model.granularity}"
        )
    return ", ".join(
        [
            codes,
            f"`{args.encoder}` encoder",
            f"`{args.aggregator}` aggregator",
            f"`{args.speech_decoder}` speech decoder",
            f"speech of {taste.sample_rate} Hz",
            *_common(folder, "taste", taste.model),
        ]
    )


def _common(folder: Path, part: str, model: torch.nn.Module) -> list[str]:
    config = read_yaml(folder / part / "config.yaml")
    count = sum(p.numel() for p in model.parameters())
    return [f"`{config['token_type']}` text tokens", f"{count:,} parameters"]
