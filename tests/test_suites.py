"""The commands for public suites of YAML and tables, on suites small enough for a test."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.test_benchmarks import script

SPEC = """
```````````````````````````````` example table
| a |
| --- |
| *x* |
.
<table><thead><tr><th>a</th></tr></thead><tbody><tr><td><em>x</em></td></tr></tbody></table>
````````````````````````````````
"""


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def totals(text: str) -> list[str]:
    """Cases, alike, refused, rejected, unpaired and wrong of all groups together."""
    return next(line.split()[1:] for line in text.splitlines() if line.startswith("all "))


@pytest.mark.parametrize(("value", "code"), [('{"a": 1}', 0), ('{"a": "1"}', 1)])
def test_a_yaml_text_is_right_with_the_suite_s_value_only(
    tmp_path: Path, value: str, code: int
) -> None:
    files = {"AAAA/in.yaml": "a: 1\n", "AAAA/in.json": value, "BBBB/00/in.yaml": "a: &x 1\n"}
    write(tmp_path, files | {"CCCC/in.yaml": "a: [", "CCCC/error": ""})
    done = script("yaml_suite", tmp_path)
    assert done.returncode == code, done.stderr
    assert totals(done.stdout) == ["3", str(1 - code), "1", "1", "0", str(code)]


@pytest.mark.parametrize(("cell", "code"), [("x", 0), ("y", 1)])
def test_tables_are_right_with_the_suite_s_cells_only(tmp_path: Path, cell: str, code: int) -> None:
    write(tmp_path, {"csvs/a.csv": "a,b\nx,1\n", "csvs/bad-b.csv": 'a,b\n"x'})
    write(tmp_path, {"json/a.json": f'[{{"a": "{cell}", "b": "1"}}]', "spec.txt": SPEC})
    done = script("table_suite", tmp_path, tmp_path / "spec.txt")
    assert done.returncode == code, done.stderr
    assert totals(done.stdout) == ["3", str(2 - code), "0", "1", "0", str(code)]


@pytest.mark.parametrize("name", ["yaml_suite", "table_suite"])
def test_a_folder_without_cases_is_told(tmp_path: Path, name: str) -> None:
    done = script(name, tmp_path)
    assert done.returncode == 2
    assert str(tmp_path) in done.stderr


def test_readers_read_accepted_tables_alike() -> None:
    done = script("table_readers", "--csv", "300", "--markdown", "200")
    assert done.returncode == 0, done.stdout
    assert "markdown_it" in done.stdout
    assert " 0 accepted texts" not in done.stdout
