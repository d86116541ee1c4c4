"""One file per vocoder system."""
