"""Speaker encoders and their choice by name."""

from espnet2_taste.io.lazy_choices import LazyChoices

speaker_choices = LazyChoices(
    "speaker encoder",
    {
        "xvector": "espnet2_taste.speaker.xvector.XVectorSpeakerEncoder",
        "campplus": "espnet2_taste.speaker.campplus.CampplusSpeakerEncoder",
        "espnet_spk": "espnet2_taste.speaker.espnet_spk.EspnetSpkSpeakerEncoder",
    },
)


def load_speaker_encoder(name: str, path: str, **kwargs):
    """The speaker encoder called ``name``, from the folder or file at ``path``.

    ``kwargs`` are the further options of its ``from_pretrained``.
    """
    return speaker_choices.load(name, path, **kwargs)
