"""Checkpoints, progress and interrupts."""
