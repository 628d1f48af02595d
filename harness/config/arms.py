"""The arms of a run, `[eval] arms`: ways of producing completions that it compares.

    arms_of(EvalOptions(arms=("base", "sft", "server:one")), backend, {"one": {...}}, "q.toml", ...)
        ->  [Arm("base", backend), Arm("sft", backend, tuned=True), Arm("server:one", ...)], ..., []

The first arm is the one that the others are compared with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fmtharness.harness.config.sections import named_tables, section
from fmtharness.harness.config.tables import Arm, EvalOptions, ServerOptions
from fmtharness.harness.contracts import Backend
from fmtharness.harness.text import did_you_mean

SERVER = "server:"
LOCAL: Mapping[str, Mapping[str, Any]] = {
    "base": {},
    "sft": {"tuned": True},
    "instructed": {"prompting": "instructed"},
    "few_shot": {"prompting": "few_shot"},
    "constrained": {"constrained": True},
    "sft_constrained": {"tuned": True, "constrained": True},
    "repaired": {"repairs": "base"},
    "sft_repaired": {"tuned": True, "repairs": "sft"},
}
"""The arms of the model in [model], and what each differs in from `base`."""


def arms_of(
    options: EvalOptions, backend: Backend, servers: Any, source: str, *, asked: bool
) -> tuple[tuple[Arm, ...], dict[str, dict[str, Any]], list[str]]:
    """The arms, the resolved tables of the servers, and one sentence for each fault."""
    named, faults = named_tables(servers, "servers", source, "a file")
    built, tables, wrong = _servers(named, source, asked=asked)
    faults += wrong
    known = [*LOCAL, *(SERVER + name for name in named)]
    where, arms, names = f"{source}: [eval] arms", [], options.arms
    for name in names:
        if name.startswith(SERVER) and name in known:
            if (server := built.get(name.removeprefix(SERVER))) is not None:
                arms.append(Arm(name, with_cache(server, options), server=True))
        elif name not in LOCAL:
            faults.append(f"{where}: there is no arm {name!r}{_hint(name, known)}")
        else:
            changes = dict(LOCAL[name])
            if changes.get("repairs") not in (None, *names):
                faults.append(f"{where}: {name!r} repairs {changes['repairs']!r}; name that, too")
            arm, fault = _local(name, backend, changes, where)
            arms.append(arm)
            faults += fault
    faults += _greedy(arms, options.n, where) if options.n > 1 else []
    if twice := sorted({name for name in names if names.count(name) > 1}):
        faults.append(f"{where}: {twice[0]!r} is named twice")
    return tuple(arms), tables, faults


def _greedy(arms: Sequence[Arm], n: int, where: str) -> list[str]:
    """A sentence for the first arm whose n completions of a prompt would all be the same."""
    for arm in arms:
        if not arm.repairs and getattr(arm.backend, "temperature", None) == 0:
            return [
                f"{where}: n = {n} with temperature 0 gives {arm.name!r} {n} equal completions of "
                f"each prompt; set its temperature, such as 0.8"
            ]
    return []


def with_cache(backend: Any, options: EvalOptions) -> Any:
    """The backend; with its cache switched off where [eval] says so."""
    if options.cache or "cache" not in type(backend).model_fields:
        return backend
    return backend.model_copy(update={"cache": False})


def _local(name: str, backend: Any, changes: dict[str, Any], where: str) -> tuple[Arm, list[str]]:
    if not changes.pop("constrained", False):
        return Arm(name, backend, **changes), []
    if "constrained" not in type(backend).model_fields:
        return Arm(name, backend, **changes), [
            f"{where}: backend {backend.name!r} cannot constrain its completions, as {name!r} asks"
        ]
    return Arm(name, backend.model_copy(update={"constrained": True}), **changes), []


def _servers(
    servers: Mapping[str, Any], source: str, *, asked: bool
) -> tuple[dict[str, Backend], dict[str, dict[str, Any]], list[str]]:
    built: dict[str, Backend] = {}
    tables: dict[str, dict[str, Any]] = {}
    faults: list[str] = []
    for name, table in servers.items():
        where = f"{source}: [eval.servers.{name}]"
        options, backend, wrong = section(
            table, ServerOptions, "backend", "backends", where, asked=asked
        )
        faults += wrong
        if options is not None and backend is not None:
            built[name] = backend
            tables[name] = options.model_dump(mode="json") | backend.model_dump(
                mode="json", exclude_none=True
            )
    return built, tables, faults


def _hint(name: str, known: Sequence[str]) -> str:
    if name.startswith(SERVER):
        return f"; describe it in [eval.servers.{name.removeprefix(SERVER)}]"
    return did_you_mean(name, known) or f"; there are {', '.join(known)}"
