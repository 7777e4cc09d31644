"""Speech and transcript -> TASTE codes: frontend, encoder, aggregator, quantizer."""
