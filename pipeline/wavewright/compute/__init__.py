"""Devices, joblib and dask engines, and parallel maps over shards."""
