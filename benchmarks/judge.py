"""Compares the complete verdict of `json_strict` with bare parsers and with the checks of peers.

    python benchmarks/judge.py          a few minutes
    python benchmarks/judge.py --quick  a few seconds, for a look
    ->  one table: verdicts/s on passing and failing texts, then hostile texts, then the targets

One process on one core. Each figure is the best of several rounds, and every round asks everyone,
so that a disturbance hits all alike. A verdict of ours holds all labels with their spans and, where
the text passes, has read its value; the parsers and peers say yes or no. Whether the targets are
met is printed; the exit code does not depend on it.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import json
import os
import platform
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import product
from pathlib import Path
from random import Random

import msgspec
from completions import WORDS, value

from fmtharness.harness.judging.verdicts import judge
from fmtharness.harness.options import build
from fmtharness.harness.records import Completion

SIZE = 235
"""Bytes of a passing text; the failing ones are made from these."""
TEXTS = 48
PASSING_RATE, FAILING_RATE = 250_000, 60_000
MOST_OF_LOADS, MOST_SECONDS, MOST_DOUBLING = 2.0, 1.0, 2.3
BASELINE = "json.loads"
OURS = "json_strict"
PEERS = {
    "ifeval": "IFEval json_format",
    "promptfoo_is_json": "promptfoo is-json",
    "promptfoo_contains_json": "promptfoo contains-json",
    "deepeval": "deepeval JSON correctness",
}
"""The functions of fmtharness.evaluators.json.peers, and what they are checks of."""

UNITS = (
    *(
        "{",
        "[",
        '{"a":',
        '{"a":1,',
        '[{"":',
        "{}",
        "[1]",
        '"',
        '\\"',
        "'",
        "`",
        "``` ",
        '{"a"',
        " ",
    ),
    *("a ", "a 'b ", "{a“a ", "[1 ", "}", "]", "[}", "{]", ",", ":", "//", "/*", "#\n", "1", "-"),
    *("\x00", "\ufeff", "\ud800", "\\ud800", '"\\u12', '{"a":x,', '{"a":"b"c', '{"a":1} x {"b":'),
    *("[[],", '{"a":1;', '["a":', "1_", '{"a":True,"a":', '{"a":{"a":1},', "\xa0", "“", "..."),
    *('"a"b', '{"\\u0061":1,', "{a:", '"a":1,', '{"a":1}', '"a":"b",', '"\\n"'),
)
STARTS = ("", '{"a":', "[", '{"a":"', "x ")

Check = Callable[[Sequence[str], Sequence[Completion]], None]


class Timed(msgspec.Struct):
    """One hostile text, and the seconds that its verdict takes at half and at full length."""

    start: str
    unit: str
    half: float = float("inf")
    full: float = float("inf")

    @property
    def growth(self) -> float:
        return self.full / self.half


def passing_texts(rng: Random) -> list[str]:
    """Different realistic objects, each of exactly SIZE bytes."""
    found: list[str] = []
    while len(found) < TEXTS:
        fields = value(rng)
        short = len(json.dumps({**fields, "remark": ""}, ensure_ascii=False).encode())
        if short > SIZE:
            continue
        words = " ".join(rng.choice(WORDS) for _ in range(SIZE // 4))[: SIZE - short]
        found.append(json.dumps({**fields, "remark": words}, ensure_ascii=False))
        assert len(found[-1].encode()) == SIZE
    return found


def kinds_of_text(rng: Random) -> dict[str, list[str]]:
    """The passing texts, and the same ones broken in four ways."""
    passing = passing_texts(rng)
    return {
        "passing": passing,
        "fenced": [f"```json\n{text}\n```" for text in passing],
        "trailing prose": [text + "\n\nI hope this helps!" for text in passing],
        "truncated": [text[: rng.randrange(1, len(text))] for text in passing],
        "duplicate key": [
            f"{text[:-1]}, {text[1 : text.index(':')]}: {number}}}"
            for number, text in enumerate(passing)
        ],
    }


def _by_parser(loads: Callable[[str], object]) -> Check:
    def run(texts: Sequence[str], completions: Sequence[Completion]) -> None:
        for text in texts:
            try:  # noqa: SIM105 - suppress() would be timed too
                loads(text)
            except ValueError:
                pass

    return run


def _by_peer(check: Callable[[str], bool]) -> Check:
    def run(texts: Sequence[str], completions: Sequence[Completion]) -> None:
        for text in texts:
            check(text)

    return run


def contestants() -> tuple[dict[str, Check], list[str]]:
    """Every judge by name, and a note for each that is missing."""
    evaluator = build("evaluators", OURS)

    def alone(texts: Sequence[str], completions: Sequence[Completion]) -> None:
        evaluate = evaluator.evaluate
        for completion in completions:
            evaluate(None, completion)

    def in_the_loop(texts: Sequence[str], completions: Sequence[Completion]) -> None:
        deque(judge([evaluator], {}, completions), maxlen=0)

    found: dict[str, Check] = {
        OURS: alone,
        f"{OURS}, core's loop": in_the_loop,
        BASELINE: _by_parser(json.loads),
    }
    notes = []
    try:
        found["orjson.loads"] = _by_parser(importlib.import_module("orjson").loads)
    except ModuleNotFoundError:
        notes.append("orjson is not installed: pip install '.[bench]'")
    try:
        peers = importlib.import_module("fmtharness.evaluators.json.peers")
        found |= {title: _by_peer(getattr(peers, name)) for name, title in PEERS.items()}
    except (ModuleNotFoundError, AttributeError) as error:
        notes.append(f"the checks of peers are left out ({error})")
    return found, notes


def best_seconds(
    checks: dict[str, Check], kinds: dict[str, list[str]], rounds: int
) -> dict[tuple[str, str], float]:
    """Per contestant and kind of text, the seconds for one text."""
    rows = {
        kind: (texts, [Completion(example_id=str(at), text=text) for at, text in enumerate(texts)])
        for kind, texts in kinds.items()
    }
    best = dict.fromkeys(product(checks, kinds), float("inf"))
    for _ in range(rounds):
        for name, kind in best:
            texts, completions = rows[kind]
            texts, completions = texts * 10, completions * 10
            began = time.perf_counter()
            checks[name](texts, completions)
            took = (time.perf_counter() - began) / len(texts)
            best[name, kind] = min(best[name, kind], took)
    return best


def hostile_texts(size: int, units: Iterable[str], rounds: int) -> list[Timed]:
    """How long the verdict on each hostile text takes, the slowest first.

    Each is timed once; those that look bad, and the slowest, are timed again.
    """
    evaluator = build("evaluators", OURS)

    def seconds(each: Timed, length: int) -> float:
        text = each.start + each.unit * (length // len(each.unit))
        completion = Completion(example_id="x", text=text)
        began = time.perf_counter()
        evaluator.evaluate(None, completion)
        return time.perf_counter() - began

    def measure(each: Timed) -> None:
        each.half = min(each.half, seconds(each, size // 2))
        each.full = min(each.full, seconds(each, size))

    found = [Timed(start, unit) for unit in units for start in STARTS]
    for each in found:
        measure(each)
    found.sort(key=lambda each: -each.full)
    for at, each in enumerate(found):
        for _ in range(rounds if at < 5 else 4 * rounds):
            if at < 5 or each.full > MOST_SECONDS or each.growth > MOST_DOUBLING:
                measure(each)
    return sorted(found, key=lambda each: -each.full)


def rates_table(best: dict[tuple[str, str], float], kinds: Sequence[str]) -> str:
    """Verdicts per second, and the time that passing texts take as a multiple of json.loads."""
    lines = [
        f"{'verdicts/s':<28}" + "".join(f"{kind:>15}" for kind in kinds) + f"{'x json.loads':>15}"
    ]
    for name in dict.fromkeys(name for name, _ in best):
        rates = "".join(f"{1 / best[name, kind]:>15,.0f}" for kind in kinds)
        times = best[name, "passing"] / best[BASELINE, "passing"]
        lines.append(f"{name:<28}{rates}{times:>15.2f}")
    return "\n".join(lines)


def hostile_table(found: Sequence[Timed], size: int) -> str:
    """The five slowest texts, and the five whose time grows most with their length."""
    lines = [f"{f'hostile, {size:,} characters':<42}{'seconds':>10}{'half of it':>12}{'growth':>9}"]
    worst = list(found[:5])
    worst += [
        each for each in sorted(found, key=lambda each: -each.growth)[:5] if each not in worst
    ]
    for each in worst:
        text = f"{each.start + each.unit!a} ..."
        lines.append(f"{text:<42}{each.full:>10.3f}{each.half:>12.3f}{each.growth:>9.2f}")
    over = sum(each.full > MOST_SECONDS for each in found)
    lines.append(f"{len(found)} texts, {over} of them over {MOST_SECONDS:g} s")
    return "\n".join(lines)


def targets_table(
    best: dict[tuple[str, str], float], kinds: Sequence[str], found: Sequence[Timed], size: int
) -> str:
    """Each target, what was measured, and whether it is met."""
    passing = 1 / best[OURS, "passing"]
    times = best[OURS, "passing"] / best[BASELINE, "passing"]
    rows = [
        (f"passing, at least {PASSING_RATE:,}/s", f"{passing:,.0f}/s", passing >= PASSING_RATE),
        (
            f"passing, at most {MOST_OF_LOADS:g}x json.loads",
            f"{times:.2f}x",
            times <= MOST_OF_LOADS,
        ),
    ]
    for kind in kinds[1:]:
        rate = 1 / best[OURS, kind]
        rows.append(
            (f"{kind}, at least {FAILING_RATE:,}/s", f"{rate:,.0f}/s", rate >= FAILING_RATE)
        )
    slowest = found[0].full
    growth = max(each.growth for each in found)
    rows += [
        (
            f"hostile {size:,} characters, under {MOST_SECONDS:g} s each",
            f"{slowest:.2f} s",
            slowest < MOST_SECONDS,
        ),
        (
            f"hostile text doubled, at most {MOST_DOUBLING}x the time",
            f"{growth:.2f}x",
            growth <= MOST_DOUBLING,
        ),
    ]
    lines = [f"{'target':<52}{'measured':>14}"]
    lines += [f"{what:<52}{got:>14}  {'met' if met else 'MISSED'}" for what, got, met in rows]
    return "\n".join(lines)


def machine() -> str:
    """What it ran on, and with which versions."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
        model = next((line.split(":")[1].strip() for line in lines if "model name" in line), model)
    versions = [f"Python {platform.python_version()}"]
    for package in ("fmtharness", "msgspec", "orjson"):
        try:
            versions.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return f"{model}, {os.cpu_count()} cores, one used; {platform.system()}; {', '.join(versions)}"


def main() -> None:
    """Measure, and print everything at the end."""
    parser = argparse.ArgumentParser(description="Time the strict verdict and its rivals.")
    parser.add_argument("--quick", action="store_true", help="a few seconds, rough figures")
    quick = parser.parse_args().quick
    kinds = kinds_of_text(Random(0))
    checks, notes = contestants()
    best = best_seconds(checks, kinds, 5 if quick else 40)
    size = 100_000 if quick else 1_000_000
    found = hostile_texts(size, UNITS[::5] if quick else UNITS, 2 if quick else 4)
    parts = [
        machine(),
        rates_table(best, list(kinds)),
        hostile_table(found, size),
        targets_table(best, list(kinds), found, size),
        *notes,
    ]
    sys.stdout.write("\n\n".join(parts) + "\n")


if __name__ == "__main__":
    main()
