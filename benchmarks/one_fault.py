"""Plants one fault at a time in valid texts of every format, and counts the labels that it gets.

    .venv/bin/python benchmarks/one_fault.py --texts 100000
    format  label           planted  alone  with others
    json    trailing_comma  812      812
    ...

A fault must get its own label and no other. Values are rendered and written in several ways, and
broken by the format's own corruptions. The exit code is 1 where a fault got another label, and
where a label was never planted that is not in NOT_PLANTED.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from random import Random
from typing import Any, Final, NamedTuple

import click
from styles import json_styles, toml_styles, xml_styles, yaml_styles

from fmtharness.harness.contracts import Format
from fmtharness.harness.formats import for_value, labels_of
from fmtharness.harness.plugins import component
from fmtharness.harness.report.tables import table
from fmtharness.harness.testing.sample_values import KEYS, WORDS, plain_values

VARIANTS: Final[Mapping[str, tuple[dict[str, Any], ...]]] = {
    "json": ({}, {"root": "any"}, {"max_depth": 3}),
    "json_array": ({},),
    "jsonl": ({}, {"root": "object"}),
    "tool_call": tuple(
        {"syntax": syntax, **options}
        for syntax in ("json", "hermes", "llama", "mistral", "mistral_args", "python")
        for options in ({}, {"calls": "one", "tools": KEYS})
    ),
    "yaml": ({}, {"max_depth": 8}),
    "toml": ({}, {"max_depth": 6}),
    "xml": ({}, {"root": "answer"}, {"max_depth": 6}),
    "csv": ({}, {"delimiter": ";"}, {"delimiter": "\t"}),
    "markdown_table": ({},),
    "regex": ({},),
}
"""The options with which each format is judged, in turn."""

_NO_ARRAY_INSIDE: Final = frozenset({"wrong_brackets"})
"""Labels that need an array inside the value, which plain values of these formats lack."""

NOT_PLANTED: Final[Mapping[str, frozenset[str]]] = {
    **dict.fromkeys(("json_array", "jsonl"), _NO_ARRAY_INSIDE),
    # What tomllib refuses and the scanner passes: no such text is known.
    "toml": frozenset({"syntax_error"}),
    "yaml": frozenset({"syntax_error"}),  # what no other label describes
}
"""Labels that no single fault of a valid text gives, such as the catch-all labels."""

MORE_WORDS: Final = (
    *("", " ", "Die Straße ist naß.", "one\ntwo", "C:\\temp\\new", "café\t1", "{}", "[1]"),
    *('<a href="u" class="v">t</a>', '{"a": "b"}', 'print("hi", end="")', "f(a='x', b=[1, 2])"),
    *('24" screen', '"quoted"', "'quoted'", "a // b", "/* c */", "# not a comment", "...", "👍🏽"),
    *("None", "False", "NaN", "yes", "~", "null", "0x1F", "007", "1_000", "-", "--- a", "a; b"),
    "A sentence that goes on for a while, with a comma, a colon: and a full stop.",
)


def _as_rendered(text: str, rng: Random) -> str:
    return text


WRITTEN: Final[Mapping[str, Callable[[str, Random], str]]] = {
    "json": json_styles,
    "json_array": json_styles,
    "toml": toml_styles,
    "xml": xml_styles,
    "yaml": yaml_styles,
}
"""Other ways to write what a format renders, where the format has them."""


class Tally(NamedTuple):
    """What the planted faults of a format were called, by label."""

    planted: Counter[str]
    alone: Counter[str]
    others: dict[str, tuple[str, list[str]]]
    """An example of each label that came with others: the text, and all its labels."""


def values_of(tested: Format, seed: int) -> list[Any]:
    """Values with plain words, and values with stranger words, as far as the format holds them."""
    found = plain_values(tested, seed, (*WORDS, *MORE_WORDS))
    return found if seed else plain_values(tested) + found


def texts_of(tested: Format) -> Iterator[tuple[Format, str]]:
    """Endless valid texts, each with the Format that is bound to its value."""
    write = WRITTEN.get(tested.name, _as_rendered)
    seed = 0
    while True:
        rng = Random(seed)
        for value in values_of(tested, seed):
            try:
                bound = for_value(tested, value)
                text = write(bound.render(value), rng)
            except ValueError:
                continue
            if bound.parse(text).ok:
                yield bound, text
        seed += 1


def plant(tested: Format, wanted: int) -> Tally:
    """Break valid texts in every way in turn, until `wanted` faults are planted."""
    tally = Tally(Counter(), Counter(), {})
    for number, (bound, text) in enumerate(texts_of(tested)):
        for name, corruption in bound.corruptions().items():
            broken = corruption(text, Random(number))
            if broken is None:
                continue
            tally.planted[name] += 1
            labels = sorted({problem.label for problem in bound.parse(broken).problems})
            if labels == [name]:
                tally.alone[name] += 1
            else:
                tally.others.setdefault(name, (broken, labels))
        if tally.planted.total() >= wanted:
            break
    return tally


def not_planted(tested: Format, tally: Tally) -> list[str]:
    """The labels of the format that no fault was planted for, and that should have one."""
    excused = NOT_PLANTED.get(tested.name, frozenset())
    return [label for label in labels_of(tested) if label not in {*tally.planted, *excused}]


@click.command()
@click.option("--texts", default=100_000, help="How many faults to plant, over all formats.")
@click.option("--format", "only", multiple=True, type=click.Choice(list(VARIANTS)))
@click.option("--show", is_flag=True, help="Show a text of each label that came with others.")
def main(texts: int, only: tuple[str, ...], show: bool) -> None:
    """Plant single faults and print, per format and label, how many got that label alone."""
    names = only or tuple(VARIANTS)
    rows, examples, missing = [], [], []
    total = alone = 0
    for name in names:
        found = Tally(Counter(), Counter(), {})
        tested = component("formats", name)()
        for options in VARIANTS[name]:
            wanted = texts // len(names) // len(VARIANTS[name]) + 1
            tested = component("formats", name)(**options)
            part = plant(tested, wanted)
            found.planted.update(part.planted)
            found.alone.update(part.alone)
            found.others.update(part.others)
        for label, count in sorted(found.planted.items()):
            text, labels = found.others.get(label, ("", []))
            rows.append([name, label, f"{count:,}", f"{found.alone[label]:,}", ", ".join(labels)])
            if labels:
                examples.append(f"{name} {label}: {labels}\n  {text[:400]!r}")
        missing += [f"{name}: {label}" for label in not_planted(tested, found)]
        total += found.planted.total()
        alone += found.alone.total()
    click.echo(table(["format", "label", "planted", "alone", "came as"], rows))
    if show:
        click.echo("\n".join(["", *examples]))
    click.echo(f"\n{total:,} faults planted, {alone:,} with their own label and no other")
    if missing:
        click.echo(f"labels never planted: {', '.join(missing)}")
    sys.exit(1 if alone < total or missing else 0)


if __name__ == "__main__":
    main()
