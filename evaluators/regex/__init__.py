"""A text that matches a pattern."""
