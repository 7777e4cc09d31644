"""Aligners by name; imported when chosen."""

from espnet2_taste.lazy_choices import LazyChoices

_HERE = __name__

aligner_choices = LazyChoices(
    "aligner",
    {
        "pocketsphinx": f"{_HERE}.pocketsphinx.PocketsphinxAligner",
        "ctm": f"{_HERE}.ctm.CtmAligner",
        "espnet": f"{_HERE}.espnet.EspnetAligner",
    },
)
