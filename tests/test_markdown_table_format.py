"""Strict Markdown tables: what passes, what each mistake is called, and that markdown-it agrees."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from fmtharness.evaluators.tables.markdown import MarkdownTableFormat
from fmtharness.harness.testing import check_format

MARKDOWN = MarkdownTableFormat()
READER = MarkdownIt("commonmark").enable("table")
TABLE = "| a | b |\n| --- | --- |\n| x | y |"

ROWS = ("{} | y |", "{} | z |")


def found(text: str) -> list[tuple[str, str]]:
    return [(p.label, text[p.start : p.end]) for p in MARKDOWN.parse(text).problems]


def test_the_format_keeps_its_promises() -> None:
    check_format(MARKDOWN)


@pytest.mark.parametrize(
    "text",
    [
        TABLE,
        f"\n{TABLE}\n\n",
        TABLE.replace("\n", "\r\n"),
        "|a|b|\n|-|-|\n|x|y|",
        "|  a | b|\n|:--|--:|\n| x |   y |  ",
        "  | a | b |\n   |:-:|---|\n| x | y |",
    ],
)
def test_what_passes(text: str) -> None:
    assert MARKDOWN.parse(text).value == [{"a": "x", "b": "y"}]


def test_only_a_backslash_before_a_pipe_is_taken_away() -> None:
    text = "| a |\n| --- |\n| \\| \\* \\\\ `x\\|` \\\\\\| \\ |"
    assert MARKDOWN.parse(text).value == [{"a": "| \\* \\\\ `x|` \\\\| \\"}]


HEAD = "| a | b |\n| --- | --- |\n"


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        (" \n", [("empty", ...)]),
        ("I'm sorry, I can't.", [("no_value", ...)]),
        ('[{"a": "x | y"}]', [("no_value", ...)]),
        ("a,b\nx,y", [("no_value", ...)]),
        ("<table><tr><td>x</td></tr></table>", [("no_value", ...)]),
        (f"## Cities\n\n{TABLE}\n\nDone.", [("text_before", "## Cities"), ("text_after", "Done.")]),
        (f"```markdown\n{TABLE}\n```", [("code_fence", "```markdown"), ("code_fence", "```")]),
        (
            "a | b\n--- | ---\nx | y",
            [("missing_outer_pipe", line) for line in ["a | b", "--- | ---", "x | y"]],
        ),
        (f"{HEAD}| x | y\n| z | w |", [("missing_outer_pipe", "| x | y")]),
        (f"{HEAD}x | y |", [("missing_outer_pipe", "x | y |")]),
        (f"{HEAD}| x | y", [("truncated", "")]),
        (f"{HEAD}| x", [("truncated", "")]),
        ("| a | b |\n| --", [("truncated", "")]),
        ("| a", [("truncated", "")]),
        (f"{HEAD}| x |\n| x | y | z |", [("ragged_row", "| x |"), ("ragged_row", "| x | y | z |")]),
        (HEAD, [("no_rows", "| a | b |")]),
        ("| a | b |\n| x | y |", [("no_delimiter_row", "| x | y |")]),
        ("| a | b |\n| --- |\n| x | y |", [("bad_delimiter_row", "| --- |")]),
        ("| a |\n| === |\n| x |", [("bad_delimiter_row", "===")]),
        ("| a |\n| - - |\n| x |", [("bad_delimiter_row", "- -")]),
        ("| a | a |\n| --- | --- |\n| x | y |", [("duplicate_column", "a")]),
        ("| a | |\n| --- | --- |\n| x | y |", [("empty_column", "")]),
        (f"{HEAD}\n| x | y |", [("blank_line", "\n")]),
        (f"{TABLE}\n\n{TABLE}", [("multiple_roots", TABLE)]),
        (f"{HEAD}    | x | y |", [("indented_line", "    ")]),
        (f"{HEAD}\t| x | y |", [("indented_line", "\t")]),
        (f"{HEAD}| x\\\\| y | z |", [("bad_escape", "\\\\|")]),
        (f"{HEAD}| x\x00 | y |", [("raw_control_character", "\x00")]),
        (f"{HEAD}| x\u2028 y | z |", [("raw_control_character", "\u2028")]),
        (f"{HEAD}| \xa0x | z |", [("padded_cell", "\xa0")]),
        (f"{HEAD}| x | \ufeff |", [("padded_cell", "\ufeff")]),
        (f"{HEAD}| x\ud83d | z |", [("lone_surrogate", "\ud83d")]),
        (f"{HEAD}| x\ny | z |", [("broken_row", "\n")]),
        (f"{HEAD}| x |\nz |", [("broken_row", "\n")]),
        (f"{HEAD}| x | y |;", [("missing_outer_pipe", "| x | y |;")]),
        (f"{HEAD}{{}} | y |\n{{}} | z |", [("missing_outer_pipe", row) for row in ROWS]),
        (f"{HEAD}| x\\\\| y |", [("bad_escape", "\\\\|")]),
        ("| a |\n| ---\t|\n| x |", [("bad_delimiter_row", "| ---\t|")]),
        ("| a |\n| --- |\t\n| x |", [("bad_delimiter_row", "| --- |")]),
        ("| a | b |\n| --- x --- |\n| x | y |", [("bad_delimiter_row", "| --- x --- |")]),
        ("| a | b | c |\n| - | - |\n| x | y |", [("ragged_row", "| a | b | c |")]),
        (
            "+---+---+\n| a | b |\n+===+===+\n| x | y |\n+---+---+",
            [("bad_delimiter_row", row) for row in ("+---+---+", "+===+===+", "+---+---+")],
        ),
        (f"\ufeff{TABLE}", [("byte_order_mark", "\ufeff")]),
    ],
)
def test_what_a_mistake_is_called_and_where_it_stands(text: str, problems: list[Any]) -> None:
    assert found(text) == [(label, text if at is ... else at) for label, at in problems]


@pytest.mark.parametrize("cell", [" x", "x ", "a\nb", "a\rb", "\\|", "x\x00", "\\\\\\|", 4, None])
def test_cells_that_would_not_come_back_are_refused(cell: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        MARKDOWN.render([{"a": cell}])


cells = st.text(st.sampled_from("ab |\\`*<>&-:é_[]()!#"), max_size=6)
kept = cells.filter(lambda cell: cell == cell.strip() and "\\|" not in cell)


@settings(max_examples=400, deadline=None)
@given(st.lists(kept.filter(bool), min_size=1, max_size=3, unique=True), st.data())
def test_what_is_rendered_comes_back_and_markdown_it_sees_it(
    names: list[str], data: st.DataObject
) -> None:
    row = st.lists(kept, min_size=len(names), max_size=len(names))
    rows = data.draw(st.lists(row, min_size=1, max_size=3))
    value = [dict(zip(names, row, strict=True)) for row in rows]
    text = MARKDOWN.render(value)
    assert MARKDOWN.parse(text).value == value
    assert seen(text) == [names, *rows]


@settings(max_examples=400, deadline=None)
@given(cells)
def test_a_cell_is_refused_or_read_by_markdown_it_alike(cell: str) -> None:
    try:
        text = MARKDOWN.render([{"a": cell}])
    except ValueError:
        return
    assert seen(text) == [["a"], [cell]]


def seen(text: str) -> list[list[str]]:
    """The cells of the one table that markdown-it sees, and nothing besides."""
    tokens = READER.parse(text)
    assert tokens[0].type == "table_open"
    assert [token.type for token in tokens].count("table_open") == 1
    assert tokens[-1].type == "table_close"
    rows: list[list[str]] = []
    for token in tokens:
        if token.type == "tr_open":
            rows.append([])
        elif token.type == "inline":
            rows[-1].append(token.content)
    return rows


@settings(max_examples=2000, deadline=None)
@given(
    st.sampled_from([TABLE, f"{TABLE}\n| z | w |", "|a|\n|:-|\n|x|"]),
    st.lists(st.tuples(st.integers(0, 40), st.sampled_from("| \\\n\r\t-:ax`>")), max_size=4),
)
def test_what_passes_markdown_it_sees_alike(text: str, edits: list[tuple[int, str]]) -> None:
    for at, sign in edits:
        text = text[:at] + sign + text[at:]
    parsed = MARKDOWN.parse(text)
    if parsed.ok:
        names, *rows = seen(text)
        assert parsed.value == [dict(zip(names, row, strict=True)) for row in rows]
