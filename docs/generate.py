"""Writes the pages of docs/ that are generated from the code, or says which of them are stale.

    python docs/generate.py            ->  docs/cli.md, config.md, labels.md, plugins-reference.md
    python docs/generate.py --check    ->  "stale: docs/cli.md; run make docs" and exit code 1

It reads docstrings, fields and help texts of the built-in components and loads no model. It does
not touch hand-written pages.
"""

from __future__ import annotations

import importlib
import inspect
import json
import re
import typing
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from random import Random
from types import NoneType, UnionType
from typing import Any, Literal

import click
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from fmtharness.evaluators.answers.open_request import LABELS as REQUEST
from fmtharness.evaluators.json.format import JsonFormat
from fmtharness.evaluators.json.labels import LABELS
from fmtharness.harness import config, contracts, hookspecs
from fmtharness.harness.cli import main as fmtharness
from fmtharness.harness.contracts import Format, rates_of
from fmtharness.harness.formats import for_value, labels_of
from fmtharness.harness.plugins import KINDS, Kind, Registered, load
from fmtharness.harness.testing import plain_values

FOLDER = Path(__file__).parent
WIDTH = 88
NOTE = "<!-- Written by docs/generate.py from the code: change the code, then run `make docs`. -->"

TYPES = {str: "string", int: "integer", float: "number", bool: "boolean", Path: "path"}
BOUNDS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}

SAMPLES = {
    "empty": "\n",
    "no_json": "I cannot do that.",
    "byte_order_mark": '\ufeff{"a": 1}',
    "text_before": 'Sure: {"a": 1}',
    "text_after": '{"a": 1} Done.',
    "code_fence": '```json\n{"a": 1}\n```',
    "multiple_roots": '{"a": 1} {"a": 2}',
    "wrong_root": '["a"]',
    "too_deep": '{"a": {"b": {}}}',
    "truncated": '{"a": [1, 2',
    "duplicate_key": '{"a": 1, "a": 2}',
    "lone_surrogate": '{"a": "\\ud83d"}',
    "trailing_comma": '{"a": 1,}',
    "extra_comma": '{"a": 1,, "b": 2}',
    "missing_comma": '{"a": 1 "b": 2}',
    "missing_colon": '{"a" 1}',
    "missing_value": '{"a": }',
    "mismatched_bracket": '{"a": [1}',
    "wrong_brackets": '{"a": (1, 2)}',
    "unquoted_key": "{a: 1}",
    "unquoted_value": '{"a": blue}',
    "single_quotes": "{'a': 1}",
    "smart_quotes": '{"a": “b”}',
    "unescaped_quote": '{"a": "the "big" one"}',
    "unclosed_quote": '{"a": "x, "b": "y"}',
    "escaped_text": '{\\"a\\": \\"x\\"}',
    "bad_escape": '{"a": "\\x41"}',
    "raw_control_character": '{"a": "b\nc"}',
    "python_literal": '{"a": True}',
    "nan_or_infinity": '{"a": NaN}',
    "leading_zero": '{"a": 007}',
    "bad_number": '{"a": +1}',
    "comment": '{"a": /* one */ 1}',
    "ellipsis": '{"a": [1, ...]}',
    "bad_whitespace": '{"a":\u00a01}',
    "unexpected_character": '{"a": 1 ^}',
}
"""For each label a text that carries only this label."""

STRICT = JsonFormat(max_depth=2)
SELECTORS: tuple[tuple[str, str, type[BaseModel], Kind], ...] = (
    ("data", "generator", config.DataOptions, "generators"),
    ("train", "trainer", config.TrainOptions, "trainers"),
    ("eval", "backend", config.EvalOptions, "backends"),
)


