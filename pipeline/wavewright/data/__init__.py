"""Prepared data: the manifest, shards, mel statistics and corpora."""
