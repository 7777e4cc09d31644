"""Recognisers by name; imported when chosen."""

from espnet2_taste.asr.abs_recogniser import AbsRecogniser
from espnet2_taste.io.class_conf import check_conf
from espnet2_taste.io.lazy_choices import LazyChoices

_ROOM = "espnet2_taste.asr"

recogniser_choices = LazyChoices(
    "recogniser",
    {
        "pocketsphinx": f"{_ROOM}.pocketsphinx_recogniser.PocketsphinxRecogniser",
        "whisper": f"{_ROOM}.whisper_recogniser.WhisperRecogniser",
        "openai_whisper": f"{_ROOM}.openai_whisper_recogniser.OpenaiWhisperRecogniser",
        "espnet": f"{_ROOM}.espnet_recogniser.EspnetRecogniser",
    },
)


def load_recogniser(
    name: str, model: str | None = None, device: str = "cpu", **conf
) -> AbsRecogniser:
    """The recogniser called ``name``.

    Args:
        name: of ``recogniser_choices``.
        model: its weights: a path, or a name that it downloads.
        device: torch device, for those that use one.
        conf: other constructor arguments.

    Raises:
        Unavailable: a package or weights are not on this machine.
        ValueError: arguments it does not take.
    """
    recogniser = recogniser_choices.get_class(name)
    if model is not None:
        conf["model"] = model
    if recogniser.on_device:
        conf["device"] = device
    check_conf(f"recogniser {name}", recogniser, conf)
    return recogniser(**conf)
