"""The pytest plugin `fmtharness`: the fixture `assert_format`, and gates from `*.fmt.toml` files.

    def test_answer(assert_format):
        assert_format('{"a": 1,}', "json_strict")     # fails, with a caret below the comma

    answers.fmt.toml::json_strict.format_success_rate.min PASSED

pytest imports this module at every start, so the judging code is imported only on use.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

if TYPE_CHECKING:
    from fmtharness.harness.gates.gate_file import Gate
    from fmtharness.harness.gates.outcome import Outcome
    from fmtharness.harness.records import Example, Verdict


class AssertFormat(Protocol):
    """The type of the fixture `assert_format`."""

    def __call__(
        self, text: str, *evaluators: str, example: Example | None = None, schema: Any = None
    ) -> tuple[Verdict, ...]:
        """Fail the test unless every evaluator passes the text; return Verdicts in their order."""


@pytest.fixture(scope="session")
def assert_format(pytestconfig: pytest.Config) -> AssertFormat:
    """A function that fails the test, with a diagnosis, if a text violates a format.

    `assert_format(text)` expects strict JSON, or the format of `example=`. Evaluators are written
    as on the command line: `assert_format(text, "json_strict:root=any", "extras")`. A format's name
    alone selects its strict evaluator. Evaluators that compare with an Example need `example=`.
    `assert_format(text, schema=Ticket)` expects strict JSON that fits a Pydantic model; a schema
    may also be a dict, a file's path or a text `package.module:Model`.
    """

    def judged(
        text: str, *evaluators: str, example: Example | None = None, schema: Any = None
    ) -> tuple[Verdict, ...]:
        __tracebackhide__ = True
        from fmtharness.harness.errors import HarnessError
        from fmtharness.harness.schemas import importable
        from fmtharness.harness.text import printable

        if not isinstance(text, str):
            raise TypeError(f"assert_format expects a str, not {type(text).__name__}")
        try:
            with importable(pytestconfig.rootpath):
                verdicts, failure = _judge(text, evaluators, example, schema)
        except HarnessError as error:
            raise pytest.fail.Exception(printable(str(error))) from None
        if failure:
            raise pytest.fail.Exception(failure)
        return verdicts

    return judged


def _judge(
    text: str, specs: tuple[str, ...], example: Example | None, schema: Any
) -> tuple[tuple[Verdict, ...], str]:
    """The Verdicts on a text, and the failure message (empty if every evaluator passes it)."""
    from fmtharness.harness.contracts import applies, judges, lacks, needs_example
    from fmtharness.harness.errors import UserError
    from fmtharness.harness.formats import DEFAULT_FORMAT
    from fmtharness.harness.judging.tally import distinct
    from fmtharness.harness.judging.verdicts import judge
    from fmtharness.harness.options import build, parse_spec
    from fmtharness.harness.records import Completion
    from fmtharness.harness.report.diagnostics import diagnosis
    from fmtharness.harness.schemas import (
        ANY_JSON,
        SCHEMA_EVALUATOR,
        by_schema,
        schema_of_model,
    )
    from fmtharness.harness.text import printable

    expected = example.format if example else DEFAULT_FORMAT
    if schema is not None and not specs and expected == DEFAULT_FORMAT:
        specs = (ANY_JSON,)
    meant: Any = schema
    if isinstance(schema, Path):
        meant = str(schema)
    elif schema is not None and not isinstance(schema, str):
        meant = schema_of_model(schema)
    named = []
    for spec in specs or (expected,):
        name, options = parse_spec(_spec(spec))
        if schema is not None and name == SCHEMA_EVALUATOR:
            named.append(by_schema(meant, options, "schema"))
        else:
            named.append(build("evaluators", _spec(spec)))
    if schema is not None and all(each.name != SCHEMA_EVALUATOR for each in named):
        named.append(by_schema(meant, {}, "schema"))
    chosen = distinct(named)
    for each in chosen:
        if example is None and needs_example(each):
            way = "schema= or example=" if each.name == SCHEMA_EVALUATOR else "example="
            raise UserError(f"evaluator {each.name!r} compares with an Example: pass {way}")
        if example is None or applies(each, example):
            continue
        if judges(each, expected) and (needed := lacks(each, example)):
            raise UserError(f"evaluator {each.name!r}: the Example has no {needed}")
        raise UserError(f"evaluator {each.name!r} does not judge {expected}, the Example's format")
    known = {example.id: example} if example else {}
    completion = Completion(example_id=example.id if example else "text", text=text)
    verdicts = tuple(judge(chosen, known, [completion]))
    bad = [verdict for verdict in verdicts if not verdict.passed]
    if not bad:
        return verdicts, ""
    names = ", ".join(verdict.evaluator for verdict in bad)
    shown = "\n\n".join(diagnosis(text, verdict) for verdict in bad)
    return verdicts, printable(f"the text fails {names}\n{shown}")


def _spec(spec: str) -> str:
    """`json:root=any` -> `json_strict:root=any` if `json` names a format but no evaluator."""
    from fmtharness.harness import plugins

    name, colon, options = spec.partition(":")
    known = plugins.registry()
    is_format = name in known["formats"] and name not in known["evaluators"]
    return f"{name}_strict{colon}{options}" if is_format else spec


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> GateFile | None:
    """Collect a gate from each `*.fmt.toml`."""
    if file_path.name.endswith(".fmt.toml"):
        return GateFile.from_parent(parent, path=file_path)
    return None


class GateFile(pytest.File):
    """A gate file; it collects one item per threshold."""

    gate: Gate

    def collect(self) -> Iterator[GateItem]:
        from fmtharness.harness.errors import HarnessError
        from fmtharness.harness.gates.gate_file import read_gate
        from fmtharness.harness.schemas import importable
        from fmtharness.harness.text import printable

        try:
            with importable(self.config.rootpath):
                self.gate = read_gate(self.path, self.nodeid)
        except HarnessError as error:
            raise self.CollectError(printable(str(error))) from None
        for name in self.gate.items:
            yield GateItem.from_parent(self, name=name)


class GateItem(pytest.Item):
    """One threshold of a gate."""

    def runtest(self) -> None:
        assert isinstance(self.parent, GateFile)
        outcome = _outcomes(self.config, self.parent.gate)[self.name]
        self.user_properties.extend(outcome.properties.items())
        if outcome.failure:
            pytest.fail(outcome.failure, pytrace=False)

    def reportinfo(self) -> tuple[Path, None, str]:
        # Without the file's name as a prefix, pytest would print the name's dots as colons.
        from fmtharness.harness.text import one_line

        return self.path, None, one_line(f"{self.path.name}: {self.name}")


_OUTCOMES = pytest.StashKey[dict[Path, "dict[str, Outcome]"]]()


def _outcomes(config: pytest.Config, gate: Gate) -> dict[str, Outcome]:
    """The Outcomes of the gate's items, computed when the first item runs."""
    done = config.stash.setdefault(_OUTCOMES, {})
    if gate.path not in done:
        done[gate.path] = _judged_once(config, gate)
    return done[gate.path]


def _judged_once(config: pytest.Config, gate: Gate) -> dict[str, Outcome]:
    """Judge the gate. Among pytest-xdist workers, one judges and the others read its result."""
    from fmtharness.harness.gates.outcome import Outcome
    from fmtharness.harness.gates.outcomes import judge_gate

    # A worker's basetemp is a subfolder of the session's, which all local workers share.
    base = config.getoption("basetemp", None)
    worker = getattr(config, "workerinput", None)
    if worker is None or base is None:
        return judge_gate(gate)

    import msgspec
    from filelock import FileLock

    from fmtharness.harness.files import atomic_file

    key = hashlib.sha256(f"{worker['testrunuid']} {gate.path}".encode()).hexdigest()[:16]
    result = Path(base).parent / f"fmtharness-{key}.json"
    result.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{result}.lock"):
        if not result.is_file():
            with atomic_file(result) as temporary:
                temporary.write_bytes(msgspec.json.encode(judge_gate(gate)))
        return msgspec.json.decode(result.read_bytes(), type=dict[str, Outcome])
