"""Attention inside each row of a packed pass."""
