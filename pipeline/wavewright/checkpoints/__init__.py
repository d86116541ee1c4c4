"""Checkpoints: writing, verifying and loading them, and safe reading of pickles."""
