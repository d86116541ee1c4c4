"""`wavewright doctor`: whose mel is this, does it fit, and what mends it."""
