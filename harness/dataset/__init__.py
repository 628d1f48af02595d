"""Rows that a user brings: files of many forms, read as Examples."""
