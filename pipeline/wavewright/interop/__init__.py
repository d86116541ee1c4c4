"""Adapters of vocoders for other toolkits, one file per client."""
