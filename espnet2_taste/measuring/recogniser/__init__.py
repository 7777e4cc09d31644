"""Recognisers by name; imported when chosen."""

from espnet2_taste.lazy_choices import LazyChoices
from espnet2_taste.measuring.recogniser.abs_recogniser import AbsRecogniser

_HERE = __name__

recogniser_choices = LazyChoices(
    "recogniser",
    {
        "pocketsphinx": f"{_HERE}.pocketsphinx.PocketsphinxRecogniser",
        "whisper": f"{_HERE}.whisper.WhisperRecogniser",
        "openai_whisper": f"{_HERE}.openai_whisper.OpenaiWhisperRecogniser",
        "espnet": f"{_HERE}.espnet.EspnetRecogniser",
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
    try:
        return recogniser(**conf)
    except TypeError as error:
        raise ValueError(f"recogniser {name}: {error}") from None
