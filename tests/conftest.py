"""Makes the fixtures of `tests.fakes` known to every test."""

from tests.fakes import distributions, fakes

__all__ = ["distributions", "fakes"]