def table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; a pipe inside a cell is escaped and a line break becomes a space."""
    lines = [headers, ["---"] * len(headers), *rows]
    cells = ([" ".join(cell.split()).replace("|", "\\|") for cell in line] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def code(text: str) -> str:
    """Inline code, fenced by more backticks than the text has in a row."""
    ticks = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{ticks} {text} {ticks}" if len(ticks) > 1 else f"`{text}`"


def block(text: str, language: str = "text") -> str:
    """A fenced block; the fence is longer than any in the text."""
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{fence}{language}\n{text}\n{fence}"


def page(title: str, *parts: str) -> str:
    """A whole generated page."""
    return "\n\n".join([f"# {title}", NOTE, *parts]) + "\n"


def built_ins() -> dict[Kind, dict[str, Registered]]:
    """The components of fmtharness itself, whatever else is installed."""
    return load(())


def cli_page() -> str:
    """docs/cli.md: the help text of every command."""
    top = click.Context(
        fmtharness, info_name="fmtharness", terminal_width=WIDTH, **fmtharness.context_settings
    )
    parts = [
        "Exit codes: 0 done, 1 a gate or a check failed, 2 a user error, 3 something could not be "
        "scored, 4 an internal error, 130 after Ctrl-C, 141 if the reader of a pipe ended, 143 "
        "after SIGTERM. With `FMTHARNESS_TRACEBACK=1` an internal error shows its traceback, which "
        "else goes into a file that its sentence names. CONFIG is a TOML file ([its "
        "keys](config.md)); without one the defaults apply.",
        block(fmtharness.get_help(top)),
    ]
    for name, command in fmtharness.commands.items():
        context = click.Context(command, info_name=name, parent=top)
        parts += [f"## fmtharness {name}", block(command.get_help(context))]
    return page("Command line", *parts)


def config_page() -> str:
    """docs/config.md: every table and key with its type, default and meaning."""
    found = built_ins()
    parts = [
        "A config is a TOML file. A key that it leaves out has the default below; an unknown key "
        "is an error. `--set TABLE.KEY=VALUE` overrides one key and may be repeated, as in "
        "`--set train.learning_rate=5e-4 --set seed=7`.",
        "## Above all tables",
        fields(config.RunOptions),
        "## [model]",
        fields(contracts.ModelOptions),
    ]
    for name, selector, core, kind in SELECTORS:
        parts += [f"## [{name}]", fields(core)]
        for each in found[kind].values():
            parts += [f'### [{name}] with {selector} = "{each.name}"', own_fields(each)]
        if core is config.TrainOptions:
            parts += [
                "### [train.next_round]",
                "How each [round](training.md#rounds) but the first trains. The table takes the "
                "keys of its trainer, too; those that are not set are as in [train].",
                fields(config.RoundOptions),
            ]
    parts += [
        "## [eval.servers.NAME]",
        "A server that answers as the arm `server:NAME`, in as many tables as you like. The table "
        "takes the keys of its backend, too.",
        fields(config.ServerOptions),
        "## [eval.sets.NAME]",
        "Examples that the arms answer besides those of [data], in as many tables as you like. "
        "The name is yours: their files are `completions/NAME/sft.jsonl` and so on, their scalars "
        "`eval/NAME/<rate>`.",
        fields(config.SetOptions),
        "## [retention]",
        "Ordinary prompts that ask for no format, which a cure must leave as they were: "
        "[numbers.md](numbers.md#retention) explains what is measured. What the base itself does "
        "is never over the budget.",
        fields(config.RetentionOptions),
    ]
    parts += ["## [report]", fields(config.ReportOptions)]
    parts += [
        "## Options of evaluators",
        "They follow the evaluator's name, in `eval.evaluators` and on the command line: "
        "`--evaluator json_strict:root=any,max_depth=8`.",
    ]
    for each in found["evaluators"].values():
        parts += [f"### {each.name}", own_fields(each)]
    return page("Config", *parts)


def own_fields(registered: Registered) -> str:
    """A component's summary and its options."""
    keys = fields(registered.component) if registered.component.model_fields else "No options."
    return f"{registered.summary}\n\n{keys}"


