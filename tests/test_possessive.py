"""Every format's labels are the same by Python's `re` as by `regex`, which older Pythons take."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

import fmtharness.evaluators
from fmtharness.evaluators.possessive import re
from fmtharness.harness.formats import for_value
from fmtharness.harness.plugins import component, registry
from fmtharness.harness.testing.sample_values import plain_values

WITH_REGEX = """
import sys, types
import regex
stand_in = types.ModuleType("fmtharness.evaluators.possessive")
stand_in.re = regex
sys.modules[stand_in.__name__] = stand_in
from tests.test_possessive import found_labels
print(found_labels())
"""


def test_a_possessive_group_neither_goes_back_nor_forgets_where_it_began() -> None:
    found = [re.match(pattern, "aca") for pattern in ("(?:ab?c)?+", "(?>(?:ab?c)?)", "(?:ab?c)*+")]
    assert [each and each[0] for each in found] == ["ac", "ac", "ac"]


def test_no_evaluator_takes_re_from_elsewhere() -> None:
    (folder,) = fmtharness.evaluators.__path__
    files = sorted(Path(folder).rglob("*.py"))
    assert len(files) > 50
    for path in files:
        for node in ast.walk(ast.parse(path.read_bytes())):
            names = [each.name for each in node.names] if isinstance(node, ast.Import) else []
            names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
            assert "re" not in names or path.name == "possessive.py", path


def found_labels() -> str:
    """Per format and corruption, the labels and places found in broken texts, as JSON."""
    found = {}
    for name in sorted(registry()["formats"]):
        base = component("formats", name)()
        for kind in ("", *sorted(base.corruptions())):
            rows = []
            for value in plain_values(base)[::3]:
                judge = for_value(base, value)
                text = judge.render(value)
                corrupt = judge.corruptions().get(kind)
                broken = corrupt(text, Random(len(text))) if corrupt else text
                problems = judge.parse(broken or text).problems
                rows.append([(each.label, each.start, each.end) for each in problems])
            found[f"{name} {kind}"] = rows
    return json.dumps(found)


def test_labels_are_the_same_by_either_library() -> None:
    pytest.importorskip("regex")
    call = [sys.executable, "-c", WITH_REGEX]
    found = subprocess.run(call, capture_output=True, text=True, check=True)
    own, other = json.loads(found_labels()), json.loads(found.stdout)
    assert len(own) > 100
    assert own == other
