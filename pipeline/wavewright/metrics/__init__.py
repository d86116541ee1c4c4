"""Objective metrics, one per file; plugins join through the `wavewright.metrics` entry points."""
