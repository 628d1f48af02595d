"""The built-in generators: tasks for any Format, a user's own rows, and a mix of several.

fmtharness_generators() -> Tasks, Rows, Mix
"""

from __future__ import annotations

from collections.abc import Sequence

from fmtharness.generators.jsonl import Rows
from fmtharness.generators.mix import Mix
from fmtharness.generators.tasks import Tasks
from fmtharness.harness import hookimpl
from fmtharness.harness.contracts import Generator


@hookimpl
def fmtharness_generators() -> Sequence[type[Generator]]:
    """Task families in any format, rows of files, and a mix."""
    return [Tasks, Rows, Mix]
