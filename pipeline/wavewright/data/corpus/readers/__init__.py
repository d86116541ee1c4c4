"""Readers of the layouts in which speech corpora come; one file each."""
