"""What writes words down (recognisers) and times them (aligners)."""
