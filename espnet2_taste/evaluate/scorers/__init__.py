"""Recordings -> numbers. A scorer owns its metrics: adding one touches one file.

``--meters`` takes names from here, or ``package.module.Class`` of your own.
"""

from espnet2_taste.io.lazy_choices import LazyChoices

_HERE = __name__

meter_choices = LazyChoices(
    "meter",
    {
        "frames": f"{_HERE}.frames.FrameScorer",
        "utmos": f"{_HERE}.utmos.UtmosScorer",
        "dnsmos": f"{_HERE}.dnsmos.DnsmosScorer",
        "speaker": f"{_HERE}.speaker.SpeakerScorer",
        "versa": f"{_HERE}.versa.VersaScorer",
    },
)
