"""The built-in generator: task families, temptations and bad outputs, for any Format.

fmtharness_generators() -> Tasks
"""

from __future__ import annotations

from collections.abc import Sequence

from fmtharness.generators.tasks import Tasks
from fmtharness.harness import hookimpl
from fmtharness.harness.contracts import Generator


@hookimpl
def fmtharness_generators() -> Sequence[type[Generator]]:
    """Task families in any format."""
    return [Tasks]