def fields(model: type[BaseModel]) -> str:
    """The table of a model's keys."""
    rows = [
        (f"`{key}`", kind_of(field.annotation, field.metadata), default(field), meaning(field))
        for key, field in model.model_fields.items()
    ]
    return table(("key", "type", "default", "meaning"), rows)


def kind_of(annotation: Any, metadata: Sequence[Any] = ()) -> str:
    """A field's type as one writes it in TOML: `integer >= 1`, `"linear"` or `"cosine"`."""
    bounds = [
        f"{sign} {getattr(each, name):g}"
        for each in metadata
        for name, sign in BOUNDS.items()
        if getattr(each, name, None) is not None
    ]
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Literal:
        return " or ".join(code(json.dumps(value)) for value in inner)
    if origin in (UnionType, typing.Union):
        shown = " or ".join(kind_of(each) for each in inner if each is not NoneType)
    elif origin is typing.Annotated:
        extra = inner[1].metadata if isinstance(inner[1], FieldInfo) else inner[1:]
        shown = kind_of(inner[0], extra)
    elif origin is dict:
        shown = "table" if inner[1] is Any else f"table of {kind_of(inner[1])}"
    elif origin in (tuple, list):
        shown = f"array of {kind_of(inner[0])}s"
    else:
        shown = TYPES.get(annotation, str(annotation))
    return f"{shown} {', '.join(bounds)}".strip()


def default(field: FieldInfo) -> str:
    """A field's default as TOML, or `not set`."""
    if field.is_required():
        return "see right"
    value = field.get_default(call_default_factory=True, validated_data={})
    return "not set" if value is None else code(json.dumps(value, default=str))


def meaning(field: FieldInfo) -> str:
    """The docstring under a field."""
    return field.description or ""


def plugins_page() -> str:
    """docs/plugins-reference.md: the hooks, what each returns, and the built-in components."""
    found = built_ins()
    parts = [
        "A distribution offers components by implementing hooks in a module, which it names as an "
        "entry point in the group `fmtharness`. [The tutorial](plugins.md) goes from an empty "
        "folder to a gate. `fmtharness plugins` lists the installed components.",
        "## Hooks",
        table(("hook", "returns", "a component is"), [hook(kind) for kind in KINDS]),
        "## Contracts",
        "Protocols from `fmtharness.harness.contracts`: a component needs the members below and "
        "inherits only `Options`, which makes its fields its TOML keys. Records are in "
        "`fmtharness.harness.records`.",
    ]
    for kind in KINDS:
        parts += [block(inspect.getsource(contract(kind)).rstrip(), "python")]
    every = [each for known in found.values() for each in known.values()]
    parts += [
        "## Built-in components",
        table(
            ("kind", "name", "distribution", "summary"),
            [(e.kind.removesuffix("s"), f"`{e.name}`", e.distribution, e.summary) for e in every],
        ),
        "## Rates",
        "Counters summed over Verdicts; [what they mean](numbers.md).",
        table(
            ("evaluator", "rate", "numerator", "denominator"),
            [
                (f"`{each.name}`", f"`{rate.name}`", rate.numerator, rate.denominator)
                for each in found["evaluators"].values()
                for rate in rates_of(each.component)
            ],
        ),
        "## What goes in and what comes out",
    ]
    modules = dict.fromkeys(each.component.__module__ for each in every)
    for module in modules:
        text = inspect.getdoc(importlib.import_module(module)) or ""
        parts += [f"### {module}", block(text)]
    return page("Plugins", *parts)


def hook(kind: Kind) -> tuple[str, str, str]:
    """A hook's row: its name, what it returns, its docstring."""
    name = f"fmtharness_{kind}"
    return f"`{name}()`", f"{contract(kind).__name__} classes", doc(getattr(hookspecs, name))


def contract(kind: Kind) -> type:
    """The Protocol behind a hook: formats -> Format."""
    found: type = getattr(contracts, kind.removesuffix("s").title())
    return found


