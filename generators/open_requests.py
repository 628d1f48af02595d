"""The generator `open_requests`: the shipped requests for JSON only, to evaluate on.

    next(OpenRequests(length="short").generate("dev", 1, Random(7)))
        ->  Example(id="open-short-001", prompt=(Message("user", "Write a small ..."),),
                    format="json", tags={"split": "dev", "length": "short", ...})

They leave the content to the model, so that nothing can be copied from the prompt, and have no
target. Nothing trains on them.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from random import Random
from typing import ClassVar, Literal

from fmtharness.harness.contracts import Options, Split
from fmtharness.harness.errors import UserError
from fmtharness.harness.files import file_digest, shipped
from fmtharness.harness.records import Example, read_records

REQUESTS = "data/open/requests.jsonl"


class OpenRequests(Options):
    """The shipped open requests for JSON, dev and eval; only for `[eval.sets.NAME]`."""

    name: ClassVar[str] = "open_requests"
    sized: ClassVar[bool] = True
    targets: ClassVar[bool] = False
    formats: ClassVar[tuple[str, ...]] = ("json",)
    evaluators: ClassVar[tuple[str, ...]] = ("open_request", "loops")

    length: Literal["any", "short", "long"] = "any"
    """`short` ones ask for a thing in a line or two, `long` ones describe a document."""

    @property
    def inputs(self) -> Mapping[str, str]:
        """The hash of the requests."""
        return {REQUESTS: file_digest(shipped(REQUESTS))}

    def generate(self, split: Split, n: int, rng: Random) -> Iterator[Example]:
        """Yield the first n requests of a split. Raises UserError for `train`."""
        if split == "train":
            raise UserError(
                "generator 'open_requests' has no train Examples, since its requests are there to "
                "evaluate on; use it in [eval.sets.NAME]"
            )
        rows = read_records(shipped(REQUESTS), Example)
        yield from itertools.islice((row for row in rows if self._has(row, split)), n)

    def _has(self, row: Example, split: Split) -> bool:
        return row.tags["split"] == split and self.length in ("any", row.tags["length"])
