"""The result of one item of a gate."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec


class Outcome(msgspec.Struct, frozen=True):
    """The result of one item of a gate."""

    failure: str = ""
    """The failure message; empty if the item passed."""
    properties: Mapping[str, float] = {}
    """The numbers behind the result, for the JUnit report."""
