"""benchmarks/yaml_readers.py, with the readers that are installed."""

from __future__ import annotations

import importlib
import os
import shutil
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml

from fmtharness.evaluators.yaml.format import YamlFormat
from tests.fakes import ROOT
from tests.test_benchmarks import script


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("yaml_readers")


def test_what_passes_is_what_pyyaml_and_libyaml_read(command: Any) -> None:
    judge = YamlFormat(root="any", comments=True)
    passed = 0
    for text in islice(command.texts(Random(1), []), 1500):
        if (parsed := judge.parse(text)).ok:
            passed += 1
            assert command.same(parsed.value, yaml.load(text, yaml.SafeLoader), False), text
            assert command.same(parsed.value, yaml.load(text, yaml.CSafeLoader), False), text
    assert passed > 300


def test_types_are_compared_and_numbers_of_javascript_are_doubles(command: Any) -> None:
    same = command.same
    assert same({"a": [1, None]}, {"a": [1, None]}, False)
    assert not same({"a": 1}, {"a": 1.0}, False)
    assert same({"a": 2**60 + 1}, {"a": float(2**60)}, True)
    assert not same([True], [1], True) and not same(["1"], [1], True) and not same([], {}, True)
    assert not same([0], {0: 0}, False)


def test_the_suite_s_signs_are_characters(command: Any, tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "A.yaml").write_text("- yaml: 'a:␣b——»↵'\n- tags: x\n", encoding="utf-8")
    assert importlib.import_module("yaml_texts").suite_of(str(tmp_path)) == ["a: b\t"]


def test_python_s_three_parsers_read_alike() -> None:
    pytest.importorskip("ruamel.yaml", reason="ruamel.yaml is not installed")
    ran = script("yaml_readers", "--texts", "500", "--processes", "1")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "ruamel.yaml" in ran.stdout and "js-yaml" not in ran.stdout


def test_six_parsers_read_alike() -> None:
    pytest.importorskip("ruamel.yaml", reason="ruamel.yaml is not installed")
    folder = os.environ.get("YAML_NODE", "")
    if not (folder and shutil.which("node")):
        pytest.skip("YAML_NODE names no folder with npm's js-yaml and yaml")
    ran = script("yaml_readers", "--node", folder, "--texts", "500", "--processes", "1")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "yaml 1.1" in ran.stdout
