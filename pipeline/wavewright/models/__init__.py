"""Contracts of models: configuration, batches, vocoders, streaming and acoustic models."""
