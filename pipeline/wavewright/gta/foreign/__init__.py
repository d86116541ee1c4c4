"""Mels that other toolkits' acoustic models made along the recordings: found, matched, read."""
