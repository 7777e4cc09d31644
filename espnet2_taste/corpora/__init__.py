"""Speech corpora as they are published, by the layout of their files."""

from espnet2_taste.io.lazy_choices import LazyChoices

_HERE = __name__

layout_choices = LazyChoices(
    "layout of a corpus",
    {
        "librispeech": f"{_HERE}.libri.LibriSpeech",
        "libritts": f"{_HERE}.libri.LibriTTS",
        "libritts_r": f"{_HERE}.libri.LibriTTSR",
        "ljspeech": f"{_HERE}.ljspeech.LJSpeech",
        "vctk": f"{_HERE}.vctk.VCTK",
        "emilia": f"{_HERE}.emilia.Emilia",
        "fsdd": f"{_HERE}.fsdd.FSDD",
        "taste_dump": f"{_HERE}.taste_dump.TasteDump",
        "huggingface": f"{_HERE}.huggingface.HuggingFace",
        "folder": f"{_HERE}.folder.Folder",
        "lhotse": f"{_HERE}.lhotse.Lhotse",
        "dialogues": f"{_HERE}.dialogues.Dialogues",
    },
)
