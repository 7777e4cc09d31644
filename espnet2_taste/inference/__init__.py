"""Trained models as plain Python classes; each is imported when first asked for."""

from importlib import import_module

_MODULES = {
    "SpeechToTaste": "speech_to_taste",
    "TasteToSpeech": "taste_to_speech",
    "TaslmGenerate": "taslm_generate",
    "TaslmLikelihood": "taslm_likelihood",
    "TasteEdit": "edit",
    "Pipeline": "pipeline",
    "load_part": "parts",
}
__all__ = list(_MODULES)


def __getattr__(name: str):
    if name not in _MODULES:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
