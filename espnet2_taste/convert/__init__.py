"""Published TASTE checkpoints <-> models of this package."""
