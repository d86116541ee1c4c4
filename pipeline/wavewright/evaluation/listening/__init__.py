"""Listening tests: design, page for listeners, and ratings from their answers."""
