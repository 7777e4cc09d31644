"""Opening the units, speaker encoder or vocoder of a packed model."""

from pathlib import Path

from espnet2_taste.io.models import find_part
from espnet2_taste.speaker import speaker_choices
from espnet2_taste.units import unit_extractor_choices
from espnet2_taste.vocoder import vocoder_choices

CHOICES = {
    "vocoder": vocoder_choices,
    "units": unit_extractor_choices,
    "speaker": speaker_choices,
}


def load_part(source: str | Path, part: str, cache_dir: str | None = None, **options):
    """Open a packed model's ``vocoder``, ``units`` or ``speaker``.

    Args:
        source: folder, zip, URL or tag of the packed model.
        part: its name.
        cache_dir: of downloads and unpacked zips.
        options: of the part's ``from_pretrained``, such as ``device``.

    Raises:
        ValueError: there is no such part; the message lists those there are.
    """
    found = find_part(source, part, cache_dir)
    if found is None or part not in CHOICES:
        raise ValueError(f"{source} is no packed model with a {part} to load")
    choice, path = found
    return CHOICES[part].load(choice, path, **options)
