"""Speech units: extractors and their choice by name."""

from espnet2_taste.io.lazy_choices import LazyChoices

unit_extractor_choices = LazyChoices(
    "unit extractor",
    {
        "world_vq": "espnet2_taste.units.world_vq.WorldVQUnitExtractor",
        "s3": "espnet2_taste.units.s3.S3UnitExtractor",
    },
)


def load_unit_extractor(name: str, path: str, **kwargs):
    """The unit extractor called ``name``, from the folder or file at ``path``.

    ``kwargs`` are the further options of its ``from_pretrained``.
    """
    return unit_extractor_choices.load(name, path, **kwargs)
