"""`fmtharness eval` over files of other people: what is missing, twice, broken or elsewhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.test_eval_arms import (
    BAD,
    GOOD,
    call,
    example,
    jsonl,
    notes,
    refused,
    texts,
)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_numbers_of_three_engines_are_those_of_scipy() -> None:
    from scipy.stats import binomtest

    data = jsonl("rows.jsonl", [example(f"e{n}", None) for n in range(40)])
    first = texts("a.jsonl", **{f"e{n}": GOOD if n % 3 else BAD for n in range(40)})
    second = texts("b.jsonl", **{f"e{n}": GOOD if n % 7 else BAD for n in range(2, 40)}, zz=BAD)
    third: list[Any] = [{"id": f"e{n}", "text": GOOD} for n in range(30, 0, -1)]
    third += [{"id": "e30", "text": BAD}, {"id": "e31", "text": "", "finish_reason": "error"}]
    third[-1]["error"] = "timeout"
    files = [first, second, jsonl("c.jsonl", third)]
    with files[2].open("a") as file:
        file.write('{"id": "e32", "te\n')
    named = [part for path in files for part in ("--completions", path)]
    done = call(*named, "--data", data, "--evaluator", "json_strict", "--json")
    assert done.exit_code == 3, done.output
    found = json.loads(done.stdout)
    sides = [
        {f"e{n}": bool(n % 3) for n in range(40)},
        {f"e{n}": bool(n % 7) for n in range(2, 40)},
        {f"e{n}": True for n in range(1, 31)},
    ]
    for name, extra, side in zip("abc", (0, 0, 1), sides, strict=True):
        rate = found["arms"][name]["json_strict"]["metrics"]["format_success_rate"]
        passed, n = sum(side.values()), len(side) + extra
        low, high = binomtest(passed, n).proportion_ci(0.95, method="wilson")
        assert (rate["numerator"], rate["denominator"]) == (passed, n)
        assert (rate["value"], rate["low"], rate["high"]) == (passed / n, low, high)
    assert found["arms"]["c"]["json_strict"]["unscored"] == 2
    for name, side in zip("bc", sides[1:], strict=True):
        change = found["changes"][name]["json_strict"]
        pairs = [(sides[0][key], after) for key, after in side.items()]
        fixed, broken = pairs.count((False, True)), pairs.count((True, False))
        assert (change["pairs"], change["fixed"], change["broken"]) == (len(pairs), fixed, broken)
        assert change["p_value"] == binomtest(fixed, fixed + broken, 0.5).pvalue
        assert change["difference"] == pytest.approx((fixed - broken) / len(pairs))
        assert change["low"] < change["difference"] < change["high"]
    for note in (
        "1 completion of b.jsonl answers none of them, and is left out",
        "2 of 40 Examples of rows.jsonl have no answer in b.jsonl",
        "1 Example has several answers in c.jsonl; the intervals are too narrow",
        "1 of c's Examples have several answers; the first is paired",
        "38 of 40 Examples have scored answers of both a and b, and only these are paired",
        "30 of 40 Examples have scored answers of both a and c, and only these are paired",
    ):
        assert f"note: {note}" in done.stderr
    assert "c.jsonl, line 33: not a completion" in done.stderr


def test_files_with_nothing_in_common() -> None:
    left, right = texts("l.jsonl", a=GOOD), texts("r.jsonl", b=GOOD)
    done = call("--completions", left, "--completions", right, "--evaluator", "json_strict")
    assert notes(done) == ["note: no Example has scored answers of both l and r: nothing is paired"]
    assert done.stdout.splitlines()[-1].split()[-4:] == ["0", "-", "-", "-"]


def test_paths_and_names_of_arms_that_nobody_expects() -> None:
    Path("a run=1").mkdir()
    rows = texts("a run=1/my answers.jsonl", a=GOOD)
    arms = ["--arm", f"x\x1b[31m={rows}", "--arm", f"y={rows}", "--evaluator", "json_strict"]
    done = call(*arms)
    assert done.exit_code == 0 and "\x1b" not in done.output
    assert "y: completions a run=1/my answers.jsonl" in done.output
    assert "--arm ' =x.jsonl' is not NAME=base" in refused("--arm", " =x.jsonl")
    begun = Path("outputs/half")
    begun.mkdir(parents=True)
    (begun / "manifest.json").write_text('{"stages": {}}')
    assert refused("--arm", "base", "--arm", f"x={begun}") == (
        "--arm 'x=outputs/half': the run outputs/half has no adapter; `fmtharness run --out "
        "outputs/half` trains it"
    )
