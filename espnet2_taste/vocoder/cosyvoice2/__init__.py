"""The `cosyvoice2` vocoder: CosyVoice 2's causal flow matching, HiFT at 24 kHz."""
