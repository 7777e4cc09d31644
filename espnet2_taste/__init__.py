"""TASTE (Text-Aligned Speech Tokenization and Embedding) for ESPnet."""

__version__ = "0.1.0"
