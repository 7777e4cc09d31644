"""Aligners by name; imported when chosen."""

from espnet2_taste.io.lazy_choices import LazyChoices

aligner_choices = LazyChoices(
    "aligner",
    {
        "pocketsphinx": "espnet2_taste.asr.pocketsphinx_aligner.PocketsphinxAligner",
        "ctm": "espnet2_taste.asr.ctm_aligner.CtmAligner",
        "espnet": "espnet2_taste.asr.espnet_aligner.EspnetAligner",
    },
)
