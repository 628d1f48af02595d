"""Evaluators of answers as such: whether one loops, is in a format unasked, meets its request."""
