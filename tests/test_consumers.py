"""`--consumers`: real readers in processes of their own, and what they make of completions."""

from __future__ import annotations

import json
import math
import shutil
import struct
import sys
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from fmtharness.evaluators.consumers import json_readers, yaml_readers
from fmtharness.evaluators.consumers.drivers.python import dump
from fmtharness.evaluators.json.format import JsonFormat
from fmtharness.harness.cli import main
from fmtharness.harness.formats import Consumer
from fmtharness.harness.judging.consumers import (
    MOST_CRASHES,
    Answer,
    NotInstalledError,
    Reader,
    ready,
)
from fmtharness.harness.judging.readings import ABSENT, Difference, Other, difference, undumped
from fmtharness.harness.options import build
from fmtharness.harness.plugins import registry
from fmtharness.harness.testing.sample_values import plain_values

SCRIPTS = ("Python json", "Python orjson", "Python msgspec", "JavaScript JSON.parse")
"""Readers that need no compiler and start at once."""
PERL = "Perl JSON::PP"
PROGRAMS = {"JavaScript JSON.parse": "node", PERL: "perl"}
DRIVER = """
import os, sys, time
def answer(data):
    sys.stdout.buffer.write(b"%d\\n%s" % (len(data), data))
    sys.stdout.buffer.flush()
answer(b"=1\\x1b[31m.0")
while size := sys.stdin.buffer.readline():
    data = sys.stdin.buffer.read(int(size))
    if data == b"die":
        os._exit(7)
    if data == b"hang":
        time.sleep(60)
    if data == b"huge":
        sys.stdout.buffer.write(b"999999999999\\n")
        sys.stdout.buffer.flush()
        continue
    if data == b"number":
        sys.stdout.buffer.write(b"x\\n")
        sys.stdout.buffer.flush()
        continue
    answer({b"odd": b"*", b"bad": b"-\\x1b[31m::error::", b"broken": b"+[i1;"}.get(data, b"+t"))
"""


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FMTHARNESS_CACHE", str(tmp_path / "cache"))


def installed(*names: str) -> tuple[Consumer, ...]:
    """JSON's readers of these names; those without their program are left out."""
    found = [each for each in json_readers() if each.name in names]
    return tuple(each for each in found if shutil.which(PROGRAMS.get(each.name, sys.executable)))


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> Sequence[str]:
    """JSON has the readers that start at once."""
    readers = installed(*SCRIPTS, PERL)
    monkeypatch.setattr(JsonFormat, "consumers", lambda self: readers)
    return [each.name for each in readers]


@pytest.fixture
def odd() -> Iterator[Reader]:
    driver = Path("driver.py")
    driver.write_text(DRIVER)
    with Reader(fake(driver.resolve()), seconds=0.4) as reader:
        yield reader


def fake(driver: Path, **fields: Any) -> Consumer:
    return Consumer("Odd", (sys.executable, "{driver}"), driver, "", **fields)