def doc(thing: Any) -> str:
    """A docstring as one paragraph."""
    return " ".join((inspect.getdoc(thing) or "").split())


def labels_page() -> str:
    """docs/labels.md: every label of every format, and for JSON a text that carries it alone."""
    rows = []
    for label, means in LABELS.items():
        given = {problem.label for problem in STRICT.parse(SAMPLES[label]).problems}
        if given != {label}:
            raise click.ClickException(f"the sample for {label} is judged {sorted(given)}")
        rows.append((f"`{label}`", means, code(repr(SAMPLES[label]))))
    others = []
    for each in built_ins()["formats"].values():
        if each.name != STRICT.name:
            others += [f"## {each.name}", format_labels(each.component())]
    return page(
        "Labels",
        "The problems that `<format>_strict` can find. A completion carries every label that "
        "applies, and each problem has its span in characters.",
        "## json",
        "Each sample is a Python literal that carries only this label, judged with "
        f'`root = "object"` and `max_depth = {STRICT.max_depth}`.',
        table(("label", "meaning", "sample"), rows),
        "Before or behind the value, a line behind one `#` is a `comment`, as in YAML; two or more "
        "make a heading of Markdown, which is `text_before` or `text_after`.",
        *others,
        "## Labels of other evaluators",
        "`extras` uses those for what stands around the value. Some labels do not belong to JSON: "
        "`duplicate_objects` (`duplicate_json_objects`: two or more complete objects side by side),"
        " `not_strict` and `wrong_value` (`<format>_match`: the text is not strict, or its value "
        "is another), and `needs_trimming`, `needs_fence_stripping`, `needs_extraction`, "
        "`needs_repair` and `beyond_repair` (`json_leniency`: the [rung](numbers.md#the-rates) "
        "that a failing text needs), `loop` (`loops`: the text degenerates into repetition) and "
        "`unasked_format` (`unasked_format`: it is in a format that nobody asked for). `unscored` "
        "means that an evaluator could not judge.",
        "## open_request",
        table(("label", "meaning"), [(f"`{each}`", means) for each, means in REQUEST.items()]),
    )


def format_labels(each: Format) -> str:
    """A Format's labels; each sample is its own corruption of a small value, if it has one."""
    rows = []
    for label, means in labels_of(each).items():
        sample = next(broken_texts(each, label), "") if label in each.corruptions() else ""
        rows.append((f"`{label}`", means, code(repr(sample)) if sample else ""))
    return table(("label", "meaning", "sample"), rows)


def broken_texts(each: Format, label: str) -> Iterator[str]:
    """What the corruption of this name makes of the Format's plain values, the shortest first."""
    rendered = []
    for value in plain_values(each):
        bound = for_value(each, value)
        rendered.append((len(text := bound.render(value)), text, bound.corruptions()[label]))
    for _, text, corruption in sorted(rendered, key=lambda found: found[:2]):
        if broken := corruption(text, Random(1)):
            yield broken


PAGES: dict[str, Callable[[], str]] = {
    "cli.md": cli_page,
    "config.md": config_page,
    "labels.md": labels_page,
    "plugins-reference.md": plugins_page,
}


@click.command()
@click.option("--check", is_flag=True, help="Write nothing; exit with 1 where a page is stale.")
@click.pass_context
def main(context: click.Context, /, check: bool) -> None:
    """Write the generated pages of docs/."""
    stale = []
    for name, write in PAGES.items():
        target, text = FOLDER / name, write()
        if not target.is_file() or target.read_text(encoding="utf-8") != text:
            stale.append(f"docs/{name}")
            if not check:
                target.write_text(text, encoding="utf-8")
    if stale:
        names = ", ".join(stale)
        click.echo(f"stale: {names}; run make docs" if check else f"wrote {names}", err=check)
    context.exit(int(bool(check and stale)))


if __name__ == "__main__":
    main()
