"""The built-in generators: tasks for any Format, a user's own rows, a mix, and open requests.

fmtharness_generators() -> Tasks, Rows, Mix, OpenRequests
"""

from __future__ import annotations

from collections.abc import Sequence

from fmtharness.generators.jsonl import Rows
from fmtharness.generators.mix import Mix
from fmtharness.generators.open_requests import OpenRequests
from fmtharness.generators.tasks import Tasks
from fmtharness.harness import hookimpl
from fmtharness.harness.contracts import Generator


@hookimpl
def fmtharness_generators() -> Sequence[type[Generator]]:
    """Task families in any format, rows of files, a mix, and requests to evaluate on."""
    return [Tasks, Rows, Mix, OpenRequests]
