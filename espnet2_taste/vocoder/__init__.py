"""Unit vocoders and their choice by name."""

from espnet2_taste.io.lazy_choices import LazyChoices

vocoder_choices = LazyChoices(
    "vocoder",
    {
        "world_vq": "espnet2_taste.vocoder.world_vq.WorldVQVocoder",
        "griffin_lim": "espnet2_taste.vocoder.griffin_lim.GriffinLimVocoder",
        "cosyvoice": "espnet2_taste.vocoder.cosyvoice.vocoder.CosyVoiceVocoder",
        "cosyvoice2": "espnet2_taste.vocoder.cosyvoice2.vocoder.CosyVoice2Vocoder",
    },
)


def load_vocoder(name: str, path: str, **kwargs):
    """The vocoder called ``name``, from the folder or file at ``path``.

    ``kwargs`` are the further options of its ``from_pretrained``.
    """
    return vocoder_choices.load(name, path, **kwargs)
