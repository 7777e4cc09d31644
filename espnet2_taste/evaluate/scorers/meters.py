"""Meters by name; imported when chosen."""

from espnet2_taste.io.lazy_choices import LazyChoices

meter_choices = LazyChoices(
    "meter",
    {
        "frames": "espnet2_taste.evaluate.scorers.frames.FrameMeter",
        "utmos": "espnet2_taste.evaluate.scorers.utmos.UtmosMeter",
        "dnsmos": "espnet2_taste.evaluate.scorers.dnsmos.DnsmosMeter",
        "speaker": "espnet2_taste.evaluate.scorers.speaker.SpeakerMeter",
        "versa": "espnet2_taste.evaluate.scorers.versa.VersaMeter",
    },
)
