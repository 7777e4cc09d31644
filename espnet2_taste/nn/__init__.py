"""Layers and index arithmetic that more than one model has."""
