"""`re`, in which possessive groups hold: the library `regex` where Python's own gets them wrong.

    from fmtharness.evaluators.possessive import re

Before 3.11.5 Python's `re` goes back into such a group after all, or forgets where it began:
`re.match("(?:ab?c)?+", "aca")` is "aca" there. Source: https://github.com/python/cpython/issues/106052
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING or sys.version_info >= (3, 11, 5):
    import re
else:
    import regex as re

__all__ = ["re"]
