"""Judges public suites of CSV and of Markdown tables: folders of CSV with JSON, and GFM's spec.

    python benchmarks/table_suite.py csv-spectrum csv-test-data cmark-gfm/test/spec.txt
    ->  suite         cases  alike  refused  rejected  unpaired  wrong
        csv-spectrum  12     9      3        0         0         0 ...

A folder holds csvs/*.csv (or csv/*.csv) and json/*.json with the records, or with rows; a CSV named
bad-* must be rejected. A file holds the examples of cmark-gfm's spec.txt or extensions.txt: what is
accepted must be one table and nothing else in the expected HTML, with the same cells. Exit code 1
where a text is accepted with another value, 2 where there are no cases.
The suites are not part of this project: https://github.com/max-mapper/csv-spectrum,
https://github.com/sineemore/csv-test-data, https://github.com/github/cmark-gfm
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt
from suites import ERROR, Case, exit_code, judged, told

from fmtharness.evaluators.tables.csv import CsvFormat
from fmtharness.evaluators.tables.markdown import MarkdownTableFormat
from fmtharness.harness.contracts import Parsed

CSV = CsvFormat(min_columns=1)
MARKDOWN = MarkdownTableFormat()
INLINE = MarkdownIt("commonmark").enable("strikethrough")
NAMELESS = re.compile("bad-header-(?:no|wrong)-header")
"""Files that are bad only because of the header that the reader expects, which no text tells."""
_LINK = re.compile(r"</?a\b[^>]*>")
_EXAMPLE = re.compile(r"^`{32} example[^\n]*\n(.*?)^\.\n(.*?)(?:^\.\n.*?)?^`{32}$", re.M | re.S)


def csv_cases(folder: Path) -> list[Case]:
    """Every CSV file of a folder, judged."""
    found = []
    for path in sorted(folder.glob("csv*/*.csv")):
        if NAMELESS.match(path.stem):
            continue
        parsed = CSV.parse(path.read_bytes().decode())
        value: Any = ERROR
        if not path.stem.startswith("bad-"):
            value = json.loads((folder / "json" / f"{path.stem}.json").read_text(encoding="utf-8"))
        if isinstance(value, list) and value and isinstance(value[0], list):
            header, *rows = value
            value = [dict(zip(header, row, strict=False)) for row in rows]
        found.append(judged(path.stem, [folder.name], parsed, value))
    return found


class _Tables(HTMLParser):
    """The rows of the HTML's tables, each cell as HTML, and whether anything else is there."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=False)
        self.rows: list[list[str]] = []
        self.tables = 0
        self.others = False
        self._inside = False
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tables += tag == "table"
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self._inside = True
            self.rows[-1].append("")
        elif tag not in ("table", "thead", "tbody"):
            self._said(self.get_starttag_text() or "")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self._inside = False
        elif tag not in ("table", "thead", "tbody", "tr"):
            self._said(f"</{tag}>")

    def handle_data(self, data: str) -> None:
        self._said(data)

    def handle_entityref(self, name: str) -> None:
        self._said(f"&{name};")

    def handle_charref(self, name: str) -> None:
        self._said(f"&#{name};")

    def _said(self, html: str) -> None:
        if self._inside:
            self.rows[-1][-1] += html
        elif html.strip():
            self.others = True


def markdown_cases(file: Path) -> list[Case]:
    """Every example of a file with a table in its HTML or a row of dashes, judged.

    HTML tables are left out, and links are compared by their text: GFM makes some of bare ones.
    """
    found = []
    text = file.read_text(encoding="utf-8")
    for match in _EXAMPLE.finditer(text):
        source, html = (part.replace("→", "\t") for part in match.groups())
        seen = _Tables(_LINK.sub("", html))
        dashes = re.search(r"^[ |:]*-[ |:-]*\|", source, re.M)
        if "<table" in source or not (seen.tables or dashes):
            continue
        line = text.count("\n", 0, match.start()) + 1
        alone = seen.tables == 1 and not seen.others
        value = _records(seen.rows) if alone else ERROR
        found.append(judged(f"{file.name}:{line}", [file.name], _as_html(source), value))
    return found


def _records(rows: list[list[str]]) -> list[dict[str, str]]:
    header, *body = rows
    return [dict(zip(header, row, strict=False)) for row in body]


def _as_html(source: str) -> Parsed:
    """What the judge reads, with each cell rendered as the HTML of the examples is."""
    parsed = MARKDOWN.parse(source)
    if not parsed.ok:
        return parsed

    def render(cell: str) -> str:
        return _LINK.sub("", INLINE.renderInline(cell))

    return Parsed([{render(k): render(v) for k, v in row.items()} for row in parsed.value])


def main() -> None:
    """Judge the folders and files that the command line names."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("paths", type=Path, nargs="+", help="folders of CSV, files of GFM examples")
    parser.add_argument("--show", action="store_true", help="also print what each case got")
    options = parser.parse_args()
    found: list[Case] = []
    for path in options.paths:
        part = markdown_cases(path) if path.is_file() else csv_cases(path)
        if not part:
            parser.error(f"{path} has no csv*/*.csv, or no examples of tables")
        found += part
    sys.stdout.write(told(found, "suite", shown=options.show) + "\n")
    sys.exit(exit_code(found))


if __name__ == "__main__":
    main()
