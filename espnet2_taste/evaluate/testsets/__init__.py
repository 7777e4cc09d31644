"""Public test sets of spoken language models."""
