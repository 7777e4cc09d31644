"""Transcripts: normalised, split into words and tokens."""
