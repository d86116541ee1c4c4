"""Evaluation: pairing, measuring, statistics, reports and listening tests."""
