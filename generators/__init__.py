"""The built-in generator: task families, temptations and bad outputs, for any Format.

fmtharness_generators() -> Tasks
"""

from __future__ import annotations

from collections.abc import Sequence

from generators.tasks import Tasks
from harness import hookimpl
from harness.contracts import Generator


@hookimpl
def fmtharness_generators() -> Sequence[type[Generator]]:
    """Task families in any format."""
    return [Tasks]
