"""Acoustic models: from text to mels, free-running or along a recording (GTA mels)."""
