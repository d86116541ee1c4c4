"""Exports: ONNX graphs, and the files that sherpa-onnx and ParallelWaveGAN read."""
