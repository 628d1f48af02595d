"""`fmtharness data`: what is wrong with rows, before anything is trained on them.

with opened(Path("rows.jsonl"), None, None, {}) as rows:
    looked = looked_at(rows, None, None, (), None)
report(looked)   a finding in a few lines each, the grave ones first

grave: fails_format: 1 time: the target is not what its own format accepts (trailing_comma 1)
  rows.jsonl, line 7, id 7
    trailing_comma: JSON allows no comma before a closing bracket
     --> target:1:8
    ...
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from fmtharness.harness.commands import paths
from fmtharness.harness.config import Config, load_config
from fmtharness.harness.contracts import ModelOptions
from fmtharness.harness.dataset.doctor import examine, refuse_unknown
from fmtharness.harness.dataset.doctor_checks import Finding, Place, Report
from fmtharness.harness.dataset.doctor_rows import Aims
from fmtharness.harness.dataset.fix import write_mended
from fmtharness.harness.dataset.reader import Source, examples
from fmtharness.harness.errors import UserError
from fmtharness.harness.records import Verdict
from fmtharness.harness.report.diagnostics import diagnosis
from fmtharness.harness.run.seen import Tokens, why_not
from fmtharness.harness.text import one_line

OF_PROMPTS = ("templated_prompt", "unfilled_prompt")
SPLITS = ("train", "dev", "eval")


class Rows(NamedTuple):
    """The files to look at, train first, and what a config says of them."""

    sources: list[Source]
    config: Config | None = None
    made_in: str = ""
    """A folder that is gone afterwards, whose name is not shown."""


@contextmanager
def opened(
    file: Path, dev: Path | None, held_out: Path | None, overrides: Mapping[str, Any]
) -> Iterator[Rows]:
    """FILE as rows: a file, a folder with train.jsonl or a run's folder, or a TOML config.

    A config's generator writes its splits to a temporary folder. Raises UserError for a folder or
    a config that is given beside --dev or --eval, and for a folder without rows.
    """
    others = [each for each in (dev, held_out) if each is not None]
    if others and (file.is_dir() or file.suffix == ".toml"):
        raise UserError(f"{file} has splits of its own, so --dev and --eval do not go with it")
    if file.suffix == ".toml":
        from fmtharness.harness.run.data import write_data

        config = load_config(file)
        with tempfile.TemporaryDirectory() as folder:
            write_data(config, Path(folder))
            yield Rows(_in(Path(folder), overrides), config, folder)
    elif file.is_dir():
        kept = file / "config.toml"
        known = load_config(kept, asked=False) if paths.is_run(file) and kept.is_file() else None
        found = _in(file / "data", overrides) or _in(file, overrides)
        if not found:
            raise UserError(f"{file}: this folder has no train.jsonl; name a file of rows")
        yield Rows(found, known)
    else:
        yield Rows([Source(str(each), **overrides) for each in (file, *others)])


def _in(folder: Path, overrides: Mapping[str, Any]) -> list[Source]:
    inside = [folder / f"{split}.jsonl" for split in SPLITS]
    return [Source(str(each), **overrides) for each in inside if each.is_file()]


def schema_of(spec: str | None) -> Any:
    """The JSON Schema that --schema names."""
    if spec is None:
        return None
    from fmtharness.harness.schemas import (  # type: ignore[import-untyped, unused-ignore]
        load_schema,
    )

    return load_schema(spec)  # type: ignore[no-any-return, unused-ignore]


def looked_at(
    rows: Rows,
    model: str | None,
    max_seq_length: int | None,
    allow: Sequence[str],
    processes: int | None,
    template: str | None = None,
) -> Report:
    """The report on the rows.

    The tokenizer is used if a model or a template is named, or a limit is known.

    Raises UserError if the model that is named is not at hand.
    """
    options = _model(rows, model, template)
    trained = getattr(rows.config.trainer, "max_seq_length", None) if rows.config else None
    limit = max_seq_length or trained
    allow = [*allow, *(rows.config.data.allow if rows.config else ())]
    refuse_unknown(allow)
    missing = why_not(options)
    if missing and (model or template):
        raise UserError(f"{'--model' if model else '--template'}: {missing}")
    tokens = Tokens(options) if (model or template or limit) and not missing else None
    aims = Aims(tokens.markers if tokens else ())
    lengths = None
    if tokens and limit:
        lengths = limit, tokens.count
        aims.longest, aims.frame = limit, tokens.frame
    looked = examine(rows.sources, aims=aims, lengths=lengths, allow=allow, processes=processes)
    if limit is None:
        looked.notes.append("cut_off was not checked, since there is no --max-seq-length")
    elif missing:
        looked.notes.append(f"cut_off was not checked: {missing}")
    return looked


def tokens_of(rows: Rows, model: str | None, template: str | None = None) -> Tokens:
    """The tokenizer for --show. Raises UserError if it is not at hand."""
    options = _model(rows, model, template)
    if missing := why_not(options):
        raise UserError(f"--show: {missing}")
    return Tokens(options)


def _model(rows: Rows, model: str | None, template: str | None) -> ModelOptions:
    options = rows.config.model if rows.config else ModelOptions()
    named: dict[str, Any] = {} if model is None else {"name": model}
    if template is not None:
        named["chat_template"] = Path(template)
    return options.model_copy(update=named)


def shown(rows: Rows, tokens: Tokens, count: int, *, color: bool, encoding: str) -> str:
    """The first rows as the model sees them."""
    parts = []
    for each in islice(examples(rows.sources[0]), count):
        text = tokens.shown(each, color=color, encoding=encoding)
        parts.append(f"[{one_line(each.id)}]\n{text}")
    return "\n\n".join(parts)


def mend(rows: Rows, file: Path, out: Path) -> tuple[str, Rows]:
    """Write FILE mended; returns what was done, and the new file in FILE's place.

    Raises UserError if FILE is not a file of rows, or if it would be overwritten.
    """
    if rows.sources[0].name != str(file):
        raise UserError("--fix mends a file of rows; name one instead of a folder or a config")
    source = rows.sources[0]
    reads = [("a file of rows", Path(each.name)) for each in rows.sources]
    paths.not_read(reads, [("--fix", out)])
    done = write_mended(source, out)
    ways = ", ".join(f"{way} {count}" for way, count in done.counts.most_common()) or "nothing"
    new = msgspec.structs.replace(source, name=str(out))
    return f"wrote {out}: {done.rows} rows; mended: {ways}", Rows([new, *rows.sources[1:]])


def report(looked: Report, *, color: bool, encoding: str, hidden: str = "") -> str:
    """What the rows are, each finding, and what comes next."""
    parts = [_described(each, hidden) for each in looked.files]
    grave, notes = (
        [each for each in looked.findings if each.grave is wanted] for wanted in (True, False)
    )
    for finding in (*grave, *notes):
        kind = "note" if not finding.grave else "allowed" if finding.allowed else "grave"
        count = "1 time" if finding.count == 1 else f"{finding.count:,} times"
        labels = ", ".join(f"{one_line(name)} {n}" for name, n in finding.labels.items())
        head = f"{kind}: {finding.check}: {count}: {finding.means}"
        places = [
            _place(each, color=color, encoding=encoding, hidden=hidden) for each in finding.places
        ]
        parts.append("\n".join([f"{head} ({labels})" if labels else head, *places]))
    parts += [f"note: {each}" for each in looked.notes]
    if stops := looked.stops:
        names = " ".join(f"--allow {each.check}" for each in stops)
        parts.append(f"these rows would teach the wrong thing; to go on regardless: {names}")
    else:
        parts.append("nothing here would teach the wrong thing")
    return "\n\n".join(parts)


def _described(each: dict[str, Any], hidden: str) -> str:
    rows, target = each["rows"], each["with_target"]
    formats = ", ".join(f"{name} {count:,}" for name, count in each["formats"].items())
    lines = [
        f"{_name(each['file'], hidden)}: {rows:,} rows, read as {each['form']}, "
        f"{target:,} with a target ({formats})"
    ]
    sizes = [
        f"{what} {q['min']:,} to {q['max']:,} (median {q['p50']:,}, 99% up to {q['p99']:,})"
        for what in ("prompt", "target")
        if (q := each[f"{what}_characters"])
    ]
    if sizes:
        lines.append(f"  characters: {'; '.join(sizes)}")
    scripts = [
        f"{name} {asked:,}/{answered:,}" for name, (asked, answered) in each["scripts"].items()
    ]
    if scripts:
        lines.append(f"  scripts, in prompts/targets: {', '.join(scripts)}")
    if each["with_system"]:
        lines.append(f"  with a system prompt: {each['with_system']:,}")
    return "\n".join(lines)


def _name(file: str, hidden: str) -> str:
    return one_line(Path(file).name if hidden and file.startswith(hidden) else file)


def _place(place: Place, *, color: bool, encoding: str, hidden: str) -> str:
    where = f"  {_name(place.file, hidden)}, line {place.line}"
    if place.id and place.id != str(place.line):
        where += f", id {one_line(place.id)}"
    if place.beside:
        where += f": {_beside(place.beside, hidden)}"
    if place.text is None:
        return where
    if not place.problems:
        return f"{where}\n    {one_line(place.text, 100)}"
    verdict = Verdict(
        id=place.id,
        evaluator=place.evaluator,
        passed=False,
        labels=tuple(dict.fromkeys(problem.label for problem in place.problems)),
        problems=place.problems,
    )
    what = "prompt" if place.evaluator in OF_PROMPTS else "target"
    shown = diagnosis(place.text, verdict, name=what, color=color, encoding=encoding)
    inside = shown.rpartition("\n\n")[0] or shown
    return "\n".join([where, *(f"    {line}".rstrip() for line in inside.split("\n"))])


def _beside(text: str, hidden: str) -> str:
    return one_line(text.replace(f"{hidden}/", "") if hidden else text)


def report_json(looked: Report) -> dict[str, Any]:
    """The same as plain data."""
    return {
        "passed": not looked.stops,
        "files": looked.files,
        "findings": [_plain(each) for each in looked.findings],
        "notes": looked.notes,
    }


def _plain(finding: Finding) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(finding)
    return {**plain, "means": finding.means}
