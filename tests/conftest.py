"""Makes the fixtures of `tests.fakes` known to every test, and time no reason to fail."""

from hypothesis import settings

import harness.cli  # noqa: F401 - sets how torch waits, before any test imports torch
from tests.fakes import distributions, fakes

settings.register_profile("steady", settings(), deadline=None)
settings.load_profile("steady")

__all__ = ["distributions", "fakes"]
