"""Completions that exist already: the rows of a JSONL file, in constant memory.

{"text": "{\\"a\\": 1}"}    is a whole row; `id` or `example_id` is optional, else its line number
{"text": "{}", "reasoning": "..."}    has what stood in think tags; also as `reasoning_content`

read_rows(path)    yields a Completion per row, or BrokenRow(7, "not JSON: ...") for a bad line 7
blocks(path)       yields (1, b"..."), (4097, b"..."), ...: whole lines, for several processes
"""

from __future__ import annotations

import codecs
import textwrap
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, get_args

import msgspec
from msgspec import structs

from fmtharness.harness.errors import DataError
from fmtharness.harness.records import BrokenRow, Completion, FinishReason, decode, numbered_lines
from fmtharness.harness.text import visible

BLOCK_BYTES = 1 << 20
REASONS = get_args(FinishReason)


class Row(msgspec.Struct):
    """A line of --completions; other keys and unknown finish reasons are ignored."""

    text: str | None
    """None if the server found nothing but reasoning."""
    id: str | int | float | None = None
    example_id: str | int | float | None = None
    sample: Any = None
    finish_reason: Any = None
    error: Any = None
    reasoning: Any = None
    reasoning_content: Any = None
    """What llama.cpp, DeepSeek and older versions of vLLM call it."""
    unclosed: Any = None
    completion_tokens: Any = None
    interventions: Any = None


def read_rows(path: Path) -> Iterator[Completion | BrokenRow]:
    """Yield a file's rows; one without an id is called by its line number.

    Raises DataError if the file cannot be read.
    """
    return completions(numbered_lines(path))


def samples_in(path: Path) -> int:
    """How many completions of a prompt a file has, in any order: one more than its last `sample`.

    Raises DataError if the file cannot be read.
    """
    decoder = msgspec.json.Decoder(_Sampled)
    last = 0
    for _, line in numbered_lines(path):
        if b'"sample"' in line:
            with suppress(ValueError):  # the row is broken, and told so where it is judged
                last = max(last, sample_of(decode(decoder, line)))
    return last + 1


class _Sampled(msgspec.Struct):
    """What counting needs of a row."""

    sample: Any = None


def sample_of(row: Row | _Sampled) -> int:
    """Which of several completions of its prompt a row is; 0 if it does not say."""
    return row.sample if type(row.sample) is int and row.sample > 0 else 0


def completions(lines: Iterable[tuple[int, bytes]]) -> Iterator[Completion | BrokenRow]:
    """The numbered lines as rows."""
    decoder = msgspec.json.Decoder(Row)
    for number, line in lines:
        try:
            row = decode(decoder, line)
            text = _answer(row) if row.text is None else row.text
        except ValueError as error:
            reason = textwrap.shorten(visible(str(error)), 200, placeholder="...")
            yield BrokenRow(number, f'{reason}; a row needs at least {{"text": "..."}}')
            continue
        named = row.example_id if row.example_id is not None else row.id
        completion = Completion(
            example_id=str(number if named is None else named),
            text=text,
            finish_reason=row.finish_reason if row.finish_reason in REASONS else None,
            error=str(row.error) if row.finish_reason == "error" and row.error else None,
            sample=sample_of(row),
        )
        if row.reasoning is not None or row.reasoning_content or row.unclosed:
            cut_off = row.finish_reason == "length" and not text.strip()
            unclosed = row.unclosed is True or row.text is None or (cut_off and _reasoning(row))
            completion = structs.replace(
                completion, reasoning=_reasoning(row), unclosed=bool(unclosed)
            )
        steps, changed = row.completion_tokens, row.interventions
        most = steps + (completion.finish_reason == "stop") if type(steps) is int else -1
        if type(changed) is int and 0 <= changed <= most:
            completion = structs.replace(completion, completion_tokens=steps, interventions=changed)
        yield completion


def _answer(row: Row) -> str:
    """The answer of a row without a text: none yet, if it has reasoning."""
    if not _reasoning(row):
        raise ValueError("Expected `str`, got `null` - at `$.text`")
    return ""


def _reasoning(row: Row) -> str | None:
    if isinstance(row.reasoning, str):
        return row.reasoning
    return row.reasoning_content or None if isinstance(row.reasoning_content, str) else None


def blocks(path: Path, size: int = BLOCK_BYTES) -> Iterator[tuple[int, bytes]]:
    """Yield (number of its first line, whole lines of about `size` bytes).

    Raises DataError if the file cannot be read.
    """
    first = 1
    try:
        with path.open("rb") as file:
            while block := file.read(size):
                block += file.readline()
                yield first, block
                first += block.count(b"\n")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check the path") from error


def numbered(first: int, block: bytes) -> Iterator[tuple[int, bytes]]:
    """A block as numbered lines, the blank ones left out."""
    for number, line in enumerate(block.split(b"\n"), start=first):
        if number == 1:
            line = line.removeprefix(codecs.BOM_UTF8)
        if line.strip():
            yield number, line


def count_lines(path: Path) -> int:
    """How many lines the file has, blank ones included."""
    return sum(lines_in(block) for _, block in blocks(path))


def lines_in(block: bytes) -> int:
    """How many lines a block has, the last with or without a line break."""
    return block.count(b"\n") + (not block.endswith(b"\n"))
