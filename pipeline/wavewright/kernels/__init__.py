"""Sample-by-sample generation: the loop around a network, and kernels that run it fast."""
