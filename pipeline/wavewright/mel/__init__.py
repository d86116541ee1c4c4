"""Mel spectrograms: the specification, its presets, the transform, files and pipes."""
