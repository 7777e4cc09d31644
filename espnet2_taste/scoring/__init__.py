"""Metrics -> rows, tables, results files and comparisons of systems."""
