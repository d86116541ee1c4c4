"""Vocoders in other programs: one file per client, which is imported inside functions only."""
