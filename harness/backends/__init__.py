"""The built-in completion backends."""

from collections.abc import Sequence

from harness import hookimpl
from harness.backends.transformers import Transformers
from harness.contracts import Backend


@hookimpl
def fmtharness_backends() -> Sequence[type[Backend]]:
    return [Transformers]
