"""Verbalization of written text: numbers, abbreviations, symbols, sentences."""