def call(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def rows(*texts: str, name: str = "rows.jsonl") -> str:
    lines = [json.dumps({"id": f"r{at}", "text": text}) for at, text in enumerate(texts)]
    Path(name).write_text("\n".join(lines) + "\n")
    return name


def asked(*texts: str, spec: str = "json_strict") -> dict[str, Any]:
    done = call("eval", "--completions", rows(*texts), "--evaluator", spec, "--consumers", "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)["consumers"]
    by_evaluator: dict[str, Any] = found[spec.partition(":")[0]]
    return by_evaluator


def test_valid_texts_are_taken_alike_by_all(few: Sequence[str]) -> None:
    json_format = JsonFormat()
    texts = [json_format.render(value) for value in plain_values(json_format)]
    texts += [
        '{"a": 1, "b": 1.0, "c": -0, "d": 0.1, "e": 1E3, "f": 2.5e-7, "g": 9007199254740991}',
        '{"1": "\\u00e9\\ud83d\\ude00\\u0000\\"\\\\\\/", "": {}, "é": [[], {}, [{"a": null}]]}',
        ' {"__proto__": {"x": [true, false, null]}, "b": 1, "a": 2, "10": 3, "9": 4}\n',
        '{"a":' * 60 + "1" + "}" * 60,
    ]
    found = asked(*texts)
    assert [*found["readers"]] == few
    assert found["texts"] == found["passed"] == len(texts)
    for name, reader in found["readers"].items():
        assert reader["accepted"]["numerator"] == len(texts), name
        assert reader["refuses_passed"] == reader["read_otherwise"] == reader["crashed"] == 0, name
    assert found["examples"] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["json", "jsonl", "toml", "yaml", "xml"])
def test_every_reader_on_this_machine_takes_valid_texts(name: str) -> None:
    strict: Any = build("evaluators", f"{name}_strict")
    texts = [strict.render(value) for value in plain_values(strict)]
    found = asked(*texts, spec=f"{name}_strict")
    for reader in found["readers"].values():
        assert reader["accepted"]["numerator"] == len(texts)
        assert reader["read_otherwise"] == reader["crashed"] == 0
    assert len(found["readers"]) + len(found["not_installed"]) == len(strict.consumers())


def test_of_what_fails_each_reader_takes_what_is_known_of_it(few: Sequence[str]) -> None:
    tested = JsonFormat(root="any")
    texts = {}
    for label, corrupt in tested.corruptions().items():
        made = (corrupt('{"a": [1, "x y"], "b": {"c": 2.5}}', Random(n)) for n in range(30))
        if text := next(filter(None, made), None):
            texts[label] = text
    assert len(texts) > 15
    done = call(
        *("eval", "--completions", rows(*texts.values()), "--evaluator", "json_strict:root=any"),
        *("--consumers", "--verdicts", "v.jsonl"),
    )
    assert done.exit_code == 0, done.output
    found = [json.loads(line) for line in Path("v.jsonl").read_text().splitlines()]
    takes: dict[str, set[str]] = {name: set() for name in few}
    for label, row in zip(texts, found, strict=True):
        assert row["passed"] is False
        assert [*row["consumers"]] == few
        for name, outcome in row["consumers"].items():
            if outcome != "refused":
                takes[name].add(label)
    ours = {"duplicate_key", "too_deep"}  # rules of ours, which RFC 8259's grammar does not have
    lenient = ours | {"byte_order_mark", "lone_surrogate", "nan_or_infinity"}
    assert {"byte_order_mark", "duplicate_key", "nan_or_infinity"} <= takes["Python json"]
    for name in few:
        assert ours <= takes[name] <= lenient, name
    for name in {"Python orjson", "Python msgspec", "JavaScript JSON.parse"} & {*few}:
        assert "nan_or_infinity" not in takes[name], name


@pytest.mark.skipif(not shutil.which("node"), reason="there is no node")
def test_javascript_reads_another_number(few: Sequence[str]) -> None:
    found = asked('{"a": [9007199254740993]}', '{"a": 9007199254740991}')
    assert found["readers"]["Python json"]["read_otherwise"] == 0
    node = found["readers"]["JavaScript JSON.parse"]
    assert (node["read_otherwise"], node["kinds"], node["refuses_passed"]) == (
        1,
        {"number": 1},
        0,
    )
    case = next(each for each in found["examples"] if each["reader"] == "JavaScript JSON.parse")
    assert case["id"] == "r0"
    assert case["said"].startswith("9007199254740992 is read at $.a[0], not 9007199254740993")


def test_hostile_texts_crash_nothing_here(few: Sequence[str]) -> None:
    deep = "[" * 20_000 + "]" * 20_000
    texts = [deep, '{"a": "\ud800"}', "", "\0", '{"a": 1' + "0" * 5_000 + "}", "{" * 20_000]
    done = call(
        *("eval", "--completions", rows(*texts, '{"a": 1}'), "--evaluator", "json_strict"),
        *("--consumers", "--verdicts", "v.jsonl"),
    )
    assert done.exit_code == 0, done.output
    found = [json.loads(line)["consumers"] for line in Path("v.jsonl").read_text().splitlines()]
    assert len(found) == len(texts) + 1
    assert {*found[-1]} == {*few}
    assert {*found[-1].values()} == {"accepted"}
    assert {*found[1].values()} == {"refused"}
    assert all("crashed" not in each.values() for each in found)


def test_only_scored_strict_verdicts_say_how_readers_took_the_text(few: Sequence[str]) -> None:
    Path("rows.jsonl").write_text(
        '{"id": "a", "text": "{}"}\n{"broken\n{"id": "2", "text": "{]"}\n'
        '{"id": "e", "text": "", "finish_reason": "error", "error": "timeout"}\n'
        '{"id": "a", "text": "{\\"b\\": 1, \\"b\\": 2}"}\n'
    )
    plain = call("eval", "--completions", "rows.jsonl", "--verdicts", "plain.jsonl")
    done = call("eval", "--completions", "rows.jsonl", "--verdicts", "v.jsonl", "--consumers")
    assert plain.exit_code == done.exit_code == 3
    found = [json.loads(line) for line in Path("v.jsonl").read_text().splitlines()]
    taken = [row.pop("consumers", None) for row in found]
    assert found == [json.loads(line) for line in Path("plain.jsonl").read_text().splitlines()]
    assert [row["id"] for row, each in zip(found, taken, strict=True) if each] == ["a", "2", "a"]
    assert [{*each.values()} for each in taken if each] == [{"accepted"}, {"refused"}, {"accepted"}]


def test_arms_have_a_table_each(few: Sequence[str]) -> None:
    files = [rows("{}", "{]", name="one.jsonl"), rows("{}", "{}", name="two.jsonl")]
    named = [part for name in files for part in ("--completions", name)]
    done = call("eval", *named, "--evaluator", "json_strict", "--consumers", "--json")
    found = json.loads(done.stdout)["consumers"]
    taken = {
        arm: each["json_strict"]["readers"]["Python json"]["accepted"]["numerator"]
        for arm, each in found.items()
    }
    assert taken == {"one": 1, "two": 2}
    done = call("eval", *named, "--evaluator", "json_strict", "--consumers")
    assert done.stdout.count("json_strict: reader") == 2


def test_check_asks_them_too(few: Sequence[str]) -> None:
    done = call("check", "--consumers", "--text", '{"a": 1, "a": 2}', "--text", "{}")
    assert done.exit_code == 1
    assert "refuses, of 1 passed" in done.stdout
    assert "text-1: fails as duplicate_key, and is taken by Python json, " in done.stdout
    found = json.loads(call("check", "--consumers", "--json", "--text", "{]").stdout)
    assert found[0]["consumers"]["json_strict"]["Python json"] == "refused"
    assert "consumers" not in json.loads(call("check", "--json", "--text", "{]").stdout)[0]


def test_no_reader_is_started_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    def started(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(Reader, "__init__", started)
    assert call("eval", "--completions", rows("{}")).exit_code == 0
    assert call("check", "--text", "{}").exit_code == 0
    assert call("eval", "--completions", rows("{}"), "--consumers").exit_code == 4


def test_a_format_without_readers_is_a_users_error() -> None:
    spec = "regex_strict:pattern=a"
    done = call("eval", "--completions", rows("a"), "--evaluator", spec, "--consumers")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "--consumers asks the readers of a format" in done.stderr


def test_what_is_not_installed_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = Path("driver.py").resolve()
    driver.write_text("import sys; sys.stdout.write('9\\n!no x\\x1b[31m'[:11])")
    readers = (
        Consumer("Absent", ("no-such-program", "{driver}"), driver, "apt install absent"),
        fake(driver, build=("no-such-compiler",))._replace(name="Unbuilt"),
        fake(driver),
        *installed("Python json"),
    )
    monkeypatch.setattr(JsonFormat, "consumers", lambda self: readers)
    done = call("eval", "--completions", rows("{}"), "--evaluator", "json_strict", "--consumers")
    assert done.exit_code == 0, done.output
    assert "not installed: Absent (there is no no-such-program); apt install absent" in done.stdout
    assert "not installed: Unbuilt (there is no no-such-compiler)" in done.stdout
    assert "not installed: Odd (" in done.stdout
    assert "\x1b" not in done.output
    assert "Python json" in done.stdout


def test_a_reader_that_dies_hangs_or_lies_crashes_on_that_text_alone(odd: Reader) -> None:
    texts = ("x", "die", "x", "hang", "x", "huge", "x", "number", "x", "odd", "x", "bad")
    answers = [odd.read(text) for text in texts]
    assert [answer.state for answer in answers[::2]] == ["accepted"] * 6
    assert [answer.state for answer in answers[1::2]] == ["crashed"] * 5 + ["refused"]
    assert "exit status 7" in answers[1].said
    assert "longer than 0.4 s" in answers[3].said


def test_a_reader_that_keeps_crashing_is_left_alone(odd: Reader) -> None:
    odd.crashes = MOST_CRASHES
    assert odd.read("x").state == "crashed"


def test_what_a_driver_says_is_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = Path("driver.py").resolve()
    driver.write_text(DRIVER.replace('b"bad"', 'b"{}"'))
    monkeypatch.setattr(JsonFormat, "consumers", lambda self: (fake(driver),))
    done = call("eval", "--completions", rows("{}"), "--evaluator", "json_strict", "--consumers")
    assert "r0: passes, and is refused (␛[31m" in done.stdout
    assert "1␛[31m.0" in done.stdout
    assert "\x1b" not in done.output


def test_a_dump_that_is_none_is_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = Path("driver.py").resolve()
    driver.write_text(DRIVER.replace('b"broken"', 'b"{}"'))
    monkeypatch.setattr(JsonFormat, "consumers", lambda self: (fake(driver),))
    assert asked("{}")["readers"]["Odd"]["read_otherwise"] == 0


def test_a_driver_is_built_once(capsys: pytest.CaptureFixture[str]) -> None:
    source = Path("source.py").resolve()
    source.write_text(DRIVER)
    copy = "import sys, shutil; shutil.copy(*sys.argv[1:])"
    consumer = Consumer(
        "Built",
        (sys.executable, "{program}"),
        source,
        "",
        build=(sys.executable, "-c", copy, "{driver}", "{program}"),
    )
    for _ in range(2):
        with Reader(consumer, seconds=5) as reader:
            assert reader.read("x") == Answer("accepted", b"t")
    assert capsys.readouterr().err.count("is built once") == 1
    folder = Path("cache/consumers")
    assert len([*folder.iterdir()]) == 1
    failing = consumer._replace(build=(sys.executable, "-c", "raise ValueError('error: no <x.h>')"))
    with pytest.raises(NotInstalledError, match=r"cannot be built: .*error: no <x.h>"):
        ready(failing)
    folder.chmod(0o777)
    with pytest.raises(NotInstalledError, match="others may write to"):
        ready(consumer)


def test_lines_are_given_one_by_one() -> None:
    (consumer,) = [each for each in json_readers(by_line=True) if each.name == "Python json"]
    with Reader(consumer, seconds=5) as reader:
        assert reader.read('{"a": 1}\n[2]\n').dump == b"[{s1:ai1;}[i2;]]"
        assert reader.read("1\n\n2").state == "refused"


@pytest.mark.parametrize("name", ["jsonl", "json_array", "tool_call", "toml", "yaml", "xml", "csv"])
def test_python_takes_what_each_format_renders(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    strict: Any = build("evaluators", f"{name}_strict")
    known = registry()["formats"][name].component
    python = {"Python json", "Python tomllib", "Python PyYAML (1.1)", "Python expat", "Python csv"}
    readers = tuple(each for each in strict.consumers() if each.name in python)
    assert len(readers) == 1
    monkeypatch.setattr(known, "consumers", lambda self: readers)
    texts = [strict.render(value) for value in plain_values(strict)[:12]]
    found = asked(*texts, spec=f"{name}_strict")
    (reader,) = found["readers"].values()
    assert found["passed"] == len(texts)
    assert reader["accepted"]["numerator"] == len(texts)
    assert reader["read_otherwise"] == 0


def test_yaml_1_1_reads_a_word_as_a_flag() -> None:
    pyyaml = next(each for each in yaml_readers() if each.name == "Python PyYAML (1.1)")
    with Reader(pyyaml, seconds=5) as reader:
        value = undumped(reader.read("a: yes").dump)
        assert reader.read("a: !!python/object:os.system x").state == "refused"
        bomb = "a: &a [x, x]\n" + "".join(
            f"{new}: &{new} [{', '.join(['*' + old] * 9)}]\n" for old, new in pairwise("abcdefgh")
        )
        assert reader.read(bomb) == Answer("accepted", b"?")
    assert difference(value, {"a": "yes"}) == Difference("type", "$.a", True, "yes")


@pytest.mark.parametrize(
    ("one", "other", "kind", "path"),
    [
        (2**53 + 1, float(2**53), "number", "$"),
        ([1, {"a": "x"}], [1, {"a": "y"}], "text", "$[1].a"),
        ({"a": 1}, {"a": 1, "b": 2}, "structure", "$.b"),
        ([1], [1, 2], "structure", "$"),
        ({}, [], "structure", "$"),
        (1, "1", "type", "$"),
        (True, 1, "type", "$"),
        (None, False, "type", "$"),
        (math.inf, 10**400, "number", "$"),
    ],
)
def test_kinds_of_difference(one: Any, other: Any, kind: str, path: str) -> None:
    for found in (difference(one, other), difference(other, one)):
        assert found is not None
        assert (found.kind, found.path) == (kind, path)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, 1.0),
        (-0.0, 0),
        (math.nan, math.nan),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        (10**22, 1e22),
        (Other("2024-01-01"), undumped(b"o20:2024-01-01T00:00:00Z")),
    ],
)
def test_the_same_to_a_program(one: Any, other: Any) -> None:
    assert difference(one, other) is None


def test_a_missing_key_is_told() -> None:
    assert difference({"a": 1}, {}) == Difference("structure", "$.a", 1, ABSENT)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@settings(max_examples=50, deadline=None)
@given(VALUES)
def test_a_dump_is_read_as_what_it_was(value: Any) -> None:
    assert difference(undumped(dump(value)), value) is None


@given(st.text("ntf[]{}i;ds:0123456789a", max_size=12))
def test_no_dump_raises_another_error(text: str) -> None:
    try:
        undumped(text.encode())
    except ValueError:
        return


def test_a_deep_or_long_value_is_compared() -> None:
    value: Any = 1
    for _ in range(50_000):
        value = [value]
    assert (
        difference(undumped(dump(value)), undumped(b"[" * 50_000 + b"i1;" + b"]" * 50_000)) is None
    )
    assert dump(10**5_000) == b"i1" + b"0" * 5_000 + b";"
    assert undumped(dump(10**5_000)) == 10**5_000
    assert dump(0.5) == b"d" + struct.pack(">d", 0.5).hex().encode()
    shared: Any = ["x"]
    for _ in range(40):
        shared = [shared, shared]
    assert dump(shared) == b"?"
