"""benchmarks/toml_suite.py and xml_suite.py, on suites small enough for a test."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.test_benchmarks import script

TOML = {
    "valid/array/a.toml": "a = [1, 2.5]  # c",
    "valid/spec/day.toml": "a = 2024-05-01",
    "valid/empty.toml": "",
    "invalid/array/b.toml": "a = [1,,2]",
}
VALUE = {"a": [{"type": "integer", "value": "1"}, {"type": "float", "value": "2.5"}]}
DESCRIBED = """<TESTCASES>
<TEST TYPE="valid" ID="1" URI="a.xml"/><TEST TYPE='not-wf' ID='2' URI='b.xml'/>
<TEST TYPE="valid" ID="3" URI="c.xml"/><TEST TYPE="valid" ID="4" URI="d.xml" VERSION="1.1"/>
<TEST TYPE="valid" ID="5" URI="e.xml"/>
</TESTCASES>"""
XML = {
    "x/a.xml": "<a xml:lang='en'><b>c</b></a>",
    "x/b.xml": "<a><b></a>",
    "x/c.xml": "<!DOCTYPE a [<!ENTITY e '<b>]></b>'>]><a>&e;</a>",
    "x/d.xml": "not of XML 1.0",
    "x/e.xml": "<\u2c00/>",
}


def written(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    tests = written(tmp_path / "tests", TOML)
    (tests / "files-toml-1.0.0").write_text("\n".join([*TOML, "valid/array/a.json"]))
    (tests / "valid/array/a.json").write_text(json.dumps(VALUE))
    return tmp_path


@pytest.fixture
def xml(tmp_path: Path) -> Path:
    return written(tmp_path, {**XML, "x/x.xml": DESCRIBED})


def counts(printed: str) -> list[str]:
    """The numbers of the line for all files."""
    (line,) = (line for line in printed.splitlines() if line.startswith("all"))
    return [word for word in line.split() if word.isdigit()]


def test_toml_is_accepted_rejected_or_refused_by_our_rule(toml: Path) -> None:
    done = script("toml_suite", toml)
    assert done.returncode == 0, done.stderr
    assert counts(done.stdout) == ["4", "1", "1", "2", "0"]
    assert "  date_or_time: 1" in done.stdout


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("valid/array/a.toml", "a = [1, 2]"),
        ("valid/array/a.toml", "a = [1"),
        ("invalid/array/b.toml", "a = [1]"),
    ],
)
def test_a_wrong_verdict_on_toml_is_told(toml: Path, name: str, text: str) -> None:
    (toml / "tests" / name).write_text(text)
    done = script("toml_suite", toml)
    assert done.returncode == 1
    assert f"wrong: {name}" in done.stdout


def test_xml_is_accepted_rejected_or_refused_by_our_rule(xml: Path) -> None:
    done = script("xml_suite", xml)
    assert done.returncode == 0, done.stdout + done.stderr
    assert counts(done.stdout) == ["4", "1", "1", "2", "0"]
    assert "  bad_name: 1" in done.stdout


@pytest.mark.parametrize(("name", "text"), [("a", "<a"), ("b", "<a/>"), ("b", "<a>x</a>")])
def test_a_wrong_verdict_on_xml_is_told(xml: Path, name: str, text: str) -> None:
    (xml / f"x/{name}.xml").write_text(text)
    done = script("xml_suite", xml)
    assert done.returncode == 1
    assert f"wrong: x/{name}.xml" in done.stdout


@pytest.mark.parametrize("name", ["toml_suite", "xml_suite"])
def test_a_folder_without_a_suite_is_told(tmp_path: Path, name: str) -> None:
    done = script(name, tmp_path)
    assert done.returncode == 2
    assert str(tmp_path) in done.stderr
