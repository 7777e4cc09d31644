"""Packing whole systems, and converting them from and to published weights."""
