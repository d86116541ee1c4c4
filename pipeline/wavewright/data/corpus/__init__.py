"""Corpora: download, readers, checks, splits and the report of a prepared corpus."""
