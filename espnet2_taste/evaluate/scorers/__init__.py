"""Recordings -> numbers: words, word times, pitch and what meters give."""
