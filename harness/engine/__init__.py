"""Everything that touches torch: models, encoding, generation, fused layers, kernels."""
