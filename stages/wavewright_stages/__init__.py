"""Stages of a recipe, from a corpus to a report: one file each."""
