"""Differential fuzz: is a YAML text that passes read alike by six parsers?

    .venv/bin/python -m pip install ruamel.yaml
    npm install --prefix /tmp/yaml js-yaml@4 yaml@2
    .venv/bin/python benchmarks/yaml_readers.py --node /tmp/yaml --texts 1000000
    reader     texts      differed
    PyYAML     1,000,000  0
    ...

Texts are drawn from a grammar of YAML's styles and edited (yaml_texts.py). Those that the judge
accepts are read by PyYAML, libyaml, ruamel.yaml, js-yaml 4 and `yaml` in its modes 1.2 and 1.1, and
each value is compared with ours: the types too, but numbers as doubles where the reader is
JavaScript. Without --node, only the three in Python read. The exit code is 1 where one differed.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import count, islice
from multiprocessing import get_context
from multiprocessing.pool import Pool
from pathlib import Path
from random import Random
from typing import Any, Final, NamedTuple

import click
import yaml
from yaml_texts import suite_of, texts

from fmtharness.evaluators.yaml.format import YamlFormat
from fmtharness.harness.report.tables import table

READERS: Final = ("PyYAML", "libyaml", "ruamel.yaml", "js-yaml", "yaml 1.2", "yaml 1.1")
_JAVASCRIPT: Final = READERS[3:]
_DRAWN: Final = 2_000
"""Texts drawn from one seed."""
_JUDGE: Final = YamlFormat(root="any")
_WITH_COMMENTS: Final = YamlFormat(root="any", comments=True)


class Found(NamedTuple):
    """What one seed gave: the accepted texts' hashes, and the texts each reader reads otherwise."""

    accepted: list[int]
    differed: dict[str, list[tuple[str, str]]]


class _Refused:
    """What a reader that raises gives; equal to no value."""

    def __init__(self, why: object) -> None:
        self.why = why

    def __repr__(self) -> str:
        return f"refused: {str(self.why)[:120]}"


class Readers:
    """The parsers of one process."""

    def __init__(self, node: str) -> None:
        from ruamel.yaml import YAML

        self.ruamel = YAML(typ="safe", pure=True)
        script = str(Path(__file__).with_suffix(".mjs"))
        command = ["node", script, node]
        self.node = (
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            if node
            else None
        )

    def values(self, batch: list[str]) -> Iterator[list[Any]]:
        """Per text, what each of READERS reads; the first three without node."""
        if not (self.node and self.node.stdin and self.node.stdout):
            yield from map(self._python, batch)
            return
        self.node.stdin.write(json.dumps(batch).encode() + b"\n")
        self.node.stdin.flush()
        python = [self._python(text) for text in batch]
        answer = json.loads(self.node.stdout.readline())
        for ours, theirs in zip(python, answer, strict=True):
            yield ours + [value if read else _Refused(value) for read, value in theirs]

    def _python(self, text: str) -> list[Any]:
        found = []
        loads: tuple[Callable[[], Any], ...] = (
            lambda: yaml.load(text, yaml.SafeLoader),
            lambda: yaml.load(text, yaml.CSafeLoader),
            lambda: self.ruamel.load(text),
        )
        for load in loads:
            try:
                found.append(load())
            except Exception as error:
                found.append(_Refused(error))
        return found


_state: dict[str, Any] = {}


def _start(node: str, suite: str) -> None:
    _state.update(readers=Readers(node), suite=suite_of(suite) if suite else [], seen=set())


def _compare(seed: int) -> Found:
    """Draw texts from one seed, and compare what is read of those that pass."""
    found = Found([], {})
    kept, values = [], []
    seen: set[int] = _state["seen"]
    for text in islice(texts(Random(seed), _state["suite"]), _DRAWN):
        if hash(text) in seen:
            continue
        seen.add(hash(text))
        parsed = (_WITH_COMMENTS if "#" in text else _JUDGE).parse(text)
        if parsed.ok:
            kept.append(text)
            values.append(parsed.value)
            found.accepted.append(hash(text))
    for text, value, read in zip(kept, values, _state["readers"].values(kept), strict=True):
        for reader, theirs in zip(READERS, read, strict=False):
            if not same(value, theirs, reader in _JAVASCRIPT):
                found.differed.setdefault(reader, []).append((text, f"{value!r} / {theirs!r}"))
    return found


def same(ours: Any, theirs: Any, doubles: bool) -> bool:
    """Whether the values and their types are the same; `doubles` where all numbers are doubles."""
    if type(ours) is not type(theirs):
        numbers = {type(ours), type(theirs)} == {int, float}
        return doubles and numbers and float(ours) == float(theirs)
    if isinstance(ours, dict):
        return ours.keys() == theirs.keys() and all(
            same(value, theirs[key], doubles) for key, value in ours.items()
        )
    if isinstance(ours, list):
        return len(ours) == len(theirs) and all(
            same(one, other, doubles) for one, other in zip(ours, theirs, strict=True)
        )
    return bool(float(ours) == float(theirs) if doubles and type(ours) is int else ours == theirs)


@click.command()
@click.option("--node", default="", help="The folder with node_modules: js-yaml and yaml.")
@click.option("--texts", "wanted", default=1_000_000, help="How many accepted texts to compare.")
@click.option("--seed", default=0, help="The first seed; a run prints the one to go on with.")
@click.option("--suite", default="", help="A checkout of yaml-test-suite, whose texts are edited.")
@click.option("--processes", default=2)
@click.option("--show", default=1, help="How many examples to show per reader.")
def main(node: str, wanted: int, seed: int, suite: str, processes: int, show: int) -> None:
    """Compare what six parsers read of texts that the judge accepts."""
    accepted: set[int] = set()
    differed: dict[str, list[tuple[str, str]]] = {reader: [] for reader in READERS}
    counts: Counter[str] = Counter()
    began = time.monotonic()
    with get_context("fork").Pool(processes, _start, (node, suite)) as pool:
        for number, found in enumerate(_found(pool, seed, processes), seed + 1):
            accepted.update(found.accepted)
            for reader, cases in found.differed.items():
                counts[reader] += len(cases)
                differed[reader] = sorted({*differed[reader], *cases}, key=_length)[: max(show, 1)]
            if number % 50 == 0:
                spent = time.monotonic() - began
                said = f"seed {number}: {len(accepted):,} texts, {spent:.0f} s, {dict(counts)}"
                click.echo(said, err=True)
            if len(accepted) >= wanted:
                break
        pool.terminate()
    asked = READERS if node else READERS[:3]
    rows = [[reader, f"{len(accepted):,}", f"{counts[reader]:,}"] for reader in asked]
    click.echo(table(["reader", "texts", "differed"], rows))
    for reader, cases in differed.items():
        for text, values in cases[:show]:
            click.echo(f"{reader}: {text!r}\n  {values}")
    click.echo(f"{time.monotonic() - began:.0f} s; go on with --seed {number}")
    sys.exit(1 if counts else 0)


def _found(pool: Pool, seed: int, processes: int) -> Iterator[Found]:
    """What each seed gives, without end; a pool would consume an endless iterator at once."""
    for first in count(seed, 8 * processes):
        yield from pool.imap(_compare, range(first, first + 8 * processes))


def _length(case: tuple[str, str]) -> tuple[int, str]:
    return len(case[0]), case[0]


if __name__ == "__main__":
    main()
