"""Makes the fixtures of `tests.fakes` known to every test, and time no reason to fail.

With FMTHARNESS_EXAMPLES=5000 in the environment each property test runs on that many examples, and
the summary says how many really ran; without it, on hypothesis's 100 or as many as it asks for.
"""

from __future__ import annotations

import gc
import os
from collections import Counter
from collections.abc import Callable, Sequence
from functools import wraps

import pytest
from hypothesis import HealthCheck, is_hypothesis_test, settings

import fmtharness.harness.cli  # noqa: F401 - sets how torch waits, before any test imports torch
from tests.fakes import distributions, fakes

settings.register_profile("steady", deadline=None, derandomize=True)
settings.register_profile(
    "thorough",
    deadline=None,
    max_examples=int(os.environ.get("FMTHARNESS_EXAMPLES", "100")),
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
THOROUGH = "FMTHARNESS_EXAMPLES" in os.environ
settings.load_profile("thorough" if THOROUGH else "steady")

ran: Counter[str] = Counter()


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    """Count the examples of each property test, without those that it turns down."""
    tests = {item.obj for item in items if isinstance(item, pytest.Function)}
    for test in filter(is_hypothesis_test, tests) if THOROUGH else ():
        handle = test.hypothesis
        handle.inner_test = _counted(handle.inner_test, f"{test.__module__}.{test.__name__}")


@pytest.fixture(scope="module", autouse=True)
def old_objects() -> None:
    """Let no collection look again at what the modules before left in memory.

    A run collects garbage after each stage. Among the objects of torch, transformers and all tests
    that took half a second each time, most of what a test took.
    """
    gc.collect()
    gc.freeze()


def _counted(inner: Callable[..., None], name: str) -> Callable[..., None]:
    @wraps(inner)
    def run(*arguments: object, **named: object) -> None:
        inner(*arguments, **named)
        ran[name] += 1

    return run


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many examples passed, where that was asked for."""
    if not THOROUGH:
        return
    for name, count in ran.most_common():
        terminalreporter.write_line(f"{count:>9,}  {name}")
    terminalreporter.write_line(f"{ran.total():>9,}  examples passed in {len(ran)} property tests")


__all__ = ["distributions", "fakes"]
