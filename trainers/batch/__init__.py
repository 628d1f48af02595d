"""Rows into batches, and batches into packed passes."""
