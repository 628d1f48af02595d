"""Fused kernels: Triton on a GPU, C on a CPU."""
