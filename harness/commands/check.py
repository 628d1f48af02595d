"""`fmtharness check`: judge texts as they are, without a model.

    check([Source("text", '{"a": 1,}')], evaluators(["json_strict"], []))
    -> [Checked(name="text", text=..., verdicts=(Verdict(passed=False, ...),))], state "failed"

An argument is a file if one has this name, else it is the text itself. JSONL files of completions
and comparisons with Examples are for `fmtharness eval`.
"""

from __future__ import annotations

import itertools
import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal

import msgspec

from fmtharness.harness.commands.consumers import Asked, of_verdicts
from fmtharness.harness.contracts import Evaluator, needs_example
from fmtharness.harness.errors import DataError, UserError
from fmtharness.harness.formats import DEFAULT_FORMAT
from fmtharness.harness.judging.tally import distinct
from fmtharness.harness.judging.verdicts import judge
from fmtharness.harness.options import build, parse_spec
from fmtharness.harness.plugins import component
from fmtharness.harness.progress import say
from fmtharness.harness.records import Completion, Verdict
from fmtharness.harness.report.diagnostics import Lines, diagnosis
from fmtharness.harness.schemas import ANY_JSON, SCHEMA_EVALUATOR, by_schema
from fmtharness.harness.text import visible

STDIN: Final = "<stdin>"
SUFFIXES: Final = (".json", ".jsonl", ".ndjson", ".txt", ".md", ".log")
SUFFIX: Final = re.compile(r"\w\.[a-z]{2,6}\Z", re.IGNORECASE).search
"""How most file names end."""
State = Literal["passed", "failed", "unscored"]


class Source(msgspec.Struct, frozen=True):
    """A text to judge, and what to call it."""

    name: str
    text: str


class Checked(msgspec.Struct, frozen=True):
    """The Verdicts on one text."""

    name: str
    text: str
    verdicts: tuple[Verdict, ...]

    @property
    def state(self) -> State:
        """The text passes if every evaluator passes it."""
        found = {verdict.passed for verdict in self.verdicts}
        return "unscored" if None in found else "failed" if False in found else "passed"


def sources(
    arguments: Sequence[str], texts: Sequence[str], files: Sequence[Path], stdin: BinaryIO | None
) -> list[Source]:
    """The texts that the command line names, in this order; without any, standard input.

    Raises UserError if there is nothing to judge, if standard input is named twice, and for a file
    that cannot be read or is not UTF-8.
    """
    if not (arguments or texts or files):
        if stdin is None or stdin.isatty():
            raise UserError(
                "there is nothing to judge: name a TEXT or a FILE, or pipe a text into this command"
            )
        arguments = ["-"]
    if [*arguments, *map(str, files)].count("-") > 1:
        raise UserError("standard input (-) is named twice, but can be read once; name it once")
    literal = dict.fromkeys(each for each in arguments if each != "-" and not _exists(each))
    several = len(texts) + sum(each in literal for each in arguments) > 1
    numbers = itertools.count(1)

    def named(text: str) -> Source:
        return Source(f"text-{next(numbers)}" if several else "text", text)

    for each in filter(_looks_like_a_path, literal):
        say(f"note: there is no file {visible(each)}, so this is judged as a text")
    return [
        *(named(each) if each in literal else _read(each, stdin) for each in arguments),
        *map(named, texts),
        *(_read(str(file), stdin) for file in files),
    ]


def _exists(argument: str) -> bool:
    """Whether a file, a folder or a pipe has this name."""
    # Path.exists would raise for a text that is too long for a name.
    return os.path.exists(argument)  # noqa: PTH110


def _looks_like_a_path(text: str) -> bool:
    if not set(text).isdisjoint('{}[]"\n\r'):
        return False
    one_word = len(text.split()) == 1 and ("/" in text or SUFFIX(text) is not None)
    return one_word or text.lower().endswith(SUFFIXES)


def _read(path: str, stdin: BinaryIO | None) -> Source:
    """A file, or standard input for `-`, byte for byte: a byte order mark stays in the text."""
    name = STDIN if path == "-" else path
    if path == "-" and stdin is None:
        raise DataError(f"{name}: is closed; name a file, or pipe a text into this command")
    try:
        data = stdin.read() if path == "-" and stdin else Path(path).read_bytes()
    except IsADirectoryError as error:
        raise DataError(f"{name}: is a folder; name a file, or give a text as --text") from error
    except OSError as error:
        raise DataError(f"{name}: cannot be read ({error.strerror}); check the path") from error
    try:
        return Source(name, data.decode())
    except UnicodeDecodeError as error:
        raise DataError(
            f"{name}: is not UTF-8 at byte {error.start} ({error.reason}); convert it to UTF-8"
        ) from error


