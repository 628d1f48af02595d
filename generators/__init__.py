"""The built-in generators: tasks for any Format, own rows, own answers, a mix, open requests.

fmtharness_generators() -> Tasks, Rows, SelfAnswers, Mix, OpenRequests
"""

from __future__ import annotations

from collections.abc import Sequence

from fmtharness.generators.jsonl import Rows
from fmtharness.generators.mix import Mix
from fmtharness.generators.open_requests import OpenRequests
from fmtharness.generators.self_answers import SelfAnswers
from fmtharness.generators.tasks import Tasks
from fmtharness.harness import hookimpl
from fmtharness.harness.contracts import Generator


@hookimpl
def fmtharness_generators() -> Sequence[type[Generator]]:
    """Task families in any format, rows of files, a model's own answers, a mix, open requests."""
    return [Tasks, Rows, SelfAnswers, Mix, OpenRequests]
