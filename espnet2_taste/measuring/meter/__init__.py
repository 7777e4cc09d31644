"""Meters by name; imported when chosen."""

from espnet2_taste.lazy_choices import LazyChoices

_HERE = __name__

meter_choices = LazyChoices(
    "meter",
    {
        "frames": f"{_HERE}.frames.FrameMeter",
        "utmos": f"{_HERE}.utmos.UtmosMeter",
        "dnsmos": f"{_HERE}.dnsmos.DnsmosMeter",
        "speaker": f"{_HERE}.speaker.SpeakerMeter",
        "versa": f"{_HERE}.versa.VersaMeter",
    },
)
