"""Layers and losses that several systems share."""
