"""The format keeps what every format promises, and names what models get wrong."""

import json
import subprocess
import sysconfig
from configparser import ConfigParser
from io import StringIO
from pathlib import Path

import pytest
from fmtharness_ini import Ini
from hypothesis import given, settings
from hypothesis import strategies as st

from fmtharness.harness.testing import check_format

DATA = Path(__file__).parent.parent / "data.toml"
LINES = (
    *("a = 1", "b=%(a)s ; c", "a b = [record]", "c =", "  d = 4", "\te", "", " "),
    *("f = 5\r", "g: 6", "h = 7\ri = 8", "; j = 9", "#k = 10", "[l]", "= 11", "m"),
)
COMMAND = Path(sysconfig.get_path("scripts")) / "fmtharness"


def test_it_keeps_the_promises_of_a_format() -> None:
    check_format(Ini())


@settings(max_examples=500)
@given(st.lists(st.sampled_from(LINES), max_size=4))
def test_what_passes_is_read_by_configparser_alike(lines: list[str]) -> None:
    text = "\n".join(["[record]", *lines])
    parsed = Ini().parse(text)
    if parsed.ok:
        reader = ConfigParser(delimiters="=", interpolation=None)
        reader.optionxform = str  # type: ignore[assignment, method-assign]
        reader.read_file(StringIO(text, newline=None))  # with the line breaks that a file has
        assert {name: dict(reader[name]) for name in reader.sections()} == {"record": parsed.value}


def test_a_section_is_a_record() -> None:
    parsed = Ini().parse("[record]\ncity = Oslo\n\nunit price = 3.50\nnote=a = b # c\n")
    assert parsed.value == {"city": "Oslo", "unit price": "3.50", "note": "a = b # c"}


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("city = Oslo", ["no_section"]),
        ("[other]\ncity = Oslo", ["wrong_section"]),
        ("[record]\ncity = Oslo\n[record]\nn = 4", ["wrong_section"]),
        ("[record]\ncity: Oslo\nn = 4", ["no_pair"]),
        ("[record]\ncity = Oslo\ncity = Rome", ["duplicate_key"]),
        ("[record]\ncity = Oslo\n  n = 4", ["indented"]),
        ("[record]\n; a note\ncity = Oslo\n= 4\nn = 4", ["comment", "no_pair"]),
        ('{"city": "Oslo"}', ["no_value"]),
        ("Sure:\n```ini\n[record]\ncity = Oslo\n```", ["text_before", "code_fence", "code_fence"]),
    ],
)
def test_labels(text: str, labels: list[str]) -> None:
    assert [problem.label for problem in Ini().parse(text).problems] == labels


@pytest.mark.parametrize("value", [{"n": 4}, {"": "a"}, {"a": "b\nc"}, ["Oslo"], None])
def test_what_it_does_not_hold_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="INI does not hold"):
        Ini().render(value)


def fmtharness(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([COMMAND, *arguments], capture_output=True, text=True, check=False)


def test_check() -> None:
    assert fmtharness("check", "--format", "ini", "--text", "[record]\nn = 4").returncode == 0
    failed = fmtharness("check", "--format", "ini", "--text", "[record]\nn: 4")
    assert failed.returncode == 1
    assert "ini_strict: failed (no_pair)" in failed.stdout


def test_generate(tmp_path: Path) -> None:
    done = fmtharness("generate", str(DATA), "--to", str(tmp_path))
    assert done.returncode == 0, done.stderr
    lines = (tmp_path / "train.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 400
    for row in map(json.loads, lines):
        assert row["format"] == "ini"
        parsed = Ini().parse(row["completion"])
        # Where the content is the model's own, the target is one of many, and no value is given.
        assert parsed.ok and parsed.value == row.get("value", parsed.value)
