"""Whole systems: packed, uploaded, converted from and to published ones."""
