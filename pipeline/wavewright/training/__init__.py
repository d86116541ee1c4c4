"""Training: the loop, its state, crops, averaging, precision and restarts."""