def evaluators(
    specs: Iterable[str], formats: Iterable[str], schema: str | None = None
) -> list[Evaluator]:
    """The evaluators named, then `<format>_strict` of each format; by default that of JSON.

    With a schema, a file or `package.module:Model`, json_schema holds the texts to it, besides what
    is named, or else besides json_strict for any root. Raises UserError for an unknown name, for
    options that do not fit, for one given twice, and for one that needs an Example.
    """
    chosen = []
    for spec in specs:
        name, table = parse_spec(spec)
        if schema is not None and name == SCHEMA_EVALUATOR:
            chosen.append(by_schema(schema, table, f"{spec!r}: {name}"))
            schema = None
        else:
            chosen.append(build("evaluators", spec))
    for spec in formats:
        name = parse_spec(spec)[0]
        component("formats", name)  # so that a misspelled name gets a near miss among the formats
        options = spec.partition(":")[2]
        chosen.append(build("evaluators", f"{name}_strict:{options}", f"{spec!r}: {name}"))
    if schema is not None:
        chosen = chosen or [build("evaluators", ANY_JSON)]
        chosen.append(by_schema(schema, {}, "--schema"))
    chosen = chosen or [build("evaluators", f"{DEFAULT_FORMAT}_strict")]
    for evaluator in chosen:
        if needs_example(evaluator) and evaluator.name == SCHEMA_EVALUATOR:
            raise UserError(f"evaluator {SCHEMA_EVALUATOR!r} has no schema: name one with --schema")
        if needs_example(evaluator):
            raise UserError(
                f"evaluator {evaluator.name!r} compares with an Example, and a text alone has "
                f"none; use fmtharness eval --completions FILE --data FILE"
            )
    return [*distinct(chosen)]


def check(found: Iterable[Source], judges: Sequence[Evaluator]) -> list[Checked]:
    """The Verdicts on each text; their id is the text's name."""
    return [
        Checked(
            source.name,
            source.text,
            tuple(judge(judges, {}, [Completion(example_id=source.name, text=source.text)])),
        )
        for source in found
    ]


def state(checked: Iterable[Checked]) -> State:
    """The state of all texts together: one unscored or failed text decides."""
    states = {each.state for each in checked}
    return "unscored" if "unscored" in states else "failed" if "failed" in states else "passed"


def report(checked: Sequence[Checked], *, color: bool, encoding: str) -> str:
    """Every Verdict as a diagnosis; with several texts also their names and a line of counts."""
    parts = []
    for each in checked:
        shown = [
            diagnosis(each.text, verdict, name=each.name, color=color, encoding=encoding)
            for verdict in each.verdicts
        ]
        named = [f"[{visible(each.name, encoding)}]"] if len(checked) > 1 else []
        between = "\n\n" if any("\n" in one for one in shown) else "\n"
        parts.append("\n".join([*named, between.join(shown)]))
    if len(checked) > 1:
        states = Counter(each.state for each in checked)
        counted = [f"{states[s]} {s}" for s in ("passed", "failed", "unscored") if states[s]]
        parts.append(f"{len(checked)} texts: {', '.join(counted)}")
    return "\n\n".join(parts)


def consumed(checked: Sequence[Checked], judges: Sequence[Evaluator]) -> Asked:
    """How real readers take the texts. Raises UserError if no judge's format has any."""
    return of_verdicts([(each.text, each.verdicts) for each in checked], judges)


def report_json(checked: Iterable[Checked], asked: Asked | None = None) -> list[dict[str, Any]]:
    """The same as plain data: the rows of `eval --verdicts`, each problem with line and column.

    How real readers took a text is included, by evaluator and reader.
    """
    rows: list[dict[str, Any]] = [{"name": each.name, "verdicts": _rows(each)} for each in checked]
    for row, outcomes in zip(rows, asked.outcomes if asked else (), strict=False):
        row["consumers"] = outcomes
    return rows


def _rows(checked: Checked) -> list[dict[str, Any]]:
    lines = Lines(checked.text)
    rows = []
    for verdict in checked.verdicts:
        row: dict[str, Any] = msgspec.to_builtins(verdict)
        for problem, plain in zip(verdict.problems, row["problems"], strict=True):
            plain["line"], plain["column"] = lines.place(lines.span(problem)[0])
        rows.append(row)
    return rows
