"""Rows that a user brings: files of many forms, read as Examples."""

from fmtharness.harness.dataset.forms import FORMS
from fmtharness.harness.dataset.reader import Row, Source, examples, form_of, rows

__all__ = ["FORMS", "Row", "Source", "examples", "form_of", "rows"]
