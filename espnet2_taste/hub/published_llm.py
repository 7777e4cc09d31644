"""CosyVoice 2's text-to-unit LM, ``llm.pt``."""

from espnet2_taste.hub.published_names import Table

LLM: Table = (
    ("llm.model.", "llm.lm."),
    ("llm_embedding.", "llm_embedding."),
    ("llm_decoder.", "llm_decoder."),
    ("speech_embedding.", "speech_embedding."),
)
