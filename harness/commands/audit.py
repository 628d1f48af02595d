"""`fmtharness audit`: whether a server, or a local model, keeps what is promised of its answers.

fmtharness audit my.toml --server llama
fmtharness audit --base-url http://127.0.0.1:8080/v1 --model any
fmtharness audit --model smollm2-135m-instruct
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fmtharness.harness.commands.group import Command
from fmtharness.harness.commands.options import FAILED, UNSCORED, file
from fmtharness.harness.commands.output import echo, echo_json, opened_as
from fmtharness.harness.errors import ConfigError, UserError
from fmtharness.harness.text import did_you_mean

if TYPE_CHECKING:
    from fmtharness.harness.config import Config

SERVER = "openai"
"""The backend of --base-url."""


@click.command(cls=Command)
@click.argument("config", type=file, required=False)
@click.option("--server", metavar="NAME", help="The server of [eval.servers.NAME] in CONFIG.")
@click.option("--base-url", metavar="URL", help="A server, without CONFIG.")
@click.option("--model", metavar="REF", help="The server's model; without a server, a local one.")
@click.option("--data", type=file, help="Rows to ask.  [default: data/examples/eval.jsonl]")
@click.option("--num-prompts", type=click.IntRange(1), default=40, show_default=True)
@click.option("--concurrency", type=click.IntRange(2, 1000), help="Of a server.  [default: 8]")
@click.option("--max-new-tokens", type=click.IntRange(1), help="Cut completions off here.")
@click.option(
    "--near-limit",
    type=click.IntRange(1),
    default=48,
    show_default=True,
    help="Ask with so few new tokens, too.",
)
@click.option("--dump-jsonl", type=file, help="Write all answers that differ or break a promise.")
@click.option("--set", "overrides", multiple=True, metavar="TABLE.KEY=VALUE", help="Override.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_context
def audit(
    ctx: click.Context,
    config: Path | None,
    server: str | None,
    base_url: str | None,
    model: str | None,
    data: Path | None,
    num_prompts: int,
    concurrency: int | None,
    max_new_tokens: int | None,
    near_limit: int,
    dump_jsonl: Path | None,
    overrides: tuple[str, ...],
    as_json: bool,
) -> None:
    """Whether a server, or a local model, keeps what is promised of its answers.

    The same prompts are asked greedily in several ways. Of a server: one at a time and several at
    once, streamed, with thinking on and off, and under each response_format; of a local model: in
    batches of several sizes, and under a grammar. Exits with 1 if a promise is broken, and with 3
    if answers are missing.
    """
    from fmtharness.harness.commands.paths import not_read
    from fmtharness.harness.files import atomic_file, shipped
    from fmtharness.harness.judging import limit
    from fmtharness.harness.records import encode
    from fmtharness.harness.report.audit import audit_json, audit_table, case_rows, missing_lines
    from fmtharness.harness.run.auditing import audited
    from fmtharness.harness.run.sources import EXAMPLES, conditions, known_examples

    asked = data or shipped(EXAMPLES)
    not_read([("CONFIG", config), ("the Examples", asked)], [("--dump-jsonl", dump_jsonl)])
    resolved = _resolved(config, server, base_url, model, overrides)
    resolved = _changed(resolved, concurrency=concurrency, max_new_tokens=max_new_tokens)
    limit.limit(resolved.eval.timeout_s)
    examples = [*known_examples(data, num_prompts).values()]
    made_with = conditions(resolved, None, len(examples), data or Path(EXAMPLES))
    echo(made_with, err=as_json)
    found = audited(resolved.backend, resolved.model, examples, near_limit=near_limit)
    missing = missing_lines(found.modes)
    if dump_jsonl is not None:
        with atomic_file(opened_as(dump_jsonl)) as temporary, temporary.open("wb") as out:
            out.writelines(encode(row) for row in case_rows(found.findings))
    if as_json:
        document = {
            "source": made_with,
            "prompts": len(examples),
            "findings": audit_json(found.findings),
            "notes": found.notes,
            "missing": missing,
        }
        echo_json(document)
    else:
        echo(audit_table(found.findings))
        for line in (*found.notes, *missing):
            echo(line)
    broken = any(each.outcome == "broken" for each in found.findings)
    ctx.exit(UNSCORED if missing else FAILED if broken else 0)


def _resolved(
    config: Path | None,
    server: str | None,
    base_url: str | None,
    model: str | None,
    overrides: tuple[str, ...],
) -> Config:
    """The config whose backend is audited. Raises UserError for options that do not fit."""
    from fmtharness.harness.config import load_config
    from fmtharness.harness.requirements import needs_for_backend
    from fmtharness.harness.run.sources import config_for

    if server is not None and (base_url is not None or model is not None):
        other = "--base-url" if base_url is not None else "--model"
        raise UserError(f"--server names a server of CONFIG with its model; leave {other} out")
    if base_url is not None:
        if model is None or config is not None:
            raise UserError("--base-url needs --model, the server's name for it, and no CONFIG")
        return _of_backend(load_config(None, overrides=overrides), base_url, model)
    if server is not None:
        known = load_config(config, overrides=overrides).servers
        if server not in known and config is None:
            raise UserError(f"--server: name the CONFIG whose [eval.servers.{server}] describes it")
        if server not in known:
            there = did_you_mean(server, known) or "; describe it there"
            raise UserError(f"{config} has no table [eval.servers.{server}]{there}")
        named = f"eval.arms={json.dumps([f'server:{server}'])}"
        chosen = load_config(config, overrides=[*overrides, named])
        return _with(chosen, chosen.arms[0].backend)
    found = config_for(config, None, overrides, model=model)
    needs_for_backend(found.backend, found.model.name, None)
    return found


def _of_backend(config: Config, base_url: str, model: str) -> Config:
    from fmtharness.harness.options import check
    from fmtharness.harness.plugins import component

    table = {"base_url": base_url, "model": model}
    backend, faults = check(component("backends", SERVER), table, "--base-url")
    if backend is None:
        raise ConfigError("\n".join(faults))
    return _with(config, backend)


def _with(config: Config, backend: Any) -> Config:
    import dataclasses

    return dataclasses.replace(config, backend=backend)


def _changed(config: Config, **options: int | None) -> Config:
    """The config with other options of its backend. Raises UserError for one that it lacks."""
    given = {key: value for key, value in options.items() if value is not None}
    backend: Any = config.backend
    for key in given:
        if key not in type(backend).model_fields:
            raise UserError(f"--{key.replace('_', '-')}: backend {backend.name!r} has no {key}")
    return _with(config, backend.model_copy(update=given))
