"""The `cosyvoice` vocoder: CosyVoice-1's flow matching and HiFT generator."""
