"""Recordings -> numbers -> tables."""
