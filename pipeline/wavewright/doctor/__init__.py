"""`wavewright doctor`: the convention of a mel, and if it fits a recording or a checkpoint."""
