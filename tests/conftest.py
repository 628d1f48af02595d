"""Makes the fixtures of `tests.fakes` known to every test."""

import harness.cli  # noqa: F401 - sets how torch waits, before any test imports torch
from tests.fakes import distributions, fakes

__all__ = ["distributions", "fakes"]
