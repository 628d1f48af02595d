"""Every kind of file that rows come in, its encodings, and what is said of one that is broken."""

from __future__ import annotations

import builtins
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fmtharness.harness.dataset import Source, examples, rows
from fmtharness.harness.dataset.files import raw_rows
from fmtharness.harness.errors import DataError, UserError
from fmtharness.harness.run.sources import known_examples
from tests.fakes import ROOT

ROWS = [
    {"prompt": "Wo ist Zoë?", "completion": '{"city": "Zürich"}'},
    {"prompt": 'Say "a, b"\nin JSON.', "completion": '{"a": "b"}'},
]
LINES = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS)
TABLE = (
    "prompt,completion\n"
    'Wo ist Zoë?,"{""city"": ""Zürich""}"\n'
    '"Say ""a, b""\nin JSON.","{""a"": ""b""}"\n'
)


def parquet(path: Path, table: list[Any]) -> None:
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(table), path)


def pairs(name: Path | str) -> list[tuple[str, str | None]]:
    return [(row.prompt[-1].content, row.completion) for row in examples(Source(str(name)))]


WANTED = [(row["prompt"], row["completion"]) for row in ROWS]


@pytest.mark.parametrize("crlf", [False, True])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("rows.jsonl", LINES),
        ("rows.ndjson", LINES),
        ("rows.txt", LINES),
        ("rows.json", LINES),
        ("rows.json", json.dumps(ROWS, ensure_ascii=False, indent=1)),
        ("rows.jsonl", json.dumps(ROWS)),
        ("rows.json", json.dumps({"version": 1, "data": ROWS})),
        ("rows.json", json.dumps({"version": 1, "data": ROWS}, indent=1)),
        ("rows.yaml", json.dumps(ROWS)),
    ],
)
def test_files_of_json(name: str, text: str, mark: str, crlf: bool, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes((mark + (text.replace("\n", "\r\n") if crlf else text)).encode())
    assert pairs(path) == WANTED


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize(
    ("name", "delimiter"), [("a.csv", ","), ("a.tsv", "\t"), ("a.csv", ";"), ("a.CSV", ",")]
)
def test_tables(name: str, delimiter: str, mark: str, tmp_path: Path) -> None:
    path = tmp_path / name
    text = TABLE.replace("prompt,", f"prompt{delimiter}").replace('?,"', f'?{delimiter}"')
    text = text.replace('.","', f'."{delimiter}"')
    path.write_text(mark + text, encoding="utf-8", newline="")
    assert pairs(path) == WANTED
    assert [row.line for row in rows(Source(str(path)))] == [2, 3]
    path.write_bytes((mark + text).replace("\n", "\r\n").encode())
    assert [target for _, target in pairs(path)] == [target for _, target in WANTED]


def test_an_empty_cell_is_no_answer(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("id,prompt,completion\na,Hi,\n\nb,Ho,{}\n")
    assert pairs(path) == [("Hi", None), ("Ho", "{}")]


def test_one_object_is_one_row(tmp_path: Path) -> None:
    path = tmp_path / "row.json"
    path.write_text(json.dumps({"messages": [{"role": "user", "content": "Hi"}]}, indent=2))
    assert pairs(path) == [("Hi", None)]


def test_parquet_and_a_dataset(tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "{}"}]
    calls = [{"name": "book", "arguments": {"nights": 4}}]
    table = [
        {"messages": turns, "tools": None},
        {"messages": [turns[0], {"role": "assistant", "tool_calls": calls}], "tools": "[]"},
    ]
    folder = tmp_path / "set"
    folder.mkdir()
    parquet(folder / "train.parquet", table)
    of_file = [*examples(Source(str(folder / "train.parquet")))]
    assert [each.completion for each in of_file] == [
        "{}",
        '{"name": "book", "arguments": {"nights": 4}}',
    ]
    assert [each.format for each in of_file] == ["json", "tool_call"]
    assert [*examples(Source(f"hf:{folder}:train"))] == of_file
    with pytest.raises(DataError, match=r"set:evil: Unknown split .evil."):
        pairs(f"hf:{folder}:evil")
    with pytest.raises(DataError, match=r"a dataset of the hub is named hf:owner/name:split"):
        pairs("hf:owner/name")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"broken\.parquet: not parquet: "):
        pairs(tmp_path / "broken.parquet")


