"""Who judges the answers to a generator's Examples: those that a config names, or those implied.

implied(["yaml"])               ->  ("yaml_strict", "yaml_match")
judges_of(None, Tasks(), ...)   ->  Judges(("json_strict", "json_match"), (...,)), []
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from fmtharness.harness.config.sections import component_of
from fmtharness.harness.contracts import Evaluator, Generator, formats_of, needs_value
from fmtharness.harness.errors import UserError
from fmtharness.harness.formats import also_judged_by
from fmtharness.harness.plugins import component
from fmtharness.harness.records import NO_FORMAT


class Judges(NamedTuple):
    """Specs of evaluators, and the evaluators themselves."""

    specs: tuple[str, ...] = ()
    evaluators: tuple[Evaluator, ...] = ()


def implied(formats: Iterable[str]) -> tuple[str, ...]:
    """The default evaluators of Completions in these formats.

    Raises UserError for an unknown format.
    """
    each = (also_judged_by(component("formats", name)) for name in dict.fromkeys(formats))
    return tuple(dict.fromkeys(itertools.chain.from_iterable(each)))


def judges_of(
    named: Sequence[str] | None,
    generator: Generator | None,
    where: str,
    *,
    data: str,
    quiet: bool,
    asked: bool,
) -> tuple[Judges, list[str]]:
    """The evaluators that the table `where` names, or those that the generator implies.

    `data` is the generator's table. Returns them with one sentence per fault; `quiet` leaves out
    that a generator implies none.
    """
    faults: list[str] = []
    wanted: set[str] = set()
    specs: tuple[str, ...] = tuple(named or ())
    whose = data.rpartition(": ")[2]
    try:
        wanted = set(getattr(generator, "formats", ()))
        specs = specs if named is not None else _implied_by(generator)
    except UserError as error:
        # The data of a finished run may be gone, and its evaluators are named.
        faults += [] if named is not None else [f"{data}: {error}"]
    if generator is not None and named is None and not specs and not faults and not quiet:
        faults.append(
            f"{where} lacks the key 'evaluators': generator {generator.name!r} does not say "
            f"in which formats its Examples are"
        )
    where = f"{where} evaluators"
    built = [component_of("evaluators", spec, where, asked=asked) for spec in specs]
    faults += [line for _, wrong in built for line in wrong]
    evaluators: list[Evaluator] = [each for each, _ in built if each is not None]
    for each in evaluators:
        judged = formats_of(each)
        if wanted and judged is not None and judged.isdisjoint(wanted):
            those, named_there = (", ".join(sorted(names)) for names in (judged, wanted))
            faults.append(
                f"{where}: {each.name!r} judges {those}, and {whose} asks for {named_there}"
            )
    for name in sorted(wanted) if named is not None and len(evaluators) == len(built) else ():
        judges = [formats_of(each) for each in evaluators]
        if not any(judged is None or name in judged for judged in judges):
            faults.append(f"{where}: none judges {name}, which {whose} asks for")
    names = Counter(each.name for each in evaluators)
    faults += [f"{where}: {each!r} is given twice" for each, count in names.items() if count > 1]
    return Judges(specs, tuple(evaluators)), faults


def keepers(evaluators: Iterable[Evaluator]) -> tuple[Evaluator, ...]:
    """The judges of retention in a run whose answers these evaluators judge.

    What nobody asked for is looked for in the formats of the run.
    """
    formats = sorted({name for each in evaluators for name in formats_of(each) or ()} - {NO_FORMAT})
    unasked = component("evaluators", "unasked_format")(unasked=tuple(formats))
    return unasked, component("evaluators", "loops")()


def _implied_by(generator: Any) -> tuple[str, ...]:
    """The default evaluators for a generator's Examples."""
    found = implied(getattr(generator, "formats", ()))
    if not getattr(generator, "targets", True):
        found = tuple(spec for spec in found if not needs_value(component("evaluators", spec)()))
    return tuple(dict.fromkeys((*found, *getattr(generator, "evaluators", ()))))
