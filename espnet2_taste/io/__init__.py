"""Files: tables, audio, checkpoints, written atomically."""