@pytest.mark.parametrize(
    ("name", "library"), [("a.parquet", "pyarrow"), ("hf:owner/name:train", "datasets")]
)
def test_what_needs_the_extra_says_so(
    name: str, library: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load: Callable[..., Any] = builtins.__import__

    def imported(module: str, *rest: Any, **named: Any) -> Any:
        if module.partition(".")[0] == library:
            raise ModuleNotFoundError(f"No module named {library!r}", name=library)
        return load(module, *rest, **named)

    monkeypatch.chdir(tmp_path)
    Path("a.parquet").write_bytes(b"")
    monkeypatch.setattr(builtins, "__import__", imported)
    with pytest.raises(UserError) as caught:
        pairs(name)
    needs = f"{name}: reading it needs {library}, which is not installed"
    assert str(caught.value) == f"{needs}: pip install 'fmtharness[data]'"


LATIN = '{"prompt": "Où est le café de Zoë ?"}\n'


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("a.jsonl", LINES.encode("utf-16"), "it is UTF-16; save it as UTF-8"),
        ("a.jsonl", LINES.encode("utf-16-le"), "it is UTF-16; save it as UTF-8"),
        ("a.csv", TABLE.encode("utf-16-be"), "it is UTF-16; save it as UTF-8"),
        ("a.json", LINES.encode("utf-32"), "it is UTF-32; save it as UTF-8"),
        ("a.jsonl", LATIN.encode("latin-1"), "not UTF-8 at byte 13 and looks like ISO-8859-1; "),
        ("a.jsonl", ("“" + LATIN).encode("cp1252"), "byte 0 and looks like WINDOWS-1252; save"),
        ("a.csv", TABLE.encode("latin-1"), "for example by iconv -f ISO-8859-1 -t UTF-8"),
        ("a.jsonl", ("{}\n" * 40_000 + LATIN).encode("latin-1"), "not UTF-8 at byte 120,013 and"),
        ("a.json", b"[\n", "a.json: not JSON: "),
        ("a.json", b"{}{}", "a.json: not JSON: "),
        ("a.json", b"4", "an array of objects can be read"),
        ("a.json", b'{"a": [{"b": 1}], "c": [{"b": 1}]}', "several lists of rows (a, c); keep one"),
        ("a.json", b'[{"prompt": "a"}, 4]', "a.json, row 2: a row must be an object, not 4"),
        ("a.jsonl", b'{"prompt": "a"}\n{"prompt": "a"\n', "a.jsonl, line 2: not JSON: "),
        ("a.jsonl", b"", "there is no Example in it"),
        ("a.csv", b"prompt,completion\n", "there is no row in it"),
        ("a.csv", b"prompt,completion\na,b,c\n", "line 2: it has 3 cells and the header 2; quote"),
        ("a.csv", b"prompt,prompt\n", "the column 'prompt' stands there twice"),
        ("a.csv", b'prompt\n"a" b\n', "a.csv, line 2: not CSV: "),
        ("a.yaml", b"a: [\n", "a.yaml, line 2: not YAML: "),
        ("a.jsonl.gz", b"", "it is packed (.gz); unpack it first"),
    ],
)
def test_a_file_that_cannot_be_read(name: str, data: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(DataError) as caught:
        # A row of no form would be told before what stands behind it.
        [*(raw_rows(str(path)) if data.startswith(b"{}\n") else examples(Source(str(path))))]
    assert words in str(caught.value) and str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("prompt\n")
    for name in ("rosw.csv", "row.parquet", "nope.jsonl"):
        with pytest.raises(DataError, match=r"cannot be read \(No such file or directory\)"):
            pairs(tmp_path / name)
    with pytest.raises(DataError, match=r"did you mean '.*rows\.csv'"):
        pairs(tmp_path / "rosw.csv")
    with pytest.raises(DataError, match=r"it is a folder"):
        pairs(tmp_path)


def test_the_first_so_many_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(LINES + "broken\n")
    assert len([*examples(Source(str(path), limit=2))]) == 2
    assert f"{path}: 2 rows, read as TRL prompt/completion" in capsys.readouterr().err


def test_lines_are_read_one_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(LINES + "broken\n")
    read = rows(Source(str(path)))
    assert [next(read).line, next(read).line] == [1, 2]


def test_eval_takes_rows_of_any_form(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(TABLE, encoding="utf-8")
    assert [*known_examples(path)] == ["2", "3"]
    assert len(known_examples(path, 1)) == 1


def test_reading_lines_loads_no_heavy_library(tmp_path: Path) -> None:
    import subprocess

    path = tmp_path / "rows.jsonl"
    path.write_text(LINES)
    code = f"""
import sys
from fmtharness.harness.dataset import Source, examples
assert len([*examples(Source({str(path)!r}))]) == 2
sys.exit(" ".join({{"torch", "pandas", "datasets", "pyarrow", "numpy"}} & sys.modules.keys()))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert "read as TRL" in done.stderr and done.stderr.count("\n") == 2, done.stderr
