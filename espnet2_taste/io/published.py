"""Published models by their hub ids, where bin.download put them."""

import os
import re
from pathlib import Path

#: Environment variable: the folder that bin.download fills.
MODELS = "TASTE_MODELS"


def models_dir() -> Path | None:
    """``$TASTE_MODELS``; None where it is not set, or empty."""
    return Path(os.environ[MODELS]) if os.environ.get(MODELS) else None


def published(name: str) -> str:
    """``user/name`` of a hub as ``$TASTE_MODELS/name``, if that folder is there.

    Anything else, and what exists here under the name itself, is returned as it is.
    """
    models, hub_id = models_dir(), r"\w[\w.-]*/\w[\w.-]*"
    if models and re.fullmatch(hub_id, name) and not Path(name).exists():
        folder = models / name.partition("/")[2]
        if folder.is_dir():
            return str(folder)
    return name
