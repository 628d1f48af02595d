"""Compares strict CSV and Markdown tables with real readers, over mutated texts.

    python benchmarks/table_readers.py --csv 100000 --markdown 50000 --npm node_modules
    ->  csv             python     21,950 accepted texts, 0 read otherwise
        markdown_table  cmarkgfm    9,871 accepted texts, 0 read otherwise

What a strict Format accepts is to be read alike by every reader: same columns, same rows, same
cells. Python's readers are used where they are installed (csv; pandas, polars; markdown_it,
cmarkgfm); npm's where --npm names a folder with papaparse, csv-parse or marked, which
`npm install papaparse csv-parse marked` makes. Exit code 1 where one reads something else.
"""

from __future__ import annotations

import csv
import importlib
import importlib.util
import io
import json
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from html.parser import HTMLParser
from pathlib import Path
from random import Random
from typing import Final

import click

from fmtharness.evaluators.tables.csv import CsvFormat
from fmtharness.evaluators.tables.markdown import MarkdownTableFormat
from fmtharness.harness.contracts import Format
from fmtharness.harness.testing.sample_values import UNITS, WORDS, plain_values

Rows = list[list[str]]
Read = Callable[[str], Rows | None]
FORMATS: Final[Mapping[str, Format]] = {
    "csv": CsvFormat(min_columns=1),
    "markdown_table": MarkdownTableFormat(),
}
MORE_WORDS: Final = ("", "x|y", "`a`", "two\nlines", "a,b", '"', "'", "\\", "\ufeff", "\xa0", "*b*")
SIGNS: Final = (
    *UNITS,
    "\x0b",
    "\x1c",
    "\x85",
    "\u2028",
    "\xa0",
    "\ufeff",
    ",",
    '","',
    "\r\n",
    ":-:",
)
_NODE: Final = """
const lines = require("readline").createInterface({input: process.stdin});
const read = {
  // It takes the end of the last line for one more row.
  papaparse: text =>
    require("papaparse").parse(text.replace(/\\r?\\n$/, ""), {delimiter: ","}).data,
  "csv-parse": text => require("csv-parse/sync").parse(text, {}),
  marked: text => {
    const found = require("marked").marked.lexer(text).filter(token => token.type != "space");
    if (found.length != 1 || found[0].type != "table") return null;
    const row = cells => cells.map(cell => cell.text);
    return [row(found[0].header), ...found[0].rows.map(row)];
  },
}[process.argv[1]];
lines.on("line", line => {
  let found;
  try { found = read(JSON.parse(line)); } catch (error) { found = null; }
  console.log(JSON.stringify(found));
});
"""


def by_csv(text: str) -> Rows:
    return list(csv.reader(io.StringIO(text, newline=""), strict=True))


def by_pandas(text: str) -> Rows:
    frame = importlib.import_module("pandas").read_csv(
        io.StringIO(text, newline=""),
        header=None,
        dtype=str,
        keep_default_na=False,
        skip_blank_lines=False,
    )
    return [list(row) for row in frame.itertuples(index=False)]


def by_polars(text: str) -> Rows:
    frame = importlib.import_module("polars").read_csv(
        text.encode(), has_header=False, infer_schema=False
    )
    return [[cell or "" for cell in row] for row in frame.rows()]


def by_markdown_it(text: str) -> Rows | None:
    reader = importlib.import_module("markdown_it").MarkdownIt("commonmark").enable("table")
    tokens = reader.parse(text)
    kinds = [token.type for token in tokens]
    if kinds.count("table_open") != 1 or kinds[:1] + kinds[-1:] != ["table_open", "table_close"]:
        return None
    rows: Rows = []
    for token in tokens:
        if token.type == "tr_open":
            rows.append([])
        elif token.type == "inline":
            rows[-1].append(token.content)
    return rows


class _Cells(HTMLParser):
    """The text of each cell of one table and nothing else."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: Rows = []
        self.tables = 0
        self.around = ""
        self.inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tables += tag == "table"
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self.inside = True

    def handle_endtag(self, tag: str) -> None:
        self.inside = self.inside and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.rows[-1][-1] += data
        else:
            self.around += data.strip()


def by_cmarkgfm(text: str) -> Rows | None:
    """The shape of the table, with the letters and digits of each cell: its text is rendered."""
    cells = _Cells()
    cells.feed(importlib.import_module("cmarkgfm").github_flavored_markdown_to_html(text))
    return None if cells.tables != 1 or cells.around else cells.rows


def plain(cell: str) -> str:
    """What is left of a cell if it is rendered, to compare it with HTML."""
    return re.sub(r"[\W_]", "", cell)


def rendered(expected: Rows, found: Rows) -> bool:
    """Whether HTML has these cells; those with tags, entities and links only need to be there."""
    return [len(row) for row in expected] == [len(row) for row in found] and all(
        plain(cell) == plain(other) or re.search(r"[<&\[\]]", cell)
        for row, others in zip(expected, found, strict=True)
        for cell, other in zip(row, others, strict=True)
    )


PYTHON: Final[Mapping[str, Mapping[str, Read]]] = {
    "csv": {"csv": by_csv, "pandas": by_pandas, "polars": by_polars},
    "markdown_table": {"markdown_it": by_markdown_it, "cmarkgfm": by_cmarkgfm},
}
NPM: Final = {"csv": ("papaparse", "csv-parse"), "markdown_table": ("marked",)}


def mutated(tested: Format, count: int) -> list[str]:
    """`count` rendered texts with up to three pieces inserted, dropped or doubled."""
    rng = Random(0)
    values = [plain_values(tested, seed, (*WORDS, *MORE_WORDS)) for seed in range(12)]
    texts = []
    for value in (each for group in values for each in group):
        try:
            texts.append(tested.render(value))
        except ValueError:
            continue
    found = []
    for _ in range(count):
        text = rng.choice(texts)
        for _ in range(rng.randint(1, 3)):
            start = rng.randint(0, len(text))
            end = min(len(text), start + rng.choice([0, 0, 1, 1, 2, 5]))
            piece = rng.choice(["", text[start:end] * 2, rng.choice(SIGNS), rng.choice(SIGNS)])
            text = text[:start] + piece + text[end:]
        if rng.random() < 0.1:
            text = text.replace("\n", "\r\n")
        found.append(text)
    return found


def by_npm(package: str, folder: Path, texts: Sequence[str]) -> list[Rows | None]:
    """What a reader from npm makes of each text."""
    done = subprocess.run(
        ["node", "-e", _NODE, package],
        input="".join(json.dumps(text) + "\n" for text in texts),
        capture_output=True,
        text=True,
        check=True,
        cwd=folder.parent,
    )
    return [json.loads(line) for line in done.stdout.split("\n")[:-1]]


def by_python(read: Read, texts: Sequence[str]) -> list[Rows | None]:
    """What a Python reader makes of each text, None where it raises."""
    found: list[Rows | None] = []
    for text in texts:
        try:
            found.append(read(text))
        except Exception:
            found.append(None)
    return found


def alike(name: str, expected: Rows, found: Rows | None) -> bool:
    """Whether a reader has the expected rows; an HTML renderer has only their letters."""
    if found is None:
        return False
    return rendered(expected, found) if name == "cmarkgfm" else found == expected


def compare(kind: str, count: int, npm: Path | None, shown: int) -> int:
    """Print each reader's differences; returns how many there are."""
    tested = FORMATS[kind]
    accepted: dict[str, Rows] = {}
    for text in mutated(tested, count):
        parsed = tested.parse(text)
        if parsed.ok:
            rows = parsed.value
            accepted[text] = [list(rows[0]), *(list(row.values()) for row in rows)]
    texts = list(accepted)
    readers: dict[str, list[Rows | None]] = {}
    for name, read in PYTHON[kind].items():
        if importlib.util.find_spec(name):
            readers[name] = by_python(read, texts)
    for package in NPM[kind] if npm else ():
        if npm and (npm / package).is_dir():
            readers[package] = by_npm(package, npm, texts)
    total = 0
    for name, found in readers.items():
        wrong = [
            (text, rows)
            for text, rows in zip(texts, found, strict=True)
            if not alike(name, accepted[text], rows)
        ]
        total += len(wrong)
        click.echo(
            f"{kind:15} {name:12} {len(texts):7,} accepted texts, {len(wrong):,} read otherwise"
        )
        for text, rows in wrong[:shown]:
            click.echo(
                f"    {text!r:.300}\n      as {rows!r:.200}\n      us {accepted[text]!r:.200}"
            )
    return total


@click.command()
@click.option("--csv", "tables", default=100_000, help="How many texts to mutate.")
@click.option("--markdown", default=50_000, help="How many texts to mutate.")
@click.option("--npm", type=click.Path(path_type=Path), help="A node_modules folder.")
@click.option("--show", default=5, help="How many differences to print.")
def main(tables: int, markdown: int, npm: Path | None, show: int) -> None:
    """Mutate, judge and compare."""
    wrong = compare("csv", tables, npm, show)
    wrong += compare("markdown_table", markdown, npm, show)
    sys.exit(int(wrong > 0))


if __name__ == "__main__":
    main()
